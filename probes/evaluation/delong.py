"""DeLong's variance of AUROCs on the same rows, in Obuchowski's form for rows that come in groups.

Rows of one group (question, problem) are not independent; on independent rows both forms agree, and agree
with the cluster bootstrap of `bootstrap.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata

from probes.evaluation.groups import group_members
from probes.evaluation.intervals import AurocInterval, newcombe_difference, newcombe_interval
from probes.evaluation.metrics import check_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DelongResult", "delong_covariance", "delong_interval", "delong_test", "design_effect"]


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
) -> tuple[Float[np.ndarray, " score"], Float[np.ndarray, "score score"]]:
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


def design_effect(y: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> float:
    """Return how many times larger the variance of the AUROC is because rows come in groups.

    >>> design_effect([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0], ["a", "b", "c", "d"])
    1.0
    """
    vector = np.asarray(scores, dtype=np.float64)[None]
    clustered, independent = (float(delong_covariance(y, vector, g)[1][0, 0]) for g in (groups, None))
    return float(clustered / independent) if independent > 1e-15 else 1.0


def _cluster_sums(
    values: Float[np.ndarray, "score row"], member: Int[np.ndarray, " row"], size: int
) -> Float[np.ndarray, "score cluster"]:
    sums = np.zeros((len(values), size))
    np.add.at(sums.T, member, values.T)
    return sums


def _bessel(clusters: int) -> float:
    return clusters / (clusters - 1) if clusters > 1 else 1.0
