"""A progress bar over tokens, which take the time, rather than rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activations.job import ExtractionJob

Progress = bool | Callable[[float], None]
"""Whether a bar of its own is shown, or who is told the share (0 to 1) that is done."""


class TokenProgress:
    """Counts tokens as they are done; shows a bar, tells a caller's own, or does neither."""

    def __init__(self, job: ExtractionJob, *, show: Progress) -> None:
        self.job, self.show = job, show
        self.total = sum(len(row) for row in job.rows)
        self.done = 0
        self.bar: Any = None

    def __enter__(self) -> TokenProgress:
        if self.show is True:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
            self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(
                f"Reading activations of {len(self.job.rows)} rows", total=self.total
            )
        return self

    def advance(self, tokens: int) -> None:
        """Count tokens as computed."""
        self.done += tokens
        if self.bar is not None:
            self.bar.advance(self.task, tokens)
        self._tell()

    def skip(self, tokens: int) -> None:
        """Count tokens that an earlier run computed; they do not enter the estimate of the time left."""
        self.done += tokens
        if self.bar is not None and tokens:
            self.bar.reset(self.task, completed=tokens)
        self._tell()

    def _tell(self) -> None:
        if callable(self.show):
            self.show(self.done / self.total if self.total else 1.0)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
