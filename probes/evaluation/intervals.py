"""Intervals that follow from counts alone: of a proportion, of an AUROC, of the difference of two.

Newcombe's work at AUROC 0 and 1, where resampling and DeLong's variance say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest, norm

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AurocInterval", "clopper_pearson", "newcombe_difference", "newcombe_interval", "wilson_interval"]


@dataclass(frozen=True, kw_only=True)
class AurocInterval:
    """An AUROC (or a difference of two) with its interval and what it rests on."""

    value: float
    low: float
    high: float
    level: float
    method: str
    n_positive: int
    n_negative: int
    n_groups: int
    redrawn: int = 0  # bootstrap samples that lacked a class and were drawn again


def newcombe_interval(
    value: float, n_positive: int, n_negative: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Return Newcombe's (2006, method 5) interval, which works at AUROC 0 and 1 too.

    >>> low, high = newcombe_interval(1.0, 10, 10)
    >>> round(low, 2), high
    (0.8, 1.0)
    """
    z = norm.ppf((1 + level) / 2)
    extra = (n_positive + n_negative) / 2 - 1

    def excess(theta: float) -> float:
        shape = 1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)
        return float((theta - value) ** 2 - z**2 * theta * (1 - theta) * shape / (n_positive * n_negative))

    low = 0.0 if value <= 0 else _root(excess, 0.0, value - 1e-12)
    high = 1.0 if value >= 1 else _root(excess, value + 1e-12, 1.0)
    return low, high


def newcombe_difference(first: Any, second: Any) -> tuple[float, float]:
    """Return the interval of `first - second` from the intervals of both, by square-and-add.

    Newcombe (1998), method 10; takes anything with `value`, `low` and `high`. It works where one of the two
    is 0 or 1 and resampling is not possible. The two count as independent, which is conservative for scores
    of the same rows.

    >>> from probes.evaluation.delong import delong_interval
    >>> perfect = delong_interval([0] * 10 + [1] * 10, np.arange(20.0))
    >>> low, high = newcombe_difference(perfect, perfect)
    >>> round(low, 2), round(high, 2)
    (-0.2, 0.2)
    """
    difference = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return float(max(difference - below, -1.0)), float(min(difference + above, 1.0))


def wilson_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    >>> low, high = wilson_interval(0, 10)
    >>> low, round(high, 3)
    (0.0, 0.278)
    """
    if n == 0:
        return 0.0, 1.0
    ends = binomtest(hits, n).proportion_ci(level, method="wilson")
    return float(ends.low), float(ends.high)


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial interval of a proportion.

    >>> low, high = clopper_pearson(3, 300)
    >>> round(low, 3), round(high, 3)
    (0.002, 0.029)
    """
    if n == 0:
        return 0.0, 1.0
    ends = binomtest(hits, n).proportion_ci(level, method="exact")
    return float(ends.low), float(ends.high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high))  # pyright: ignore[reportArgumentType]
