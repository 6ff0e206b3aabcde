"""One process at a time in a run directory."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from test_processes import run_in
from tiny_runs import write_settings

from hyperloader.errors import RunError
from hyperloader.runs.locks import folder_lock, is_locked

HOLD = """
import sys, time
from hyperloader.runs.locks import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of `tmp_path`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_by_name_until_the_first_is_killed(tmp_path, owner):
    with pytest.raises(RunError, match=rf"{tmp_path.name}: is in use by process {owner.pid} on \S+; wait for it to end, or end it"):
        with folder_lock(tmp_path):
            pass
    assert is_locked(tmp_path)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert not is_locked(tmp_path)
    with folder_lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_the_command_line_says_so_in_one_line(tmp_path, owner):
    (tmp_path / "settings.json").write_text("{}")
    for command in ("train", "predict-tests"):
        done = subprocess.run([sys.executable, "-m", "hyperloader", command, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"hyperloader: {tmp_path}: is in use by process {owner.pid} on ")


def test_the_other_processes_of_a_run_need_no_lock(tmp_path, owner, monkeypatch):
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(RunError, match="RANK is 'first', no number of a process; unset it"), folder_lock(tmp_path):
        pass
    monkeypatch.setenv("RANK", "1")
    with folder_lock(tmp_path):
        pass


def test_a_process_of_no_number_is_the_only_one(place, tmp_path, hyperloader, monkeypatch):
    monkeypatch.setenv("RANK", "")
    run = write_settings(tmp_path / "run", {"atis": place / "data/atis"}, None, "gazetteer", method_settings={})
    assert hyperloader("train", run)[0] == 0 and (run / "run.json").is_file() and (run / ".lock").is_file()


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(OSError), folder_lock(tmp_path):
        raise OSError
    assert not is_locked(tmp_path)


def test_looking_at_a_lock_refuses_nobody(tmp_path):
    look = "import sys; from hyperloader.runs.locks import is_locked\nprint(flush=True)\nwhile True: is_locked(sys.argv[1])"
    with folder_lock(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", look, str(tmp_path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        for _ in range(100):
            with folder_lock(tmp_path):
                pass
            time.sleep(0.001)
        process.kill()


def test_a_lock_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "thesis").write_text("all of it")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(RunError, match=r"run/\.lock: cannot be opened .*; see that the run directory can be written to"):
        with folder_lock(tmp_path / "run"):
            pass
    assert (tmp_path / "thesis").read_text() == "all of it"


def test_two_trainings_of_one_run(place):
    run = run_in(place, "twice", steps=20_000)
    command = [sys.executable, "-m", "hyperloader", "train", run]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        assert any("step 6 of" in line for line in first.stderr)
        second = subprocess.run(command, capture_output=True, text=True)
        first.send_signal(signal.SIGTERM)
        ended = first.communicate()[1].splitlines()[-1]
    assert second.returncode == 2
    said = f"hyperloader: {run}: is in use by process {first.pid} on {socket.gethostname()}; wait for it to end, or end it\n"
    assert second.stderr == said
    assert first.returncode == 2 and re.fullmatch(r"hyperloader: stopped by SIGTERM after step \d+ of 20000, with a checkpoint; .*", ended)


def test_without_a_run_directory_there_is_none(tmp_path):
    with pytest.raises(RunError, match="nowhere: no such run directory"), folder_lock(tmp_path / "nowhere"):
        pass
    assert not is_locked(tmp_path / "nowhere") and os.listdir(tmp_path) == []
