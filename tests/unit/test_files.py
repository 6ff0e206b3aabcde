"""Files and folders appear whole or not at all, whatever happens to the disk or to the process."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from small_disk import run_on_small_disk

from hyperloader.errors import StorageError, UserError
from hyperloader.files import read_json, replacing, replacing_folder, write_json, write_text


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@contextmanager
def largest_file(size):
    """No file of this process can grow beyond `size` bytes; what the system says then is an error like that of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "a" / "file.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"x": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_a_failed_folder_leaves_the_former_one(tmp_path):
    folder = tmp_path / "folder"
    for content in ("first", "second"):
        with replacing_folder(folder) as temporary:
            (temporary / content).touch()
    with pytest.raises(RuntimeError), replacing_folder(folder) as temporary:
        (temporary / "third").touch()
        raise RuntimeError
    assert [entry.name for entry in folder.iterdir()] == ["second"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_of_two_makers_of_one_folder_the_first_wins(tmp_path):
    folder = tmp_path / "folder"
    with replacing_folder(folder, first_wins=True) as late:
        (late / "late").touch()
        with replacing_folder(folder, first_wins=True) as early:
            (early / "early").touch()
    assert names(folder) == ["early"] and names(tmp_path) == ["folder"]


def test_results_are_readable_like_any_other_file(tmp_path):
    write_json(tmp_path / "ours", {})
    (tmp_path / "other").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_bad_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad.json"
    with pytest.raises(UserError, match="bad.json: no such file; make it"):
        read_json(path, remedy="make it")
    path.write_text('{"a": 1,\n oops}')
    with pytest.raises(UserError, match=r"bad.json:2: not valid JSON"):
        read_json(path)


# --- disks -----------------------------------------------------------------------------------------------------------


def test_a_file_that_does_not_fit_leaves_the_former_one(tmp_path):
    write_text(tmp_path / "file", "former")
    with pytest.raises(StorageError, match=r"file: cannot be written \(File too large\); raise the limit"), largest_file(4096):
        write_text(tmp_path / "file", "x" * 5000)
    assert (tmp_path / "file").read_text() == "former" and names(tmp_path) == ["file"]


def test_a_folder_that_does_not_fit_leaves_the_former_one(tmp_path):
    with replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "former").touch()
    with pytest.raises(StorageError, match="cannot be written"), largest_file(4096), replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "file").write_bytes(bytes(5000))
    assert names(tmp_path / "folder") == ["former"] and names(tmp_path) == ["folder"]


def test_weights_that_do_not_fit(tmp_path):
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    with pytest.raises(StorageError, match="File too large"), largest_file(4096), replacing_folder(tmp_path / "model") as temporary:
        safetensors.save_file({"weight": torch.zeros(5000)}, temporary / "model.safetensors")
    assert names(tmp_path) == []


FULL_DISK = """
import os, sys
from hyperloader.errors import StorageError
from hyperloader.files import write_text
os.chdir(sys.argv[1])
write_text('file', 'former')
try:
    write_text('file', 'x' * 100_000)
except StorageError as error:
    print(error, os.listdir(), open('file').read())
"""


def test_a_full_disk(tmp_path):
    said = "file: cannot be written (No space left on device); make room on that disk"
    assert run_on_small_disk(tmp_path, "64k", FULL_DISK) == f"{said} ['file'] former\n"


@pytest.mark.parametrize("write", [write_text, write_json])
def test_a_folder_that_cannot_be_written_to(tmp_path, write):
    if os.geteuid() == 0:
        folder = tmp_path / "file" / "folder"  # permissions do not stop the superuser
        (tmp_path / "file").touch()
    else:
        folder = tmp_path
        folder.chmod(0o555)
    with pytest.raises(StorageError, match="cannot be written .*; see that its folder is there and can be written to"):
        write(folder / "name", "text")
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("loss", ["temporary", "folder"])
def test_what_vanishes_while_it_is_written(tmp_path, loss):
    folder = tmp_path / "folder"
    with pytest.raises(StorageError, match=r"folder/file: cannot be written \(No such file"), replacing(folder / "file") as temporary:
        temporary.unlink() if loss == "temporary" else shutil.rmtree(folder)
    assert not folder.exists() or names(folder) == []


def test_errors_of_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        (tmp_path / "other").read_text()
    assert names(tmp_path) == []


# --- processes -------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from hyperloader.files import replacing, replacing_folder
with {writer}(sys.argv[1]) as temporary:
    print(temporary, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """Start a process that is in the middle of writing `tmp_path/name`; it has been there for an hour."""
    started = []

    def start(writer):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(writer=writer), str(tmp_path / "name")], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        temporary = process.stdout.readline().strip()
        os.utime(temporary, (time.time() - 3600,) * 2)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("writer", ["replacing", "replacing_folder"])
def test_what_a_killed_writer_leaves_goes_with_the_next_one(tmp_path, held, writer):
    process = held(writer)
    write_text(tmp_path / "name.other", "another file")
    assert len(names(tmp_path)) == 2
    process.kill()
    process.wait()
    with {"replacing": replacing, "replacing_folder": replacing_folder}[writer](tmp_path / "name"):
        pass
    assert names(tmp_path) == ["name", "name.other"]


def test_a_living_writer_keeps_its_temporary(tmp_path, held):
    process = held("replacing")
    write_text(tmp_path / "name", "text")
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGINT)
    process.wait()
    assert names(tmp_path) == ["name"]


def test_a_young_temporary_may_be_a_writer_about_to_lock_it(tmp_path):
    (tmp_path / ".name.abcdef01").touch()
    write_text(tmp_path / "name", "text")
    assert names(tmp_path) == [".name.abcdef01", "name"]


def test_many_writers_of_one_folder_at_once(tmp_path):
    errors = []

    def write(number):
        try:
            for _ in range(20):
                with replacing_folder(tmp_path / "folder") as temporary:
                    for name in "ab":
                        (temporary / name).write_text(str(number))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and names(tmp_path) == ["folder"]
    assert (tmp_path / "folder/a").read_text() == (tmp_path / "folder/b").read_text()
