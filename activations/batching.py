"""Batches that waste nothing: rows of like length together, at most so many tokens with padding.

Longest first, so memory trouble shows at once. The planner knows lengths only; it returns row numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

MAX_PADDING = 1.05  # padded / real tokens that a batch of useful size may reach


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Row numbers in batches with `rows x longest <= token_budget`, longest rows first.

    A row longer than the budget gets a batch of its own. A batch that has reached a quarter of the budget
    is closed early when the next row would push padding above 5 %.

    >>> plan_batches([30, 100, 99, 20], token_budget=240)
    [[1, 2], [0, 3]]
    """
    if token_budget < 1:
        raise ValueError(f"token_budget={token_budget}: give a positive number of tokens per batch.")
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    real = 0
    for i in order:
        if batches and _fits(len(batches[-1]) + 1, lengths[batches[-1][0]], real + lengths[i], token_budget):
            batches[-1].append(i)
            real += lengths[i]
        else:
            batches.append([i])
            real = lengths[i]
    return batches


def _fits(rows: int, longest: int, real: int, token_budget: int) -> bool:
    padded = rows * longest
    return padded <= token_budget and (padded <= token_budget / 4 or padded <= MAX_PADDING * real)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Right-padded rows and the flat list of positions that are kept of them."""

    ids: Int[Tensor, "batch position"]
    mask: Bool[Tensor, "batch position"]
    """True on real tokens."""
    row_of: Int[Tensor, "selected"]
    """Batch row of every kept token."""
    position_of: Int[Tensor, "selected"]
    counts: Int[Tensor, "batch"]
    """Kept tokens of every row."""

    def to(self, device: str | torch.device) -> "Batch":
        """The batch on another device."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def collate(ids: Sequence[Int[np.ndarray, "_"]], selected: Sequence[Int[np.ndarray, "_"]]) -> Batch:
    """Right-pad rows of token ids into one batch.

    >>> batch = collate([np.array([5, 6, 7]), np.array([8])], [np.array([2]), np.array([0])])
    >>> batch.ids.tolist(), batch.counts.tolist()
    ([[5, 6, 7], [8, 0, 0]], [1, 1])
    """
    longest = max(len(row) for row in ids)
    padded = np.zeros((len(ids), longest), dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=bool)
    for row, values in enumerate(ids):
        padded[row, : len(values)] = values
        mask[row, : len(values)] = True
    counts = np.array([len(kept) for kept in selected], dtype=np.int64)
    return Batch(
        ids=torch.from_numpy(padded),
        mask=torch.from_numpy(mask),
        row_of=torch.from_numpy(np.repeat(np.arange(len(ids)), counts)),
        position_of=torch.from_numpy(np.concatenate([*selected, np.zeros(0, dtype=np.int64)])).long(),
        counts=torch.from_numpy(counts),
    )
