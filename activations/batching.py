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


def plan_batches(lengths: Sequence[int], token_budget: int, long_from: int | None = None) -> list[list[int]]:
    """Row numbers in batches with `rows x longest <= token_budget`, longest rows first.

    A row longer than the budget gets a batch of its own. A batch that has reached a quarter of the budget
    is closed early when the next row would push padding above 5 %. Rows longer than `long_from` never meet
    others in a batch (see `Anatomy.long_from`).

    >>> plan_batches([30, 100, 99, 20], token_budget=240)
    [[1, 2], [0, 3]]
    """
    if token_budget < 1:
        raise ValueError(f"token_budget={token_budget}: give a positive number of tokens per batch.")
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    real = 0
    for i in order:
        apart = batches and long_from is not None and lengths[i] <= long_from < lengths[batches[-1][0]]
        if (
            batches
            and not apart
            and _fits(len(batches[-1]) + 1, lengths[batches[-1][0]], real + lengths[i], token_budget)
        ):
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
class Kept:
    """Which tokens of a batch of hidden states are kept, and which row each belongs to."""

    flat: Int[Tensor, "selected"]
    """Index into `[batch x position]`."""
    owner: Int[Tensor, "selected"]
    """Row that each kept token is pooled into; rises from 0."""
    counts: Int[Tensor, "row"]
    """Kept tokens of every row."""

    def to(self, device: str | torch.device) -> "Kept":
        """The same indices on another device."""
        return Kept(**{name: value.to(device) for name, value in vars(self).items()})

    @classmethod
    def at(cls, selected: Sequence[Int[np.ndarray, "_"]], starts: Sequence[int]) -> "Kept":
        """Tokens `selected[row]`, counted from flat index `starts[row]`."""
        counts = np.array([len(kept) for kept in selected], dtype=np.int64)
        flat = [
            np.asarray(kept, dtype=np.int64) + start for kept, start in zip(selected, starts, strict=True)
        ]
        return cls(
            flat=torch.from_numpy(np.concatenate([*flat, np.zeros(0, dtype=np.int64)])),
            owner=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
            counts=torch.from_numpy(counts),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Right-padded rows and what is kept of them."""

    ids: Int[Tensor, "batch position"]
    mask: Bool[Tensor, "batch position"]
    """True on real tokens."""
    kept: "Kept"

    @property
    def computed(self) -> int:
        """Tokens the model is given, padding included."""
        return self.ids.numel()

    def to(self, device: str | torch.device) -> "Batch":
        """The batch on another device."""
        return Batch(ids=self.ids.to(device), mask=self.mask.to(device), kept=self.kept.to(device))


def collate(ids: Sequence[Int[np.ndarray, "_"]], selected: Sequence[Int[np.ndarray, "_"]]) -> Batch:
    """Right-pad rows of token ids into one batch.

    >>> batch = collate([np.array([5, 6, 7]), np.array([8])], [np.array([2]), np.array([0])])
    >>> batch.ids.tolist(), batch.kept.flat.tolist()
    ([[5, 6, 7], [8, 0, 0]], [2, 3])
    """
    longest = max(len(row) for row in ids)
    padded = np.zeros((len(ids), longest), dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=bool)
    for row, values in enumerate(ids):
        padded[row, : len(values)] = values
        mask[row, : len(values)] = True
    starts = [row * longest for row in range(len(ids))]
    return Batch(ids=torch.from_numpy(padded), mask=torch.from_numpy(mask), kept=Kept.at(selected, starts))
