"""Threads that take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from hyperloader.errors import RunError

_LOADING = threading.RLock()


class Turns:
    """Something that one at a time may use: `with turns():`.

    Other threads wait. Who asks again during its own turn, from a hook or a signal handler, would spoil what it has begun.
    """

    def __init__(self):
        # one that the same thread may take again, so that this is an error and not a wait for itself
        self._lock, self._taken = threading.RLock(), False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One turn.

        Raises:
            RunError: asked for within a turn of the same thread.
        """
        with self._lock:
            if self._taken:
                raise RunError("the model was called from within a call of its own", remedy="let that one end, or load the model twice")
            self._taken = True
            try:
                yield
            finally:
                self._taken = False

    def __reduce__(self) -> tuple:
        # a copy of what is used has turns of its own
        return Turns, ()


def loading(function: Callable) -> Callable:
    """Let a function that loads or builds models wait until no other thread is in such a one.

    While Transformers loads, the whole process makes modules without weights, initialises none and logs less.
    """

    @wraps(function)
    def waiting(*arguments, **options):
        with _LOADING:
            return function(*arguments, **options)

    return waiting
