"""Every evaluator for itself, before and after, with paired tests over evaluators (arXiv 2409.12822, 4.2).

The test asks whether other evaluators of this kind would fare the same on these items; intervals over items
(`rlhf.diagnostics.approval`) ask whether these evaluators would on other items. Both are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student
from scipy.stats import ttest_rel

from rlhf.diagnostics.estimates import ItemEstimate
from rlhf.diagnostics.judged import Judged


@dataclass(frozen=True, kw_only=True)
class Individual:
    """How often one evaluator is wrong about one model."""

    name: str
    error: float
    """Share of its judgements that approve what is wrong or reject what is right."""
    false_positives: float | None
    """Share of wrong answers that it approves; None: no wrong answer."""


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """The same evaluators on two models."""

    before: float
    """Mean over evaluators."""
    after: float
    change: ItemEstimate
    """Mean change with Student's interval over evaluators."""
    rose: float
    """Share of evaluators whose number rose."""
    t: float | None
    """Paired t; None where all changes are equal."""
    p: float | None
    """Two-sided."""


def individuals(judged: Judged) -> tuple[Individual, ...]:
    """Each evaluator's numbers."""
    wrong_about = np.abs(judged.approved - judged.truth[:, None]).mean(0)
    false = [None] * len(judged.evaluators) if judged.correct.all() else _false_positives(judged)
    return tuple(
        Individual(name=name, error=float(error), false_positives=share)
        for name, error, share in zip(judged.evaluators, wrong_about, false, strict=True)
    )


def _false_positives(judged: Judged) -> list[float]:
    return [float(share) for share in judged.approved[~judged.correct].mean(0)]


def paired_test(before: Sequence[float], after: Sequence[float]) -> PairedTest:
    """Compare one number of each evaluator, before and after.

    Raises:
        ValueError: fewer than two evaluators, or different ones.

    >>> found = paired_test([0.2, 0.3, 0.4], [0.3, 0.5, 0.4])
    >>> round(found.change.value, 3), round(found.rose, 2), round(found.p, 3)
    (0.1, 0.67, 0.225)
    """
    if len(before) != len(after) or len(before) < 2:
        raise ValueError(
            f"need the same two or more evaluators before and after, got {len(before)} and {len(after)}"
        )
    gains = np.asarray(after, float) - np.asarray(before, float)
    n, mean = len(gains), float(gains.mean())
    spread = bool(np.ptp(gains) > 1e-12)
    half = float(student.ppf(0.975, n - 1) * gains.std(ddof=1) / n**0.5) if spread else 0.0
    test = ttest_rel(after, before) if spread else None
    return PairedTest(
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        change=ItemEstimate(value=mean, low=mean - half, high=mean + half, n=n),
        rose=float((gains > 0).mean()),
        t=None if test is None else float(test.statistic),
        p=None if test is None else float(test.pvalue),
    )
