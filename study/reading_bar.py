"""One bar with the time left over everything that a plan reads, whichever model is being read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from activations.progress import Progress as Show
from study.plan import Plan

__all__ = ["ReadingBar"]


class ReadingBar:
    """The bar; it is on the screen only while something is read, so that others may draw in between.

    >>> bar = ReadingBar(Plan(readings=(), rate=None, dtype="float32", machine=""), enabled=False)
    >>> bar.total
    0
    """

    def __init__(self, plan: Plan, console: Console | None = None, *, enabled: bool = True) -> None:
        self.plan, self.total = plan, plan.tokens
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
        self.progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
            transient=True,
            disable=not (enabled and self.total),
            speed_estimate_period=120,
        )
        self.task = self.progress.add_task("Reading", total=self.total or 1)

    @contextmanager
    def reading(self, index: int, name: str) -> Iterator[Show]:
        """Show the bar while the plan's reading at `index` is done; gives what `extract` is to tell."""
        before = sum(one.tokens for one in self.plan.readings[:index])
        tokens = self.plan.readings[index].tokens
        if not tokens:  # cached
            yield False
            return

        def tell(share: float) -> None:
            self.progress.update(self.task, completed=before + share * tokens)

        words = f"Reading {name} ({index + 1} of {len(self.plan.readings)})"
        self.progress.update(self.task, description=words)
        self.progress.start()
        try:
            yield tell
        finally:
            tell(1.0)
            self.progress.stop()
