"""Standard input, output and error, whatever the shell made of them: closed, a full disk, a reader that has gone, other encodings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hyperloader.errors import UserError
from hyperloader.files import as_user_error


def open_standard_streams() -> None:
    """Have something at the numbers of all three, and text on standard output in UTF-8, like all files.

    Where one is closed, a file that is opened later would get its number, and what libraries print would go there. Standard output
    then takes nothing, so that a command that has something to say fails; Python leaves `sys.stdin` None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", errors="backslashreplace", closefd=False)
    # the name of a file may be of bytes that are no text
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


@contextmanager
def flushed_output() -> Iterator[None]:
    """Everything said arrives, or it is known that it does not.

    Raises:
        UserError: the system forbids something or has no room for it, on standard output or elsewhere.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # what has not arrived is given up, or Python would try again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            sys.exit(1)  # as after a broken pipe in the middle
        told = as_user_error(error)
        if told is None:
            raise
        raise told from error


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End a program with one line on standard error and exit status 2 if a user caused an error in it."""
    try:
        yield
    except UserError as error:
        with suppress(OSError):  # a log on a full disk
            print(f"hyperloader: {error}", file=sys.stderr)
        sys.exit(2)
