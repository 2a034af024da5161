"""Rows that hold several token activations each, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Ragged", "as_ragged"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Token activations `[token, d]` with bounds `[row + 1]`: row i owns `offsets[i]:offsets[i + 1]`."""

    values: Float[np.ndarray, "token d"]
    offsets: Int[np.ndarray, " bound"]

    def __post_init__(self) -> None:
        counts = np.diff(self.offsets)
        if len(self.offsets) < 2 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError(
                f"offsets must run from 0 to {len(self.values)} tokens, got {self.offsets[:1]} to "
                f"{self.offsets[-1:]}"
            )
        if (counts < 1).any():
            raise ValueError(f"row {int(np.argmin(counts))} holds no tokens; drop it or select other tokens")
        if not np.isfinite(self.values).all():
            raise ValueError("token activations hold NaN or infinite values; extract these rows again")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[np.ndarray, " row"]:
        """Tokens of each row."""
        return np.diff(self.offsets)

    @property
    def row_of(self) -> Int[np.ndarray, " token"]:
        """The row of each token."""
        return np.repeat(np.arange(len(self)), self.counts)

    def mean(self) -> Float[np.ndarray, "row d"]:
        """Return the mean activation of each row."""
        return np.add.reduceat(self.values, self.offsets[:-1], axis=0) / self.counts[:, None]

    def take(self, rows: Any) -> Ragged:
        """Return some rows, by index or boolean mask."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        parts = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in chosen]
        return Ragged(np.concatenate(parts), np.r_[0, np.cumsum([len(part) for part in parts])])


def as_ragged(X: Any) -> Ragged:
    """Accept a `Ragged`, a pair (values, offsets) as a store gives it, or a list of `[token, d]` arrays.

    >>> len(as_ragged([np.ones((2, 3)), np.ones((1, 3))]))
    2
    """
    if isinstance(X, Ragged):
        return X
    if isinstance(X, tuple) and len(X) == 2 and np.ndim(X[1]) == 1:
        return Ragged(np.asarray(X[0], dtype=np.float64), np.asarray(X[1], dtype=np.int64))
    if not isinstance(X, Sequence) or not len(X):
        raise ValueError("give token activations as a list of [token, d] arrays or as (values, offsets)")
    parts = [np.asarray(row, dtype=np.float64) for row in X]
    if any(part.ndim != 2 or part.shape[1] != parts[0].shape[1] for part in parts):
        raise ValueError(f"rows must be [token, d] of one width, got {[part.shape for part in parts[:3]]}")
    return Ragged(np.concatenate(parts), np.r_[0, np.cumsum([len(part) for part in parts])])
