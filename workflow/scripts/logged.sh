#!/usr/bin/env bash
# logged.sh LOG COMMAND...: run a command with its output in LOG; if it fails, show the line that says why.
set -u
log=$1
shift
# the package that planned the job, whatever PATH and the working directory lead to; rules/places.smk says which that is
hyperloader() {
    PYTHONPATH="$HYPERLOADER_SOURCE${PYTHONPATH:+:$PYTHONPATH}" "$HYPERLOADER_PYTHON" -P -m hyperloader "$@"
}
"$@" > "$log" 2>&1 && exit
status=$?
grep '^hyperloader: ' "$log" >&2 || {
    tail -n 1 "$log" >&2
    # on a full disk the line did not get there
    head -c 1000 /dev/zero 2> /dev/null > "$log.room" || echo "hyperloader: $log: cannot be written; make room on that disk" >&2
    rm -f "$log.room"
}
exit "$status"
