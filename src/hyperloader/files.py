"""Files that are either whole or absent: everything is written beside its place and renamed into it.

A process that is killed leaves its temporary behind. Nobody reads it, since its name starts with a dot and is not the
file's; the next writer of the same file removes it. Writers hold a lock on their temporaries, so that it removes no others.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hyperloader.errors import StorageError, UserError

# between making a temporary and locking it there is a moment
STALE_SECONDS = 60
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
REMEDIES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; on success it becomes `path`, on any error it vanishes.

    Raises:
        StorageError: the file cannot be written: no room, no permission, or its folder went away.
    """
    path = Path(path)
    with _temporary(path, _new_file) as temporary:
        yield temporary
        _store(temporary)
        # mkstemp makes files private; a result is as readable as any other file of the user
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)


@contextmanager
def replacing_folder(path: str | Path, *, first_wins: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, on any error it vanishes.

    Args:
        path: of the folder.
        first_wins: if another process made the folder meanwhile, keep that one, whose content must be the same: it is never away.

    Raises:
        StorageError: as for `replacing`.
    """
    path = Path(path)
    with _temporary(path, tempfile.mkdtemp) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            _store(file)
        os.chmod(temporary, 0o777 & ~_umask())
        if not _renamed(temporary, path) and not first_wins:
            # moved aside rather than deleted first: the moment without a folder is that between two renames, in which
            # another process may put its own there
            with _temporary(path, tempfile.mkdtemp) as former:
                while not _renamed(temporary, path):
                    with suppress(FileNotFoundError):
                        os.replace(path, former / str(time.monotonic_ns()))


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path, *, remedy: str = "", error: type[UserError] = UserError) -> Any:
    """Read a file of JSON.

    Raises:
        UserError: the file cannot be read or is not JSON; names the file and, for bad JSON, the line. It is an `error`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        value = json.loads(text)
        if "\\u" in text:
            # JSON can escape halves of characters, which no file and no tokenizer takes
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except FileNotFoundError:
        raise error("no such file", file=path, remedy=remedy) from None
    except OSError as cause:
        raise error(f"cannot be read ({cause.strerror})", file=path, remedy=remedy) from None
    except (ValueError, RecursionError) as cause:  # bad UTF-8, bad JSON, a number of thousands of digits, brackets without end
        raise error(f"not valid JSON ({cause})", file=path, line=getattr(cause, "lineno", None), remedy=remedy) from None


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _renamed(temporary: Path, path: Path) -> bool:
    """Give a folder its name; False if there is another one."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


@contextmanager
def _temporary(path: Path, make: Callable[..., str]) -> Iterator[Path]:
    """A locked temporary beside `path`, removed at the end if it is still there."""
    temporary, lock = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        temporary = Path(make(prefix=f".{path.name}.", dir=path.parent))
        lock = os.open(temporary, os.O_RDONLY)
        _lock(lock)
        yield temporary
    except Exception as error:
        code = _disk_error(error, path)
        if code is None:
            raise
        remedy = REMEDIES.get(code, "see that its folder is there and can be written to")
        raise StorageError(f"cannot be written ({os.strerror(code)})", file=path, remedy=remedy) from error
    finally:
        if lock is not None:
            os.close(lock)
        if temporary is not None:
            _remove(temporary)


def _new_file(**where) -> str:
    descriptor, name = tempfile.mkstemp(**where)
    os.close(descriptor)
    return name


def _disk_error(error: Exception, path: Path) -> int | None:
    """The number of the operating system's error, if it is about writing `path`; of any other error None."""
    if isinstance(error, OSError):
        names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        ours = any(_concerns(path, Path(os.path.abspath(os.fsdecode(name)))) for name in names)
        return error.errno if ours or error.errno in DISK_ERRORS else None
    # libraries written in Rust, safetensors among them, have errors of their own
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told and int(told[1]) in DISK_ERRORS else None


def _concerns(path: Path, place: Path) -> bool:
    """Whether `place` is `path`, a folder that it is in, or its temporary or something in that."""
    path = Path(os.path.abspath(path))
    temporaries = (part for part in (place, *place.parents) if part.parent == path.parent)
    return place == path or place in path.parents or any(part.name.startswith(f".{path.name}.") for part in temporaries)


def _store(path: Path) -> None:
    """Have the bytes on the disk before the name is: a power cut must not leave a whole name of half a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove what killed writers of `path` left; others' temporaries are locked, or too young to be yet."""
    name = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}")  # as `tempfile` names them
    for entry in path.parent.iterdir():
        if name.fullmatch(entry.name):
            with suppress(OSError):  # gone meanwhile, or not ours
                _remove_if_stale(entry)


def _remove_if_stale(temporary: Path) -> None:
    if time.time() - temporary.lstat().st_mtime < STALE_SECONDS:
        return
    lock = os.open(temporary, os.O_RDONLY)
    try:
        if _lock(lock):
            _remove(temporary)
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another's, or a file system without locks
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
