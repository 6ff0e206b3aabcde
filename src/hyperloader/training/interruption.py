"""SIGTERM and Ctrl-C as a wish that the training can meet: at the end of the step, after a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hyperloader.errors import RunError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LIMIT = "--limit"
_limit: ContextVar[int | None] = ContextVar("limit", default=None)


class LimitReached(RunError):
    """A training has made as many steps as this call was to make."""


@contextmanager
def limited(steps: int | None) -> Iterator[None]:
    """Have trainings stop after so many steps, with a checkpoint, as by a signal."""
    token = _limit.set(steps)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def stop_request(*, heeded: bool = True) -> Iterator[Callable[[int], str | None]]:
    """Yield a function of the steps made since; it names what asked this process to stop, if anything did. A second signal ends it at once.

    Args:
        heeded: False leaves the signals as they are, as a thread other than the main one must.
    """
    received: list[str] = []

    def asked(steps: int) -> str | None:
        limit = _limit.get()
        return received[0] if received else LIMIT if limit is not None and steps >= limit else None

    if not heeded or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, _frame: object) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, former[number])

    former = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
