"""What a sample can and cannot show: equivalence tests, smallest detectable AUROC, sample sizes.

"No better than chance" is a claim of its own and needs an equivalence test with a margin fixed beforehand; a
confidence interval that merely includes one half is inconclusive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from probes.evaluation.bootstrap import GroupBootstrap, has_spread, interval_of_draws
from probes.evaluation.delong import delong_interval
from probes.evaluation.kinds import ChanceVerdict
from probes.evaluation.metrics import check_labels
from probes.evaluation.results import Equivalence

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from probes.evaluation.intervals import AurocInterval

__all__ = [
    "equivalence_of_draws",
    "equivalence_test",
    "minimum_detectable_auroc",
    "null_standard_error",
    "rows_for_equivalence",
]


def equivalence_test(
    y: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
    n_draws: int = 2000,
    seed: int = 0,
) -> Equivalence:
    """Test whether the AUROC lies within `margin` of one half (two one-sided tests, Schuirmann 1987).

    The test is passed when the `1 - 2 alpha` cluster-bootstrap interval lies inside `.5 +- margin`. Verdicts:
    `equivalent`; else `above` or `inverted` when the `1 - alpha` interval excludes one half; else
    `inconclusive`.

    >>> y = np.tile([0, 1], 200)
    >>> equivalence_test(y, np.repeat(np.arange(200), 2), n_draws=200, margin=0.1).verdict.value
    'equivalent'
    """
    labels = check_labels(y, scores)
    resample = GroupBootstrap(labels, groups, n_draws=n_draws, seed=seed)
    values = np.asarray(scores, dtype=np.float64)
    return equivalence_of_draws(
        resample.draws(values[None])[0],
        margin,
        alpha,
        edge=lambda level: delong_interval(labels, values, groups, level=level),
    )


def equivalence_of_draws(
    draws: Float[np.ndarray, " draw"],
    margin: float = 0.05,
    alpha: float = 0.05,
    edge: Callable[[float], AurocInterval] | None = None,
) -> Equivalence:
    """Return the verdict from bootstrap draws of an AUROC.

    `edge(level)` gives the interval where all draws are the same, as they are at AUROC 0 and 1.

    >>> equivalence_of_draws(np.full(10, 0.8)).verdict.value
    'above'
    """
    if edge is not None and not has_spread(draws):
        inner, outer = edge(1 - 2 * alpha), edge(1 - alpha)
        low, high, outer_low, outer_high = inner.low, inner.high, outer.low, outer.high
    else:
        low, high = interval_of_draws(draws, 1 - 2 * alpha)
        outer_low, outer_high = interval_of_draws(draws, 1 - alpha)
    if 0.5 - margin < low and high < 0.5 + margin:
        verdict = ChanceVerdict.EQUIVALENT
    elif outer_low > 0.5:
        verdict = ChanceVerdict.ABOVE
    elif outer_high < 0.5:
        verdict = ChanceVerdict.INVERTED
    else:
        verdict = ChanceVerdict.INCONCLUSIVE
    return Equivalence(margin=margin, low=low, high=high, level=1 - 2 * alpha, verdict=verdict)


def null_standard_error(n_positive: int, n_negative: int, design_effect: float = 1.0) -> float:
    """Return the standard error of an AUROC whose truth is one half (Mann-Whitney, no ties).

    >>> round(null_standard_error(100, 100), 4)
    0.0409
    """
    if n_positive < 1 or n_negative < 1:
        raise ValueError(f"need rows of both classes, got {n_positive} positive and {n_negative} negative")
    return float(np.sqrt(design_effect * (n_positive + n_negative + 1) / (12 * n_positive * n_negative)))


def minimum_detectable_auroc(
    n_positive: int,
    n_negative: int,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> float:
    """Return the smallest AUROC above one half that this sample finds with the given power.

    `design_effect` multiplies the variance for grouped rows: `1 + (m - 1) ICC` for groups of m, or
    `delong.design_effect` of the scores at hand.

    >>> round(minimum_detectable_auroc(100, 100), 3), round(minimum_detectable_auroc(500, 500), 3)
    (0.615, 0.551)
    """
    quantile = norm.ppf(1 - alpha / (2 if two_sided else 1)) + norm.ppf(power)
    return float(min(0.5 + quantile * null_standard_error(n_positive, n_negative, design_effect), 1.0))


def rows_for_equivalence(margin: float = 0.05, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the rows per class that show equivalence within `margin` when the truth is exactly one half.

    >>> rows_for_equivalence(0.05), rows_for_equivalence(0.1)
    (572, 144)
    """
    quantile = norm.ppf(1 - alpha) + norm.ppf(1 - (1 - power) / 2)
    n = 1
    while quantile * null_standard_error(n, n) > margin:
        n += 1
    return n
