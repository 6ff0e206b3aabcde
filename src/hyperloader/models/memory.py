"""What a device has too little of; does not load torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hyperloader.errors import RunError


@contextmanager
def memory_for(what: str, remedy: str) -> Iterator[None]:
    """Tell a lack of memory in one line.

    Args:
        what: it was for, with the shapes that decide how much.
        remedy: what lowers them.

    Raises:
        RunError: there was too little.
    """
    try:
        yield
    except RuntimeError as error:
        # what a CPU raises has no class of its own
        if type(error).__name__ != "OutOfMemoryError" and "can't allocate memory" not in str(error):
            raise
        raise RunError(f"too little memory for {what}", remedy=remedy) from None
