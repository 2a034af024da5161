"""Intervals of AUROCs by resampling whole groups (questions, problems), never rows.

Where all resamples are equal, at AUROC 0 and 1, the interval is Newcombe's. Nulls are in `nulls.py`,
equivalence and power in `power.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from probes.evaluation.arrays import Labels, Scores
from probes.evaluation.delong import delong_interval
from probes.evaluation.groups import group_members
from probes.evaluation.intervals import AurocInterval, newcombe_difference
from probes.evaluation.metrics import auroc_columns, check_labels, weighted_auroc

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = ["GroupBootstrap", "bootstrap_auroc", "bootstrap_difference", "has_spread", "interval_of_draws"]

_CHUNK = 1_000_000  # weights held at once by the bootstrap, in numbers
_PAIRED = 1_000  # groups up to which their pairs are counted first, of at most four times as many rows


class GroupBootstrap:
    """Draws of whole groups, shared by every score on the same rows, so that differences are paired.

    A draw is an integer weight per group, and the weighted AUROC equals that of the resampled rows exactly:
    no activation or score is ever copied. Of few rows it is a quadratic form in the weights: how often a
    positive of one group beats a negative of another is counted once, for all draws. Draws without
    one of the classes are drawn again and counted.

    >>> resample = GroupBootstrap([0, 1, 0, 1], ["a", "a", "b", "b"], n_draws=100, seed=0)
    >>> resample.draws(np.array([[0.1, 0.9, 0.2, 0.3]])).shape
    (1, 100)
    """

    def __init__(self, y: ArrayLike, groups: ArrayLike | None = None, n_draws: int = 2000, seed: int = 0):
        self.y = check_labels(y)
        self.member = group_members(groups, len(self.y))
        self.n_groups = int(self.member.max()) + 1
        self.n_draws = n_draws
        if self.n_groups < 2:
            raise ValueError("all rows are of one group; an interval needs at least two groups")
        self.positive = np.bincount(self.member, weights=self.y, minlength=self.n_groups)
        self.negative = np.bincount(self.member, weights=1 - self.y, minlength=self.n_groups)
        rng = np.random.default_rng([seed, len(self.y), self.n_groups])
        kept: list[np.ndarray] = []
        found = drawn = 0
        while found < n_draws:
            chosen = rng.integers(0, self.n_groups, size=(n_draws, self.n_groups))
            chosen += self.n_groups * np.arange(n_draws)[:, None]
            batch = np.bincount(chosen.ravel(), minlength=n_draws * self.n_groups)
            batch = batch.reshape(n_draws, self.n_groups)
            usable = batch[(batch @ self.positive > 0) & (batch @ self.negative > 0)]
            drawn += n_draws
            if drawn > 100 * n_draws:
                raise ValueError(
                    "almost every resample lacks a class: too few groups hold one of the classes"
                )
            kept.append(usable)
            found += len(usable)
        self.redrawn = drawn - found
        self.counts = np.concatenate(kept)[:n_draws].astype(np.float64)

    def draws(self, scores: Float[np.ndarray, "score row"]) -> Float[np.ndarray, "score draw"]:
        """Return the AUROC of each score vector in each resample."""
        return np.stack([self._weighted(vector, self.counts) for vector in np.atleast_2d(scores)])

    def leave_one_out(self, scores: Float[np.ndarray, " row"]) -> Float[np.ndarray, " group"]:
        """Return the AUROC without each group in turn (NaN where a class goes missing)."""
        return self._weighted(scores, 1.0 - np.eye(self.n_groups))

    def _weighted(
        self, vector: Scores, counts: Float[np.ndarray, "draw group"]
    ) -> Float[np.ndarray, " draw"]:
        order = np.argsort(vector, kind="stable")
        y, sorted_scores, member = self.y[order], vector[order], self.member[order]
        if self.n_groups <= _PAIRED and len(y) <= 4 * _PAIRED:
            return self._of_pairs(_wins(y, sorted_scores, member, self.n_groups), counts)
        step = max(1, _CHUNK // len(y))
        parts = [
            weighted_auroc(y, sorted_scores, counts[start : start + step, member], in_order=True)
            for start in range(0, len(counts), step)
        ]
        return np.concatenate(parts)

    def _of_pairs(
        self, wins: Float[np.ndarray, "group group"], counts: Float[np.ndarray, "draw group"]
    ) -> Float[np.ndarray, " draw"]:
        won = np.einsum("dg,dg->d", counts @ wins, counts)
        pairs = (counts @ self.positive) * (counts @ self.negative)
        return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def _wins(y: Labels, scores: Scores, member: Int[np.ndarray, " row"], n: int) -> Float[np.ndarray, "n n"]:
    """How many positives of a group (row) score above negatives of a group (column); a tie is a half."""
    positive, negative = scores[y == 1, None], scores[y == 0]
    beats = (positive > negative) + 0.5 * (positive == negative)
    pair = member[y == 1, None] * n + member[y == 0]
    return np.bincount(pair.ravel(), weights=beats.ravel(), minlength=n * n).reshape(n, n)


def bootstrap_auroc(
    y: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_draws: int = 2000,
    method: str = "percentile",
    seed: int = 0,
) -> AurocInterval:
    """Return the AUROC with a bootstrap interval that resamples whole groups.

    Args:
        y: labels 0/1, 1 = misleading.
        scores: one score per row, higher = more likely misleading.
        groups: group of each row; None treats every row as its own group.
        level: coverage of the interval.
        n_draws: resamples.
        method: `percentile` or `bca` (bias-corrected and accelerated; Efron 1987, jackknife over groups).
        seed: seed of the resampling.

    >>> result = bootstrap_auroc([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.3, 0.9, 0.2, 0.7], n_draws=200)
    >>> round(result.value, 3), result.low < result.value <= result.high
    (0.889, True)
    """
    labels = check_labels(y, scores)
    values = np.asarray(scores, dtype=np.float64)
    resample = GroupBootstrap(labels, groups, n_draws=n_draws, seed=seed)
    value = float(auroc_columns(labels, values[None])[0])
    draws = resample.draws(values[None])[0]
    if not has_spread(draws):
        edge = delong_interval(labels, values, groups, level=level)
        return _interval(value, edge.low, edge.high, level, edge.method, resample)
    low, high = interval_of_draws(draws, level, method, value, lambda: resample.leave_one_out(values))
    return _interval(value, low, high, level, f"cluster bootstrap ({method})", resample)


def bootstrap_difference(
    y: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
) -> AurocInterval:
    """Return AUROC(a) - AUROC(b) on the same rows with a paired cluster-bootstrap interval.

    >>> bootstrap_difference([0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1], n_draws=50).value
    0.0
    """
    both = np.stack([np.asarray(scores_a, dtype=np.float64), np.asarray(scores_b, dtype=np.float64)])
    labels = check_labels(y, both)
    resample = GroupBootstrap(labels, groups, n_draws=n_draws, seed=seed)
    first, second = auroc_columns(labels, both)
    drawn = resample.draws(both)
    if all(has_spread(draws) for draws in drawn):
        low, high = interval_of_draws(np.subtract(*drawn), level)
        return _interval(float(first - second), low, high, level, "paired cluster bootstrap", resample)
    ours, theirs = (
        delong_interval(labels, scores, groups, level=level)
        if not has_spread(draws)
        else _interval(value, *interval_of_draws(draws, level), level, "", resample)
        for value, scores, draws in zip((first, second), both, drawn, strict=True)
    )
    low, high = newcombe_difference(ours, theirs)
    return _interval(float(first - second), low, high, level, "newcombe", resample)


def has_spread(draws: Float[np.ndarray, " draw"]) -> bool:
    """Say whether resamples differ at all; at AUROC 0 and 1 they do not, and give no interval.

    >>> has_spread(np.ones(3)), has_spread(np.array([0.9, 1.0]))
    (False, True)
    """
    return bool(np.ptp(draws) >= 1e-12)


def interval_of_draws(
    draws: Float[np.ndarray, " draw"],
    level: float = 0.95,
    method: str = "percentile",
    value: float | None = None,
    jackknife: Callable[[], Float[np.ndarray, " group"]] | None = None,
) -> tuple[float, float]:
    """Turn bootstrap draws into an interval.

    >>> interval_of_draws(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        assert value is not None
        assert jackknife is not None
        share = np.mean(draws < value) + 0.5 * np.mean(draws == value)
        if 0 < share < 1:
            bias = norm.ppf(share)
            left_out = jackknife()
            left_out = left_out[np.isfinite(left_out)]
            skew = left_out.mean() - left_out
            spread = (skew**2).sum()
            accelerate = (skew**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
            shifted = bias + norm.ppf(tails)
            tails = norm.cdf(bias + shifted / (1 - accelerate * shifted))
    elif method != "percentile":
        raise ValueError(f"method={method!r} is not known; choose percentile or bca")
    low, high = np.quantile(draws, tails)
    return float(low), float(high)


def _interval(
    value: float, low: float, high: float, level: float, method: str, draws: GroupBootstrap
) -> AurocInterval:
    n_positive = int(draws.y.sum())
    return AurocInterval(
        value=value,
        low=low,
        high=high,
        level=level,
        method=method,
        n_positive=n_positive,
        n_negative=len(draws.y) - n_positive,
        n_groups=draws.n_groups,
        redrawn=draws.redrawn,
    )
