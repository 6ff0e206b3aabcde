"""Fetching and preparing that is killed at any moment, or done twice at once: the same command again ends in the same bytes."""

import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from loopback import QUICK, TEXT, Server, at, corpus, everything, raw, sha

from hyperloader.corpora.fetching.checksum import Checksum
from hyperloader.corpora.fetching.download import fetch
from hyperloader.corpora.generated.generate import generate
from hyperloader.corpora.prepare import prepare

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FILES = {f"t/{number}.bio": TEXT * (number + 1) for number in range(12)}
FETCH = """
import sys
from loopback import QUICK
from test_corpora_interrupted import tiny
from hyperloader.corpora.fetching.download import fetch
print("begun", flush=True)
fetch(tiny(sys.argv[1]), sys.argv[2], limits=QUICK)
"""


def tiny(url):
    """A corpus of many files."""
    return corpus(*(raw(at(url + path), path=path, accepted=(Checksum(sha256=sha(data)),)) for path, data in FILES.items()))


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HYPERLOADER_MIRROR", raising=False)
    with Server() as server:
        server.answers = {path: slowly(data) for path, data in FILES.items()}
        yield server.url("")


def slowly(data):
    def answer(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode())
        for part in (data[:5], data[5:]):
            time.sleep(0.005)
            handler.wfile.write(part)

    return answer


def contents(folder):
    """All files but the temporaries of killed processes, which begin with a dot and which nobody reads."""
    names = (name for name in everything(folder) if not any(part.startswith(".") for part in name.split("/")))
    return {name: (folder / name).read_bytes() for name in names}


def interrupted(command, number, until, seconds):
    """Run `command`; within `seconds` after `until` holds end it by one of the signals."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not until(process):
            time.sleep(0.002)
        time.sleep(random.Random(number).random() * seconds)
        process.send_signal(SIGNALS[number % len(SIGNALS)])
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_fetch_that_is_killed_goes_on(url, tmp_path, monkeypatch, kills):
    monkeypatch.setenv("PYTHONPATH", str(__file__).rpartition("/")[0])
    fetch(tiny(url), tmp_path / "whole", limits=QUICK)
    for number in range(kills):
        folder = tmp_path / str(number // 5)  # some are killed several times
        interrupted([sys.executable, "-c", FETCH, url, str(folder)], number, lambda process: process.stdout.readline(), 0.3)
        assert contents(folder).items() <= contents(tmp_path / "whole").items()  # what has its name is whole
    for folder in {tmp_path / str(number // 5) for number in range(kills)}:
        fetch(tiny(url), folder, limits=QUICK)
        assert contents(folder) == contents(tmp_path / "whole")


def test_two_fetches_into_one_folder_at_once(url, tmp_path):
    fetch(tiny(url), tmp_path / "whole", limits=QUICK)
    errors = []

    def one():
        try:
            fetch(tiny(url), tmp_path / "raw", limits=QUICK)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and everything(tmp_path / "raw") == everything(tmp_path / "whole")
    assert contents(tmp_path / "raw") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_preparation_that_is_killed_leaves_the_former_and_is_done_again(tmp_path, kills):
    generate("movie", tmp_path / "raw")
    prepare("movie", tmp_path / "raw", tmp_path / "whole/movie")
    whole = contents(tmp_path / "whole")
    command = [sys.executable, "-m", "hyperloader", "corpora", "prepare", "movie", "--raw", str(tmp_path / "raw")]
    for number in range(kills):
        data = tmp_path / f"data{number // 5}"
        command[8:] = ["--folder", str(data / "movie")]
        before = set(data.glob(".movie.*"))
        interrupted(command, number, lambda _, data=data, before=before: set(data.glob(".movie.*")) - before, 0.3)
        assert contents(data) in ({}, whole)
    for number in range(0, kills, 5):
        prepare("movie", tmp_path / "raw", tmp_path / f"data{number // 5}/movie")
        assert contents(tmp_path / f"data{number // 5}") == whole


def test_two_preparations_into_one_folder_at_once(tmp_path):
    generate("movie", tmp_path / "raw")
    prepare("movie", tmp_path / "raw", tmp_path / "whole/movie")
    command = [sys.executable, "-m", "hyperloader", "corpora", "prepare", "movie", "--raw", str(tmp_path / "raw")]
    command += ["--folder", str(tmp_path / "data/movie")]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert everything(tmp_path / "data") == everything(tmp_path / "whole")
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")
