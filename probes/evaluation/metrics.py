"""Metrics of a score against binary labels: exact with ties, and never turned around.

Labels are 0/1 with 1 = misleading; a higher score claims "more likely misleading". An AUROC below one half
is a fact about the data and stays below one half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import expit
from scipy.stats import rankdata

from probes.evaluation.arrays import Labels, Scores
from probes.evaluation.groups import group_members, is_missing
from probes.rounding import is_flat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "RateAtThreshold",
    "auroc",
    "auroc_columns",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "check_labels",
    "expected_calibration_error",
    "platt",
    "reliability",
    "roc_points",
    "threshold_at_fpr",
    "tpr_at_fpr",
    "weighted_auroc",
    "within_group_auroc",
]


def check_labels(y: ArrayLike, scores: ArrayLike | None = None) -> Labels:
    """Return `y` as int 0/1 with both classes present; ValueError naming what is wrong otherwise.

    >>> check_labels([0, 1, True])
    array([0, 1, 1])
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"labels must be a non-empty vector, got shape {labels.shape}")
    if labels.dtype.kind in "Of" and (missing := [i for i, label in enumerate(labels) if is_missing(label)]):
        rows = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"labels must be 0 or 1 (1 = misleading): {len(missing)} of {labels.size} rows have none "
            f"(row {rows})"
        )
    if labels.dtype.kind == "O" and len({isinstance(label, str) for label in labels}) > 1:
        raise ValueError("labels must be 0 or 1 (1 = misleading), got texts and numbers")
    values = np.unique(labels)
    if not np.all(np.isin(values, (0, 1))):
        raise ValueError(f"labels must be 0 or 1 (1 = misleading), got values {values[:5].tolist()}")
    if len(values) < 2:
        raise ValueError(
            f"labels hold one class only (all {labels.size} are {int(values[0])}); an AUROC needs both: "
            "check how the labels were made or drop this subset"
        )
    if scores is not None:
        array = np.asarray(scores)
        if array.shape[-1] != labels.size:
            raise ValueError(f"{labels.size} labels but {array.shape[-1]} scores")
        if not np.isfinite(array).all():
            raise ValueError(
                f"{int((~np.isfinite(array)).sum())} scores are NaN or infinite; repair them first"
            )
    return labels.astype(np.int64)


def auroc(y: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve by midranks, `(R1 - n1 (n1 + 1) / 2) / (n1 n0)`; ties count half.

    Equal to the probability that a random positive scores above a random negative (Hanley & McNeil 1982).

    >>> auroc([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.4])
    0.875
    >>> auroc([0, 1], [5.0, 5.0])
    0.5
    """
    labels = check_labels(y, scores)
    return float(auroc_columns(labels, np.asarray(scores, dtype=np.float64)[None])[0])


def auroc_columns(y: Labels, scores: Float[np.ndarray, "*cell row"]) -> Float[np.ndarray, " *cell"]:
    """Return the AUROC of each score vector in `scores` against one label vector.

    >>> auroc_columns(np.array([0, 1]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    array([1., 0.])
    """
    n1 = int(y.sum())
    n0 = len(y) - n1
    ranks = rankdata(scores, axis=-1)
    return (ranks[..., y == 1].sum(-1) - n1 * (n1 + 1) / 2) / (n1 * n0)


def weighted_auroc(
    y: Labels, scores: Scores, weights: Shaped[np.ndarray, "draw row"], in_order: bool = False
) -> Float[np.ndarray, " draw"]:
    """Return the AUROC of one score vector under each row weighting in `weights`.

    With integer weights this equals the AUROC of the rows repeated that often. NaN where a class has no
    weight. With `in_order` the rows are taken to be sorted by score already.

    >>> weighted_auroc(np.array([0, 1, 1]), np.array([0.5, 1.0, 0.0]), np.array([[1, 1, 1], [1, 3, 1]]))
    array([0.5 , 0.75])
    """
    weights = np.asarray(weights, dtype=np.float64)
    if not in_order:
        order = np.argsort(scores, kind="stable")
        scores, y, weights = scores[order], y[order], weights[:, order]
    # Equal scores share one block; a positive beats the negatives of earlier blocks and half of its own.
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    positive, negative = weights * (y == 1), weights * (y == 0)
    if len(starts) < len(scores):
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
    below = np.cumsum(negative, axis=1)
    wins = np.einsum("bn,bn->b", positive, below) - 0.5 * np.einsum("bn,bn->b", positive, negative)
    mass = positive.sum(1) * below[:, -1]
    return np.divide(wins, mass, out=np.full(len(weights), np.nan), where=mass > 0)


def within_group_auroc(
    y: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, min_pairs: int = 1
) -> float | None:
    """Return the AUROC over positive-negative pairs of the same group only.

    A probe that only knows how hard a question is has a high pooled AUROC and .5 here. None when there are
    fewer than `min_pairs`.

    >>> within_group_auroc([0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9], ["a", "a", "b", "b"])
    1.0
    """
    labels = check_labels(y, scores)
    values = np.asarray(scores, dtype=np.float64)
    member = group_members(groups, len(labels))
    wins = pairs = 0.0
    for group in range(member.max() + 1):
        here = member == group
        positive, negative = values[here & (labels == 1)], values[here & (labels == 0)]
        if len(positive) and len(negative):
            difference = positive[:, None] - negative[None]
            wins += (difference > 0).sum() + 0.5 * (difference == 0).sum()
            pairs += difference.size
    return float(wins / pairs) if pairs >= max(min_pairs, 1) else None


def roc_points(
    y: ArrayLike, scores: ArrayLike, max_points: int = 200
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return false and true positive rates from (0, 0) to (1, 1), at most about `max_points` of them.

    >>> roc_points([0, 1], [0.0, 1.0])
    (array([0., 0., 1.]), array([0., 1., 1.]))
    """
    labels = check_labels(y, scores)
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.r_[values[order][1:] != values[order][:-1], True])
    hits = np.cumsum(labels[order])[last]
    false = last + 1 - hits
    tpr = np.r_[0.0, hits / labels.sum()]
    fpr = np.r_[0.0, false / (labels == 0).sum()]
    if len(fpr) > max_points:
        keep = np.unique(np.linspace(0, len(fpr) - 1, max_points).round().astype(int))
        fpr, tpr = fpr[keep], tpr[keep]
    return fpr, tpr


def average_precision(y: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the precision-recall steps; its chance level is the prevalence.

    >>> average_precision([0, 1], [0.0, 1.0])
    1.0
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(check_labels(y, scores), np.asarray(scores)))


class RateAtThreshold(NamedTuple):
    """True and false positive rate of the rule `score > threshold`."""

    tpr: float
    fpr: float
    threshold: float


def threshold_at_fpr(benign_scores: ArrayLike, alpha: float) -> float:
    """Return the smallest threshold t with `#(benign > t) <= floor(alpha n)`; the rule is `score > t`.

    Conservative: the rate on these rows never exceeds `alpha`, also with ties.

    >>> threshold_at_fpr([0.0, 1.0, 2.0, 3.0], alpha=0.25)
    2.0
    """
    benign = np.sort(np.asarray(benign_scores, dtype=np.float64))
    if benign.size == 0:
        raise ValueError("no benign scores: a false positive rate needs rows with label 0")
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha={alpha} must be in [0, 1)")
    allowed = int(np.floor(alpha * benign.size + 1e-9))
    return float(benign[benign.size - 1 - allowed])


def tpr_at_fpr(y: ArrayLike, scores: ArrayLike, alpha: float = 0.01) -> RateAtThreshold:
    """Return the true positive rate at the conservative threshold for `alpha`, and the FPR it achieves.

    The threshold here comes from these same rows. To assessor a frozen threshold on other data, take it with
    `threshold_at_fpr` there and count here.

    >>> tpr_at_fpr([0, 0, 1, 1], [0.0, 2.0, 1.0, 3.0], alpha=0.0)
    RateAtThreshold(tpr=0.5, fpr=0.0, threshold=2.0)
    """
    labels = check_labels(y, scores)
    values = np.asarray(scores, dtype=np.float64)
    threshold = threshold_at_fpr(values[labels == 0], alpha)
    hit = values > threshold
    return RateAtThreshold(
        tpr=float(hit[labels == 1].mean()), fpr=float(hit[labels == 0].mean()), threshold=threshold
    )


def balanced_accuracy(y: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the mean of the true positive and true negative rate of `score > threshold`.

    >>> balanced_accuracy([0, 1], [0.0, 1.0], 0.5)
    1.0
    """
    labels = check_labels(y, scores)
    hit = np.asarray(scores) > threshold
    return float((hit[labels == 1].mean() + (~hit[labels == 0]).mean()) / 2)


def brier_score(y: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared distance of probabilities from the labels.

    >>> brier_score([0, 1], [0.0, 0.5])
    0.125
    """
    return float(np.mean((np.asarray(probability) - check_labels(y, probability)) ** 2))


def reliability(
    y: ArrayLike, probability: ArrayLike, n_bins: int = 10
) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"], Int[np.ndarray, " bin"]]:
    """Return mean prediction, observed rate and count per equal-mass bin; rows that tie share a bin.

    >>> reliability([0, 1], [0.2, 0.9], n_bins=2)
    (array([0.2, 0.9]), array([0., 1.]), array([1, 1]))
    """
    labels = np.asarray(y, dtype=np.float64)
    values = np.asarray(probability, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    first_rank = np.searchsorted(values[order], values, side="left")
    member = (first_rank * n_bins) // len(values)
    counts = np.bincount(member, minlength=n_bins)
    kept = counts > 0
    predicted = np.bincount(member, weights=values, minlength=n_bins)[kept] / counts[kept]
    observed = np.bincount(member, weights=labels, minlength=n_bins)[kept] / counts[kept]
    return predicted, observed, counts[kept]


def expected_calibration_error(y: ArrayLike, probability: ArrayLike, n_bins: int = 10) -> float:
    """Return the mean gap of predicted and observed rate over equal-mass bins, weighted by their counts.

    >>> round(expected_calibration_error([0, 1], [0.25, 0.75], n_bins=2), 3)
    0.25
    """
    check_labels(y, probability)
    predicted, observed, counts = reliability(y, probability, n_bins)
    return float(np.average(np.abs(predicted - observed), weights=counts))


def platt(y: ArrayLike, scores: ArrayLike, ridge: float = 1e-6) -> tuple[float, float]:
    """Return slope and intercept of `sigmoid(slope * score + intercept)` with Platt's smoothed targets.

    Platt (1999), by Newton steps on standardised scores. The slope may be negative: calibration reports
    what is there.

    >>> slope, intercept = platt([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0])
    >>> slope > 0, abs(intercept) < 1e-6
    (True, True)
    """
    labels = check_labels(y, scores)
    slope, intercept = platt_columns(labels, np.asarray(scores, dtype=np.float64)[None], ridge)
    return float(slope[0]), float(intercept[0])


def platt_columns(
    y: Shaped[np.ndarray, " row"], scores: Float[np.ndarray, "column row"], ridge: float = 1e-6
) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """Return slopes and intercepts of `platt` for many columns of scores of the same rows, solved together.

    >>> slopes, _ = platt_columns(np.array([0, 1]), np.array([[-1.0, 1.0], [5.0, 5.0]]))
    >>> bool(slopes[0] > 0), float(slopes[1])
    (True, 0.0)
    """
    scores = scores.astype(np.float64)
    n1 = int(y.sum())
    n0 = len(y) - n1
    target = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    center, spread = scores.mean(1), scores.std(1)
    flat = is_flat(spread, np.abs(scores).max(1))
    unit = (scores - center[:, None]) / np.where(flat, 1.0, spread)[:, None]
    slope, intercept = np.zeros(len(scores)), np.zeros(len(scores))
    intercept[flat] = np.log(n1 / n0)
    open_columns = np.flatnonzero(~flat)
    for _ in range(100):
        if not len(open_columns):
            break
        x = unit[open_columns]
        theta = np.stack([slope[open_columns], intercept[open_columns]])
        p = expit(theta[0, :, None] * x + theta[1, :, None])
        weight, error = p * (1 - p), p - target
        a, b, c = (weight * x * x).sum(1) + ridge, (weight * x).sum(1), weight.sum(1) + ridge
        g, h = (error * x).sum(1) + ridge * theta[0], error.sum(1) + ridge * theta[1]
        step = np.stack([c * g - b * h, a * h - b * g]) / (a * c - b * b)
        longest = np.abs(step).max(0)
        step *= np.minimum(1.0, 2.0 / np.maximum(longest, 1e-300))
        slope[open_columns], intercept[open_columns] = theta - step
        open_columns = open_columns[np.abs(step).max(0) >= 1e-10]
    slope[~flat] /= spread[~flat]
    intercept[~flat] -= slope[~flat] * center[~flat]
    return slope, intercept
