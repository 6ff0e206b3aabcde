"""SIGTERM and Ctrl-C as a wish that the training can meet: at the end of the step, after a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_request(*, heeded: bool = True) -> Iterator[Callable[[], str | None]]:
    """Yield a function that names the signal which asked this process to stop, if one did; the second one ends it at once.

    Args:
        heeded: False leaves the signals as they are, as a thread other than the main one must.
    """
    received: list[str] = []
    if not heeded or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def note(number: int, _frame: object) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, former[number])

    former = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
