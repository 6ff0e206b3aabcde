"""A small disk of its own: what runs on it can fill it, or find it read-only, and nothing else is touched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o size="$2" tmpfs "$1" || exit 77; shift 2; exec "$@"'


def run_on_small_disk(folder: Path, size: str, script: str, *arguments: str) -> str:
    """Run a Python script for which `folder` is an empty disk of this size; what it prints. Skips where that cannot be had."""
    if shutil.which("unshare") is None:
        pytest.skip("a small disk of its own needs unshare")
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", str(folder), size]
    done = subprocess.run([*namespace, sys.executable, "-c", script, str(folder), *arguments], capture_output=True, text=True)
    if done.returncode in (1, 77) and not done.stdout and "Traceback" not in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.returncode == 0, done.stderr
    return done.stdout
