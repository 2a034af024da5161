"""Intervals and tests for AUROCs whose rows come in groups (questions, problems).

Rows of one group are not independent, so groups are resampled, never rows. Two ways to an interval, which
agree on independent rows: the cluster bootstrap, and DeLong's variance in Obuchowski's clustered form. Nulls
are in `nulls.py`, equivalence and power in `power.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.stats import binomtest, norm, rankdata

from probes.evaluation.groups import group_members
from probes.evaluation.metrics import auroc_columns, check_labels, weighted_auroc

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = [
    "AurocInterval",
    "DelongResult",
    "GroupBootstrap",
    "bootstrap_auroc",
    "bootstrap_difference",
    "clopper_pearson",
    "delong_covariance",
    "delong_interval",
    "delong_test",
    "design_effect",
    "newcombe_interval",
    "wilson_interval",
]

_CHUNK = 1_000_000  # weights held at once by the bootstrap, in numbers


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


class GroupBootstrap:
    """Draws of whole groups, shared by every score on the same rows, so that differences are paired.

    A draw is an integer weight per row, and the weighted AUROC equals that of the resampled rows exactly:
    no activation or score is ever copied. Draws without one of the classes are drawn again and counted.

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
        positive = np.bincount(self.member, weights=self.y, minlength=self.n_groups)
        negative = np.bincount(self.member, weights=1 - self.y, minlength=self.n_groups)
        rng = np.random.default_rng([seed, len(self.y), self.n_groups])
        kept: list[np.ndarray] = []
        found = drawn = 0
        while found < n_draws:
            chosen = rng.integers(0, self.n_groups, size=(n_draws, self.n_groups))
            chosen += self.n_groups * np.arange(n_draws)[:, None]
            batch = np.bincount(chosen.ravel(), minlength=n_draws * self.n_groups)
            batch = batch.reshape(n_draws, self.n_groups)
            usable = batch[(batch @ positive > 0) & (batch @ negative > 0)]
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

    def _weighted(self, vector: np.ndarray, counts: np.ndarray) -> np.ndarray:
        order = np.argsort(vector, kind="stable")
        y, sorted_scores, member = self.y[order], vector[order], self.member[order]
        step = max(1, _CHUNK // len(y))
        parts = [
            weighted_auroc(y, sorted_scores, counts[start : start + step, member], in_order=True)
            for start in range(0, len(counts), step)
        ]
        return np.concatenate(parts)


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


def has_spread(draws: np.ndarray) -> bool:
    """Say whether resamples differ at all; at AUROC 0 and 1 they do not, and give no interval.

    >>> has_spread(np.ones(3)), has_spread(np.array([0.9, 1.0]))
    (False, True)
    """
    return bool(np.ptp(draws) >= 1e-12)


def newcombe_difference(first: Any, second: Any) -> tuple[float, float]:
    """Return the interval of `first - second` from the intervals of both, by square-and-add.

    Newcombe (1998), method 10; takes anything with `value`, `low` and `high`. It works where one of the two
    is 0 or 1 and resampling is not possible. The two count as independent, which is conservative for scores
    of the same rows.

    >>> perfect = delong_interval([0] * 10 + [1] * 10, np.arange(20.0))
    >>> low, high = newcombe_difference(perfect, perfect)
    >>> round(low, 2), round(high, 2)
    (-0.2, 0.2)
    """
    difference = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    return float(max(difference - below, -1.0)), float(min(difference + above, 1.0))


def interval_of_draws(
    draws: np.ndarray,
    level: float = 0.95,
    method: str = "percentile",
    value: float | None = None,
    jackknife=None,
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


@dataclass(frozen=True, kw_only=True)
class DelongResult:
    """A paired comparison of two scores on the same rows."""

    auroc_a: float
    auroc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    level: float
    z: float
    p_value: float


def delong_covariance(
    y: ArrayLike, scores: Float[np.ndarray, "score row"], groups: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUROCs of several scores on the same rows and their covariance matrix.

    DeLong et al. (1988), and with `groups` the clustered form of Obuchowski (1997).

    >>> values, covariance = delong_covariance([0, 1, 0, 1], np.array([[0.0, 1.0, 2.0, 3.0]]))
    >>> values, covariance.shape
    (array([0.75]), (1, 1))
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    labels = check_labels(y, scores)
    member = group_members(groups, len(labels))
    n1 = int(labels.sum())
    n0 = len(labels) - n1
    everyone = rankdata(scores, axis=1)
    of_positive = (everyone[:, labels == 1] - rankdata(scores[:, labels == 1], axis=1)) / n0
    of_negative = 1 - (everyone[:, labels == 0] - rankdata(scores[:, labels == 0], axis=1)) / n1
    values = of_positive.mean(1)
    size = int(member.max()) + 1
    by_positive = _cluster_sums(of_positive - values[:, None], member[labels == 1], size)
    by_negative = _cluster_sums(of_negative - values[:, None], member[labels == 0], size)
    clusters1 = len(np.unique(member[labels == 1]))
    clusters0 = len(np.unique(member[labels == 0]))
    covariance = _bessel(clusters1) * by_positive @ by_positive.T / n1**2
    covariance = covariance + _bessel(clusters0) * by_negative @ by_negative.T / n0**2
    cross = _bessel(size) * by_positive @ by_negative.T / (n1 * n0)
    return values, covariance + cross + cross.T


def delong_test(
    y: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> DelongResult:
    """Test AUROC(a) = AUROC(b) for two scores on the same rows; two-sided, clustered when `groups` is given.

    >>> result = delong_test([0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 2, 3], [1, 0, 0, 1, 3, 2])
    >>> round(result.difference, 3), 0 < result.p_value < 1
    (0.333, True)
    """
    both = np.stack([np.asarray(scores_a, dtype=np.float64), np.asarray(scores_b, dtype=np.float64)])
    values, covariance = delong_covariance(y, both, groups)
    difference = float(values[0] - values[1])
    variance = max(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), 0.0)
    error = float(np.sqrt(variance))
    quantile = float(norm.ppf((1 + level) / 2))
    low, high = difference - quantile * error, difference + quantile * error
    if np.diag(covariance).min() <= 1e-15:
        # An AUROC of 0 or 1 has no variance here, but is not known exactly: score intervals instead.
        ours, theirs = (delong_interval(y, scores, groups, level=level) for scores in both)
        low, high = newcombe_difference(ours, theirs)
        error = (difference - low if difference > 0 else high - difference) / quantile
    z = difference / error if error > 1e-12 else 0.0
    return DelongResult(
        auroc_a=float(values[0]),
        auroc_b=float(values[1]),
        difference=difference,
        standard_error=error,
        low=low,
        high=high,
        level=level,
        z=float(z),
        p_value=float(2 * norm.sf(abs(z))),
    )


def delong_interval(
    y: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, *, level: float = 0.95
) -> AurocInterval:
    """Return the AUROC with DeLong's interval on the logit scale; Newcombe's where the variance is zero.

    >>> delong_interval([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0]).method
    'newcombe'
    """
    values, covariance = delong_covariance(y, np.asarray(scores, dtype=np.float64)[None], groups)
    labels = check_labels(y)
    member = group_members(groups, len(labels))
    value, variance = float(values[0]), float(covariance[0, 0])
    n1 = len(np.unique(member[labels == 1]))
    n0 = len(np.unique(member[labels == 0]))
    if variance <= 1e-15 or value in (0.0, 1.0):
        low, high, method = *newcombe_interval(value, n1, n0, level=level), "newcombe"
    else:
        center = np.log(value / (1 - value))
        width = norm.ppf((1 + level) / 2) * np.sqrt(variance) / (value * (1 - value))
        low, high = (float(1 / (1 + np.exp(-edge))) for edge in (center - width, center + width))
        method = "delong" if groups is None else "clustered delong"
    return AurocInterval(
        value=value,
        low=low,
        high=high,
        level=level,
        method=method,
        n_positive=int(labels.sum()),
        n_negative=int((1 - labels).sum()),
        n_groups=int(member.max()) + 1,
    )


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


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high))  # pyright: ignore[reportArgumentType]


def design_effect(y: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> float:
    """Return how many times larger the variance of the AUROC is because rows come in groups.

    >>> design_effect([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0], ["a", "b", "c", "d"])
    1.0
    """
    vector = np.asarray(scores, dtype=np.float64)[None]
    clustered, independent = (float(delong_covariance(y, vector, g)[1][0, 0]) for g in (groups, None))
    return float(clustered / independent) if independent > 1e-15 else 1.0


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


def _cluster_sums(values: np.ndarray, member: np.ndarray, size: int) -> np.ndarray:
    sums = np.zeros((len(values), size))
    np.add.at(sums.T, member, values.T)
    return sums


def _bessel(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else 1.0
