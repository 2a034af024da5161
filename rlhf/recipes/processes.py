"""The processes that share one run: one by default, several under `torchrun`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Processes:
    """Rank, count and the two collectives that training needs (accelerate underneath).

    >>> alone = Processes()
    >>> alone.count, alone.share(range(4)), alone.sum(torch.ones(2))
    (1, [0, 1, 2, 3], tensor([1., 1.]))
    """

    def __init__(self) -> None:
        from accelerate import PartialState

        self._state = PartialState(cpu=not torch.cuda.is_available())
        self.rank: int = self._state.process_index
        self.count: int = self._state.num_processes

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device(self._state.device or "cpu")

    def share(self, places: Sequence[int]) -> list[int]:
        """Which of these places are this process's own."""
        return list(places)[self.rank :: self.count]

    def gather(self, rows: list[Any]) -> list[Any]:
        """The rows of all processes, on each of them."""
        from accelerate.utils import gather_object

        return gather_object(rows) if self.count > 1 else rows

    def sum(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.count > 1:
            torch.distributed.all_reduce(values)
        return values

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum gradients over processes; a process that had no part counts as zero."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.count > 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
            parts = flat.split([gradient.numel() for gradient in gradients])
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.grad = part.view_as(parameter)

    def wait(self) -> None:
        """Until all processes are here."""
        self._state.wait_for_everyone()
