"""Files that are either whole or absent: everything is written beside its place and renamed into it.

A process that is killed leaves its temporary behind. Nobody reads it, since its name starts with a dot and is not the
file's; the next writer of the same file removes it. Writers hold a lock on their temporaries, so that it removes no others.

Whoever may write to the folder of a result can go on from it: files and folders get the permissions that the umask and the
folder around them give to any other, whatever the library that writes them makes of it.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
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
    errno.EBADF: "standard output is closed",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}
UNREADABLE = "ask its owner to let you read it, and enter the folders around it (docs/cluster.md)"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; on success it becomes `path`, on any error it vanishes.

    Raises:
        StorageError: the file cannot be written: no room, no permission, or its folder went away.
    """
    path = Path(path)
    with _temporary(path, _new_file) as temporary:
        ordinary = _permissions(temporary)
        yield temporary
        _set_permissions(temporary, ordinary)
        _fsync(temporary)
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
    with _temporary(path, os.mkdir) as temporary:
        of_folders, of_files = _permissions(temporary), _permissions_of_files(temporary)
        yield temporary
        for entry in (temporary, *temporary.rglob("*")):
            _set_permissions(entry, of_folders if entry.is_dir() else of_files)
            _fsync(entry)
        if not _renamed(temporary, path) and not first_wins:
            # moved aside rather than deleted first: the moment without a folder is that between two renames, in which
            # another process may put its own there
            with _temporary(path, os.mkdir) as former:
                while not _renamed(temporary, path):
                    with suppress(FileNotFoundError):
                        os.replace(path, former / str(time.monotonic_ns()))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def as_json(value: object) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, as_json(value))


def read_json(path: str | Path, *, remedy: str = "", error: type[UserError] = UserError) -> Any:
    """Read a file of JSON.

    Raises:
        UserError: the file cannot be read or is not JSON; names the file and, for bad JSON, the line. It is an `error`.
    """
    with reading(path, remedy=remedy, error=error):
        data = Path(path).read_bytes()
    try:
        text = data.decode()
        value = json.loads(text)
        if "\\u" in text:
            # JSON can escape halves of characters, which no file and no tokenizer takes
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as cause:  # bad UTF-8, bad JSON, a number of thousands of digits, brackets without end
        raise error(f"not valid JSON ({cause})", file=path, line=getattr(cause, "lineno", None), remedy=remedy) from None


@contextmanager
def reading(path: str | Path, *, remedy: str = "", error: type[UserError] = UserError) -> Iterator[None]:
    """Turn what the system says to reading a file into one line.

    Args:
        path: of the file.
        remedy: for one that is missing or no file; for one that may not be read it is about permissions.
        error: what is raised.

    Raises:
        UserError: there is no such file, it is a folder, or it may not be read; it is an `error`.
    """
    try:
        yield
    except FileNotFoundError:
        raise error("no such file", file=path, remedy=remedy) from None
    except OSError as cause:
        remedy = UNREADABLE if isinstance(cause, PermissionError) else remedy
        raise error(f"cannot be read ({cause.strerror})", file=path, remedy=remedy) from None


def readable(path: str | Path, *, remedy: str = "", error: type[UserError] = UserError) -> Path:
    """The path of a file for a library that would call one that may not be read missing or damaged; see `reading`."""
    with reading(path, remedy=remedy, error=error):
        open(path, "rb").close()
    return Path(path)


def there(path: str | Path) -> bool:
    """Whether there is such a file or folder; what may not be looked at is no answer, as it is in `Path.exists` of recent versions.

    Raises:
        UserError: a folder around it may not be entered.
    """
    try:
        os.stat(path)
    except PermissionError as cause:
        raise UserError(f"cannot be looked at ({cause.strerror})", file=path, remedy=UNREADABLE) from None
    except (OSError, ValueError):  # a NUL in its name
        return False
    return True


def listed(folder: str | Path) -> list[Path]:
    """What is in a folder, sorted; nothing, if there is no such folder. `Path.glob` finds nothing in one that may not be read, either.

    Raises:
        UserError: it may not be read.
    """
    try:
        return sorted(Path(folder).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as cause:
        raise UserError(f"cannot be read ({cause.strerror})", file=folder, remedy=UNREADABLE) from None


def as_user_error(error: OSError) -> UserError | None:
    """What the user is told where the system forbids something, or has no room for it; None for any other error."""
    if isinstance(error, PermissionError) and error.filename is not None:
        remedy = "ask its owner to let you use it and the folders around it (docs/cluster.md)"
        return UserError(f"cannot be opened ({error.strerror})", file=os.fsdecode(error.filename), remedy=remedy)
    if error.errno in DISK_ERRORS | {errno.EBADF}:
        # of a stream the system does not say which
        file = "output" if error.filename is None else os.fsdecode(error.filename)
        return StorageError(f"cannot be written ({error.strerror})", file=file, remedy=REMEDIES.get(error.errno, ""))
    return None


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        UserError: see `reading`.
    """
    with reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(path: str | Path, columns: Iterable[str], *, remedy: str = "") -> list[dict[str, str]]:
    """The rows of a CSV file that has at least these columns.

    Args:
        path: of the file.
        columns: their names.
        remedy: for a file that is missing.

    Raises:
        UserError: the file is missing or is not such a file.
    """
    try:
        with reading(path, remedy=remedy), open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"not a CSV file ({error})", file=path) from None
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"no column '{missing[0]}' in it", file=path, line=1)
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise UserError("not as many cells as the header has", file=path, line=line)
    return rows


_OTHER_THINGS = {
    (b"<!doctype html", b"<html"): "an HTML page of ",
    (b"version https://git-lfs.github.com/",): "a pointer of Git LFS, which `git lfs pull` replaces by the file, of ",
    (b"\x1f\x8b", b"pk\x03\x04", b"bzh", b"\xfd7zxz"): "a packed file, to be unpacked, of ",
}


def described(data: bytes) -> str:
    """What a file of a wrong checksum holds, in a few words."""
    head = data[:1000].lstrip().lower()
    what = next((what for starts, what in _OTHER_THINGS.items() if head.startswith(starts)), "")
    return f"{what}{len(data)} bytes with SHA-256 {hashlib.sha256(data).hexdigest()[:12]}..."


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
def _temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A locked temporary beside `path`, removed at the end if it is still there."""
    temporary, lock = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        place = path.parent / f".{path.name}.{os.urandom(4).hex()}"
        make(place)
        temporary = place
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


def _new_file(path: Path) -> None:
    open(path, "x").close()


def _permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _permissions_of_files(folder: Path) -> int:
    """Those that a new file in a folder gets: by the umask, or by the folder's access control list. A look changes neither."""
    trial = folder / ".permissions"
    _new_file(trial)
    try:
        return _permissions(trial)
    finally:
        trial.unlink()


def _set_permissions(path: Path, wanted: int) -> None:
    # unasked, a folder keeps a group that we are not in
    if not path.is_symlink() and _permissions(path) != wanted:
        os.chmod(path, wanted)


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


def _fsync(path: Path) -> None:
    """Have the bytes on the disk before the name is: a power cut must not leave a whole name of half a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove what killed writers of `path` left; others' temporaries are locked, or too young to be yet."""
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}")
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
