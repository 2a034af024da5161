"""Where the time of a round goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds by the name of what was done; on a GPU it waits until the work is finished.

    >>> watch = Stopwatch(torch.device("cpu"))
    >>> with watch.timed("sampling"):
    ...     pass
    >>> list(watch.seconds)
    ['sampling']
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def reset(self) -> None:
        """Forget what was measured."""
        self.seconds = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what happens inside to the seconds of `name`."""
        began = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
