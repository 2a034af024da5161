r"""How good is a reward model? The measures of PPE (arXiv 2410.14872), as pure functions of scores.

Three levels. *Responses*: a score per response against labels or probabilities. *Items*: which of an item's K
responses is chosen (best-of-K). *Systems* (here: organisms): which system is better on the whole, from the
same items answered by all; this is where PPE compares with human leaderboards, and where the measures of
Arena-Hard (arXiv 2406.11939) live: separability, agreement with confidence, Brier score of pairs.

Numbers that exist elsewhere come from there (scipy, scikit-learn); the others are stated in their docstrings.
Arrays of [item, sample] may hold NaN where an item has fewer samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from rlhf.recipes.best_of_n import best_of_k_by_item

Samples = Float[np.ndarray, "item sample"]
Systems = Float[np.ndarray, "system item"]


def pairwise_accuracy(scores: Samples, reference: Samples) -> Float[np.ndarray, "item count"]:
    """Pairs of one item's responses in the order of the reference, and pairs in all, by item.

    Only pairs that the reference tells apart count; a tie of the scores counts half. The accuracy is
    the sum of the first column over the sum of the second.

    >>> pairwise_accuracy(np.array([[0.1, 0.9, 0.9]]), np.array([[0.0, 1.0, 0.5]])).tolist()
    [[2.5, 3.0]]
    """
    ours = np.sign(scores[:, :, None] - scores[:, None, :])
    theirs = np.sign(reference[:, :, None] - reference[:, None, :])
    counted = np.triu(np.ones(scores.shape[1:] * 2, bool), 1) & np.isfinite(theirs) & (theirs != 0)
    counted &= np.isfinite(ours)
    right = np.where(counted, (np.nan_to_num(ours * theirs) + 1) / 2, 0.0)
    return np.stack([right.sum((1, 2)), counted.sum((1, 2)).astype(float)], axis=1)


def auroc_of(labels: Bool[np.ndarray, " row"], scores: Float[np.ndarray, " row"]) -> float:
    """Area under the ROC curve, ties half; NaN where there is one class only.

    >>> auroc_of(np.array([False, True, False, True]), np.array([0.1, 0.9, 0.4, 0.4]))
    0.875
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rank_correlation(
    compute: Callable[..., tuple[float, float]],
    scores: Float[np.ndarray, " row"],
    reference: Float[np.ndarray, " row"],
) -> float:
    """`scipy.stats.spearmanr` or `kendalltau`; NaN where one side is constant or there are no two rows.

    >>> rank_correlation(stats.spearmanr, np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 5.0]))
    1.0
    """
    if len(scores) < 2 or scores.min() == scores.max() or reference.min() == reference.max():
        return float("nan")
    return round(float(compute(scores, reference)[0]), 12)


def brier_of_shares(probability: Float[np.ndarray, " row"], share: Float[np.ndarray, " row"]) -> float:
    """Mean squared distance of P(agree) from individual votes, of which a `share` agrees.

    >>> brier_of_shares(np.array([0.5]), np.array([0.5]))
    0.25
    """
    return float(np.mean(share * (1 - probability) ** 2 + (1 - share) * probability**2))


def calibration_error(
    probability: Float[np.ndarray, " row"], share: Float[np.ndarray, " row"], bins: int = 10
) -> float:
    """Expected calibration error: mean gap of predicted and observed rate over equal-mass bins.

    Rows that tie share a bin. With labels 0 and 1 it is `probes.expected_calibration_error`; shares of a pool
    that approves may lie between.

    >>> round(calibration_error(np.array([0.25, 0.75]), np.array([0.0, 1.0]), bins=2), 3)
    0.25
    """
    place = np.searchsorted(np.sort(probability), probability, side="left")
    member = place * bins // len(probability)
    counts = np.bincount(member, minlength=bins)
    gap = np.bincount(member, weights=probability - share, minlength=bins)
    return float(np.abs(gap).sum() / counts.sum())


def best_of_k_summary(
    scores: Samples, value: Samples
) -> tuple[tuple[int, ...], Float[np.ndarray, "item k"], Float[np.ndarray, "item k"]]:
    """`value` of the response chosen by `scores`, and of the one chosen by `value` itself, by item and K.

    K = 1, 2, 4, ... up to the number of samples that every item has.

    Raises:
        ValueError: an item without two samples.
    """
    common = int((np.isfinite(scores) & np.isfinite(value)).sum(1).min())
    if common < 2:
        raise ValueError("best-of-K needs at least two scored samples of every item; leave the others out")
    ks = tuple(dict.fromkeys([*(1 << k for k in range(common.bit_length())), common]))
    return ks, best_of_k_by_item(scores, value, ks), best_of_k_by_item(value, value, ks)


def win_rates(scores: Systems) -> Float[np.ndarray, "system system"]:
    """Share of items on which the row's system scores above the column's, ties half.

    >>> win_rates(np.array([[1.0, 1.0], [0.0, 1.0]])).tolist()
    [[0.5, 0.75], [0.25, 0.5]]
    """
    above = np.sign(scores[:, None] - scores[None, :])
    return ((above + 1) / 2).mean(-1)


def row_wise_pearson(scores: Systems, reference: Systems) -> float:
    """Mean over systems of Pearson's correlation of their win rates against all others.

    NaN where no row of both win-rate matrices varies (needs at least three systems).
    """
    ours, theirs = win_rates(scores), win_rates(reference)
    others = ~np.eye(len(ours), dtype=bool)
    found = []
    for row in range(len(ours)):
        x, y = ours[row][others[row]], theirs[row][others[row]]
        if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0:
            found.append(float(np.corrcoef(x, y)[0, 1]))
    return float(np.mean(found)) if found else float("nan")


def mean_intervals(scores: Systems, *, draws: int = 1000, seed: int = 0) -> Float[np.ndarray, "system bound"]:
    """95 % intervals of each system's mean, from resamples of the items (the same for all systems)."""
    chosen = np.random.default_rng(seed).integers(0, scores.shape[1], (draws, scores.shape[1]))
    return np.percentile(scores[:, chosen].mean(-1), [2.5, 97.5], axis=1).T


def apart(intervals: Float[np.ndarray, "system bound"]) -> Float[np.ndarray, "system system"]:
    """1 where the row's interval lies wholly above the column's, -1 where below, 0 where they overlap.

    >>> apart(np.array([[0.0, 0.4], [0.5, 0.9], [0.3, 0.6]])).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    low, high = intervals.T
    return (low[:, None] > high[None, :]).astype(float) - (high[:, None] < low[None, :])


def separability(intervals: Float[np.ndarray, "system bound"]) -> float:
    """Share of pairs of systems whose intervals do not overlap (arXiv 2406.11939).

    >>> round(separability(np.array([[0.0, 0.4], [0.5, 0.9], [0.3, 0.6]])), 3)
    0.333
    """
    upper = np.triu_indices(len(intervals), 1)
    return float(np.abs(apart(intervals)[upper]).mean())


def confidence_agreement(
    intervals: Float[np.ndarray, "system bound"], reference: Float[np.ndarray, "system bound"]
) -> float:
    """Agreement with confidence, in -1 to 1 (arXiv 2406.11939).

    Over the pairs that the reference separates: +1 where the scores separate them in the same order, -1
    in the other, 0 where they do not separate them. NaN where the reference separates none.

    >>> three = np.array([[0.0, 0.1], [0.5, 0.6], [0.9, 1.0]])
    >>> confidence_agreement(three, three), confidence_agreement(three[::-1], three)
    (1.0, -1.0)
    """
    upper = np.triu_indices(len(intervals), 1)
    theirs = apart(reference)[upper]
    if not theirs.any():
        return float("nan")
    return float((apart(intervals)[upper] * theirs)[theirs != 0].mean())


def pair_brier(scores: Systems, reference: Systems, *, draws: int = 1000, seed: int = 0) -> float:
    """Brier score of the order of pairs of systems (arXiv 2406.11939), lower is better.

    The probability that a system is better is the share of resamples of the items in which its mean score is
    higher (ties half); the outcome is the order of the reference's means. Pairs that the reference ties are
    left out; NaN where none is left.

    >>> pair_brier(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[0.9, 0.9], [0.1, 0.2]]))
    0.0
    """
    chosen = np.random.default_rng(seed).integers(0, scores.shape[1], (draws, scores.shape[1]))
    means = scores[:, chosen].mean(-1)
    upper = np.triu_indices(len(scores), 1)
    better = ((np.sign(means[:, None] - means[None, :]) + 1) / 2).mean(-1)[upper]
    truth = reference.mean(1)
    order = np.sign(truth[:, None] - truth[None, :])[upper]
    known = order != 0
    return float(((better - (order + 1) / 2) ** 2)[known].mean()) if known.any() else float("nan")
