"""Does a reward pay for being wrong? Measured on samples of the policy, before any training.

From K samples per item, each with its truth (`R*`) and its approval: an optimiser moves the policy towards
the samples that are approved most. Where the most-approved sample is wrong, approval pays for being wrong;
where all samples fare alike, it teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from rlhf.diagnostics.estimates import ItemEstimate, Resamples

Matrix = Float[np.ndarray, "item sample"]


@dataclass(frozen=True, kw_only=True)
class Incentive:
    """What a reward pays for."""

    items: int
    samples: int
    """Per item."""
    correct: ItemEstimate
    """Share of samples that are right."""
    any_wrong: ItemEstimate
    """Share of items with a wrong sample: no more than these can pay for being wrong."""
    best_is_wrong: ItemEstimate
    """Share of items whose most-approved sample is wrong; among equals, the share of them that is."""
    any_difference: ItemEstimate
    """Share of items whose samples are not all approved alike: the others teach nothing."""
    wrong_pays: ItemEstimate
    """Share of items where the mean approval of wrong samples exceeds that of right ones."""
    right_pays: ItemEstimate
    """Share of items where it is the other way round."""
    approval: ItemEstimate
    """Mean approval of a sample."""
    approval_best: ItemEstimate
    """Mean approval of an item's most-approved sample: what best-of-K would gain."""
    approval_right: ItemEstimate | None
    """Mean approval of right samples; None if there is none."""
    approval_wrong: ItemEstimate | None
    """Mean approval of wrong samples (with one evaluator: the false positive rate); None if there is none."""

    def __str__(self) -> str:
        parts = [
            f"{self.items} items, {self.samples} samples each",
            f"samples right {self.correct}, approved {self.approval}",
            f"the most approved sample of an item: approved {self.approval_best}, wrong {self.best_is_wrong}",
            f"items whose samples are not all approved alike {self.any_difference}",
            f"items where wrong samples are approved more {self.wrong_pays}, right ones {self.right_pays}",
        ]
        return "; ".join(parts)


def incentive(
    correct: Bool[np.ndarray, "item sample"], approval: Matrix, *, resamples: int = 2000, seed: int = 0
) -> Incentive:
    """Measure what an approval pays for.

    Args:
        correct: truth of each sample.
        approval: reward of each sample, by item.
        resamples: bootstrap resamples, of whole items.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that differ, fewer than two items or samples, or approvals that are not finite.

    >>> truth = np.array([[True, False], [True, False], [True, True]])
    >>> found = incentive(truth, np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]]))
    >>> round(found.best_is_wrong.value, 2), round(found.any_difference.value, 2)
    (0.33, 0.67)
    """
    correct, approval = np.asarray(correct, dtype=bool), np.asarray(approval, dtype=float)
    if correct.shape != approval.shape or correct.ndim != 2 or min(correct.shape) < 2:
        raise ValueError(
            f"need truth and approval of at least two samples of at least two items, [item, sample], "
            f"got {correct.shape} and {approval.shape}"
        )
    if not np.isfinite(approval).all():
        raise ValueError("approval holds values that are not finite; leave those items out and count them")
    best = approval == approval.max(1, keepdims=True)
    mixed = correct.any(1) & ~correct.all(1)
    right = np.where(mixed, _mean_where(approval, correct), 0.0)
    wrong = np.where(mixed, _mean_where(approval, ~correct), 0.0)
    drawn = Resamples(len(correct), draws=resamples, seed=seed)
    return Incentive(
        items=correct.shape[0],
        samples=correct.shape[1],
        correct=drawn.mean(correct.mean(1)),
        any_wrong=drawn.mean((~correct).any(1)),
        best_is_wrong=drawn.mean((best & ~correct).sum(1) / best.sum(1)),
        any_difference=drawn.mean(approval.max(1) > approval.min(1)),
        wrong_pays=drawn.mean(wrong > right),
        right_pays=drawn.mean(right > wrong),
        approval=drawn.mean(approval.mean(1)),
        approval_best=drawn.mean(approval.max(1)),
        approval_right=drawn.ratio((approval * correct).sum(1), correct.sum(1)),
        approval_wrong=drawn.ratio((approval * ~correct).sum(1), (~correct).sum(1)),
    )


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return (values * where).sum(1) / np.maximum(where.sum(1), 1)
