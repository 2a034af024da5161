"""Numbers with intervals: ratios of sums over items, resampled by whole items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

PerItem = Float[np.ndarray, "item"]
Pair = tuple[PerItem, PerItem]
"""Numerator and denominator of a ratio, by item."""


@dataclass(frozen=True, kw_only=True)
class ItemEstimate:
    """A share or mean with its 95 % interval (percentile bootstrap over items); NaN-free by construction."""

    value: float
    low: float
    high: float
    n: int
    """How many items it rests on."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Resamples:
    """Bootstrap resamples of items, the same for every number of a report, so that all are paired.

    Args:
        items: how many there are.
        draws: how many resamples.
        seed: of the resamples.
        strata: stratum of each item; whole items are drawn within theirs (none: one stratum).

    Raises:
        ValueError: no items.

    >>> Resamples(4, draws=200).mean([1.0, 1.0, 1.0, 1.0])
    ItemEstimate(value=1.0, low=1.0, high=1.0, n=4)
    """

    def __init__(
        self, items: int, *, draws: int = 2000, seed: int = 0, strata: ArrayLike | None = None
    ) -> None:
        if items < 1:
            raise ValueError("there is no item, so nothing can be estimated")
        rng = np.random.default_rng(seed)
        names = np.zeros(items, int) if strata is None else np.asarray(strata)
        members = [np.flatnonzero(names == name) for name in np.unique(names)]
        drawn = [some[rng.integers(0, len(some), (draws, len(some)))] for some in members]
        self._chosen = np.concatenate(drawn, axis=1)

    def mean(self, values: ArrayLike) -> ItemEstimate:
        """Mean over items."""
        top = np.asarray(values, float)
        found = self.ratio(top, np.ones_like(top))
        assert found is not None
        return found

    def ratio(self, top: ArrayLike, bottom: ArrayLike) -> ItemEstimate | None:
        """Sum of `top` over sum of `bottom`; None when `bottom` is zero throughout.

        >>> Resamples(2).ratio([1, 0], [0, 0]) is None
        True
        """
        return self.change((np.asarray(top, float), np.asarray(bottom, float)), None)

    def statistic(self, compute: Callable[[Int[np.ndarray, " item"]], float]) -> ItemEstimate | None:
        """Any number that `compute` gives for a choice of items (their places, with repetition).

        Resamples in which it is not finite are left out; None when it is not finite on the items themselves.

        >>> values = np.array([1.0, 2.0, 4.0])
        >>> Resamples(3).statistic(lambda items: float(np.median(values[items]))).value
        2.0
        """
        n = self._chosen.shape[1]
        value = compute(np.arange(n))
        if not np.isfinite(value):
            return None
        resampled = np.array([compute(items) for items in self._chosen])
        low, high = np.percentile(resampled[np.isfinite(resampled)], [2.5, 97.5])
        return ItemEstimate(value=float(value), low=float(low), high=float(high), n=n)

    def change(self, after: Pair, before: Pair | None) -> ItemEstimate | None:
        """Ratio after minus ratio before, paired by item; resamples in which one is undefined are left out.

        None when one of them is undefined on the items themselves.
        """
        pairs = [after] if before is None else [after, before]
        if any(bottom.sum() == 0 for _, bottom in pairs):
            return None
        value, n = 0.0, len(after[1])
        resampled = np.zeros(len(self._chosen))
        for sign, (top, bottom) in zip((1, -1), pairs, strict=False):
            value += sign * float(top.sum() / bottom.sum())
            n = min(n, int((bottom > 0).sum()))
            tops, bottoms = top[self._chosen].sum(1), bottom[self._chosen].sum(1)
            resampled += sign * np.divide(tops, bottoms, out=np.full(len(tops), np.nan), where=bottoms > 0)
        low, high = np.percentile(resampled[np.isfinite(resampled)], [2.5, 97.5])
        return ItemEstimate(value=value, low=float(low), high=float(high), n=n)
