"""Permutation nulls: what the best of a grid reaches when labels mean nothing.

Scores stay fixed and label vectors are permuted, jointly for every layer and setting, so the null keeps the
correlation between cells. All permutations and cells cost one matrix product of labels with midranks.

The unit of exchange must respect the groups:

- `rows`: rows are independent;
- `groups`: the labels of whole groups are swapped between groups of equal size, and move inside each group
  too, since the order of its rows means nothing;
- `within`: labels are permuted inside each group, which asks whether the score separates answers to the same
  question.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from probes.evaluation.arrays import Labels
from probes.evaluation.groups import group_members
from probes.evaluation.metrics import auroc_columns, check_labels
from probes.evaluation.results import NullSummary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["MaxNull", "exchangeable_share", "max_statistic_null", "permuted_labels", "summarise_null"]

NO_SPREAD = (
    "no permutation of the labels (unit: {unit}) changes the AUROC, so there is no p-value: either all "
    "scores are equal or no label can move; give groups of the same size, or of both classes"
)
UNITS = ("auto", "rows", "groups", "within")


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxNull:
    """The best AUROC over a grid and its null distribution."""

    observed: float
    best: tuple[int, ...]  # index of the best cell
    p_value: float | None  # (1 + #{null >= observed}) / (draws + 1), one-sided; None: the null has no spread
    null: Float[np.ndarray, " draw"]
    unit: str
    exchangeable: float  # share of rows whose label could move at all


def max_statistic_null(
    y: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_permutations: int = 1000,
    unit: str = "auto",
    seed: int = 0,
) -> MaxNull:
    """Return the largest AUROC over score vectors `[..., row]` with its permutation null.

    Args:
        y: labels 0/1.
        scores: any leading axes (layer, setting, ...) and rows last. The scores must not have been fitted
            to these labels.
        groups: group of each row; needed for the units `groups` and `within`.
        n_permutations: draws.
        unit: `rows`, `groups`, `within`, or `auto`: rows when every row is its own group, else groups.
        seed: seed of the permutations.

    The order of the rows does not matter. Where no permutation changes the AUROC (labels that cannot move,
    scores that are all equal) there is no p-value, and a warning says so.

    >>> rng = np.random.default_rng(0)
    >>> result = max_statistic_null([0, 1] * 20, rng.normal(size=(30, 40)), n_permutations=99)
    >>> result.observed > 0.5, 0 < result.p_value <= 1
    (True, True)
    """
    found = quiet_null(y, scores, groups, n_permutations=n_permutations, unit=unit, seed=seed)
    if found.p_value is None:
        warnings.warn(NO_SPREAD.format(unit=found.unit), stacklevel=2)
    return found


def quiet_null(
    y: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None,
    *,
    n_permutations: int,
    unit: str = "auto",
    seed: int = 0,
) -> MaxNull:
    """Return `max_statistic_null` without its warning, for callers that write their own."""
    labels = check_labels(y, scores)
    array = np.asarray(scores, dtype=np.float64)
    cells = array.reshape(-1, array.shape[-1])
    member = group_members(groups, len(labels))
    if len(np.unique(member)) < len(labels):
        # One order for all ways to write the same rows down: by group, then by score.
        order = np.lexsort((*cells[:8], member))
        labels, cells, groups = labels[order], cells[:, order], member[order]
    draws, used = permuted_labels(labels, groups, n_permutations, unit=unit, seed=seed)
    ranks = rankdata(cells, axis=1)
    n1 = int(labels.sum())
    n0 = len(labels) - n1
    table = (draws.astype(np.float64) @ ranks.T - n1 * (n1 + 1) / 2) / (n1 * n0)  # [draw, cell]
    null = table.max(1)
    observed = auroc_columns(labels, cells)
    best = int(observed.argmax())
    value = float(observed[best])
    return MaxNull(
        observed=value,
        best=tuple(int(i) for i in np.unravel_index(best, array.shape[:-1])) if array.ndim > 1 else (),
        # Equal AUROCs are counted as equal despite rounding of the last bit.
        p_value=None
        if np.ptp(null) < 1e-12
        else float((1 + np.sum(null >= value - 1e-12)) / (n_permutations + 1)),
        null=null,
        unit=used,
        exchangeable=exchangeable_share(labels, groups, used),
    )


def permuted_labels(
    y: Labels,
    groups: ArrayLike | None,
    n_permutations: int,
    *,
    unit: str = "auto",
    seed: int = 0,
) -> tuple[Int[np.ndarray, "draw row"], str]:
    """Return permuted label vectors `[draw, row]` and the unit that was used.

    >>> draws, unit = permuted_labels(np.array([0, 1, 0, 1]), ["a", "a", "b", "b"], 3, unit="within")
    >>> draws.sum(1).tolist(), unit
    ([2, 2, 2], 'within')
    """
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r} is not known; choose one of {', '.join(UNITS)}")
    member = group_members(groups, len(y))
    if unit == "auto":
        unit = "rows" if len(np.unique(member)) == len(y) else "groups"
    rng = np.random.default_rng([seed, len(y), n_permutations])
    if unit == "rows":
        return y[rng.permuted(np.tile(np.arange(len(y)), (n_permutations, 1)), axis=1)], unit
    if groups is None:
        raise ValueError(f"unit={unit!r} needs groups")
    order = np.argsort(member, kind="stable")
    sizes = np.bincount(member)
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    draws = np.tile(y, (n_permutations, 1))
    for size in np.unique(sizes):
        rows = order[starts[sizes == size][:, None] + np.arange(size)]  # [group, place]
        if unit == "within":
            block = np.tile(y[rows], (n_permutations, 1, 1))
            draws[:, rows] = rng.permuted(block, axis=2)
        else:
            swap = rng.permuted(np.tile(np.arange(len(rows)), (n_permutations, 1)), axis=1)
            draws[:, rows] = rng.permuted(y[rows][swap], axis=2)
    return draws, unit


def summarise_null(name: str, result: MaxNull, n_bins: int = 40) -> NullSummary:
    """Turn a null into the record that a histogram is drawn from.

    >>> result = max_statistic_null([0, 1, 0, 1], [[0.0, 1.0, 0.0, 1.0]], n_permutations=19)
    >>> summarise_null("one cell", result).n_draws
    19
    """
    low, high = float(result.null.min()), float(max(result.null.max(), result.observed))
    counts, edges = np.histogram(result.null, bins=n_bins, range=(low, high if high > low else low + 1e-3))
    return NullSummary(
        name=name,
        unit=result.unit,
        n_draws=len(result.null),
        observed=result.observed,
        p_value=result.p_value,
        mean=float(result.null.mean()),
        quantile95=float(np.quantile(result.null, 0.95)),
        maximum=float(result.null.max()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def exchangeable_share(y: Labels, groups: ArrayLike | None, unit: str = "groups") -> float:
    """Return the share of rows whose label can move at all when this unit is permuted.

    >>> round(exchangeable_share(np.array([0, 1, 1]), ["a", "a", "b"]), 3)
    0.667
    """
    member = group_members(groups, len(y))
    if unit == "rows" or groups is None:
        return 1.0
    sizes = np.bincount(member)
    positives = np.bincount(member, weights=y)
    movable = (positives > 0) & (positives < sizes)
    if unit != "within":
        movable |= np.bincount(sizes)[sizes] > 1
    return float(sizes[movable].sum() / len(y))
