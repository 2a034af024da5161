"""A progress bar over tokens, which take the time, rather than rows."""

from typing import Any

from activations.job import ExtractionJob


class TokenProgress:
    """Counts tokens as they are done; shows nothing unless enabled."""

    def __init__(self, job: ExtractionJob, *, enabled: bool) -> None:
        self.job, self.enabled = job, enabled
        self.bar: Any = None

    def __enter__(self) -> "TokenProgress":
        if self.enabled:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
            self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self.bar.start()
            total = sum(len(row) for row in self.job.rows)
            self.task = self.bar.add_task(f"Reading activations of {len(self.job.rows)} rows", total=total)
        return self

    def advance(self, tokens: int) -> None:
        """Count tokens as computed."""
        if self.bar is not None:
            self.bar.advance(self.task, tokens)

    def skip(self, tokens: int) -> None:
        """Count tokens that an earlier run computed; they do not enter the estimate of the time left."""
        if self.bar is not None and tokens:
            self.bar.reset(self.task, completed=tokens)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
