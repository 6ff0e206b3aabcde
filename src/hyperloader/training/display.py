"""The progress bar of a training: loss, examples per second, time left. On a terminal only; a log gets lines instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

REFRESH_STEPS = 20


class Bar:
    """Counts steps; shows the mean of the latest losses now and then."""

    def __init__(self, progress: Progress, task: int):
        self._progress, self._task, self._examples = progress, task, 0

    def advance(self, losses: list[Tensor], examples: int) -> None:
        """One more step."""
        self._progress.advance(self._task)
        self._examples += examples
        if not self._progress.disable and len(losses) % REFRESH_STEPS == 0:
            latest = sum(loss.item() for loss in losses[-REFRESH_STEPS:]) / REFRESH_STEPS
            elapsed = self._progress.tasks[0].elapsed or 1
            self._progress.update(self._task, description=f"loss {latest:.3f}  {self._examples / elapsed:.0f} sentences/s")


@contextmanager
def progress_bar(steps: int, done: int, shown: bool = True) -> Iterator[Bar]:
    """A bar on stderr."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        yield Bar(progress, progress.add_task("training", total=steps, completed=done))
