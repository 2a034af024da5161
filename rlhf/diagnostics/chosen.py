"""What choosing the most approved of K samples does, without any training: misleading before optimisation.

Every item has K samples of the policy. One pool chooses, another measures: correctness, approval and the
approval of wrong answers (false positive rate) of what is chosen, against an average sample. Best-of-K moves
the policy by at most log K - (K - 1) / K nats (arXiv 2112.09332), so settings of the evaluators are compared
at the same distance, which trained policies are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from rlhf.diagnostics.estimates import ItemEstimate


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """Measures of an average sample and of the chosen one; shares, with 95 % intervals by item."""

    items: int
    samples: int
    kl_bound: float
    """Nats that best-of-K moves the policy by, at most."""
    right: ItemEstimate
    right_chosen: ItemEstimate
    right_change: ItemEstimate
    approved: ItemEstimate
    approved_chosen: ItemEstimate
    approved_change: ItemEstimate
    false_positive: ItemEstimate | None
    """Approval of wrong samples; None where none is wrong (of all, or of what is chosen)."""
    false_positive_chosen: ItemEstimate | None
    false_positive_change: ItemEstimate | None


def best_of(
    correct: Bool[np.ndarray, "item sample"],
    reward: Float[np.ndarray, "item sample"],
    measured: Float[np.ndarray, "item sample"],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> BestOf:
    """Choose by `reward` and measure by `measured`; samples of equal reward share the choice.

    Args:
        correct: truth of each sample.
        reward: approval by the pool that chooses.
        measured: approval by a pool that has no part in the choice.
        resamples: bootstrap resamples, of whole items.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that differ, fewer than two items or samples, or values that are not finite.

    >>> truth = np.array([[True, False], [True, False]])
    >>> found = best_of(truth, np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.5, 0.75], [0.5, 0.75]]))
    >>> found.right_change.value, found.approved_change.value
    (-0.5, 0.125)
    """
    shapes = {np.shape(values) for values in (correct, reward, measured)}
    if len(shapes) > 1 or np.ndim(correct) != 2 or min(np.shape(correct)) < 2:
        raise ValueError(f"need [item, sample] of at least 2 x 2, the same for all three; got {shapes}")
    if not (np.isfinite(reward).all() and np.isfinite(measured).all()):
        raise ValueError("reward or measured holds values that are not finite; leave those items out")
    items, samples = np.shape(correct)
    even = np.full((items, samples), 1 / samples)
    best = reward == reward.max(1, keepdims=True)
    chosen = best / best.sum(1, keepdims=True)
    draws = np.random.default_rng(seed).integers(0, items, (resamples, items))

    def three(values: np.ndarray, among: np.ndarray) -> list[ItemEstimate | None]:
        """Share before, share chosen and the change, of `values` over the samples in `among`."""
        ways = [(weight * among).sum(1) for weight in (even, chosen)]
        tops = [(weight * values * among).sum(1) for weight in (even, chosen)]
        with np.errstate(invalid="ignore", divide="ignore"):
            found = [top.sum() / bottom.sum() for top, bottom in zip(tops, ways, strict=True)]
            drawn = [t[draws].sum(1) / b[draws].sum(1) for t, b in zip(tops, ways, strict=True)]
        found, drawn = [*found, found[1] - found[0]], [*drawn, drawn[1] - drawn[0]]
        return [_estimate(value, draw, items) for value, draw in zip(found, drawn, strict=True)]

    all_of_them = np.ones_like(even)
    right = three(correct.astype(float), all_of_them)
    approved = three(measured, all_of_them)
    false_positive = three(measured, (~correct).astype(float))
    names = ("right", "approved", "false_positive")
    named = {
        name + part: estimate
        for name, triple in zip(names, (right, approved, false_positive), strict=True)
        for part, estimate in zip(("", "_chosen", "_change"), triple, strict=True)
    }
    bound = math.log(samples) - (samples - 1) / samples
    return BestOf(items=items, samples=samples, kl_bound=bound, **named)  # pyright: ignore[reportArgumentType]


def _estimate(value: float, drawn: np.ndarray, items: int) -> ItemEstimate | None:
    """Percentile interval; resamples without a wrong answer are left out, and without any there is none."""
    if not np.isfinite(value):
        return None
    low, high = np.percentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
    return ItemEstimate(value=float(value), low=float(low), high=float(high), n=items)
