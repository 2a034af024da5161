"""How sure evaluators are, of right and of wrong answers: the whole scale instead of one threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlhf.diagnostics.estimates import Estimate, Resamples
from rlhf.diagnostics.judged import Judged
from rlhf.evaluators.evaluator import CONFIDENCES


@dataclass(frozen=True, kw_only=True)
class Confidences:
    """Shares of judgements at each step of the scale, 0 to 100; None where there is no such answer."""

    steps: tuple[int, ...] = CONFIDENCES
    right: tuple[Estimate, ...] | None
    wrong: tuple[Estimate, ...] | None


def confidences(judged: Judged, *, resamples: int = 2000, seed: int = 0) -> Confidences:
    """Histogram the confidence in right and in wrong answers, with intervals over items."""
    drawn = Resamples(len(judged.items), draws=resamples, seed=seed)

    def shares(answers: np.ndarray) -> tuple[Estimate, ...] | None:
        found = [
            drawn.ratio((judged.confidence == step).mean(1) * answers, answers.astype(float))
            for step in CONFIDENCES
        ]
        known = tuple(estimate for estimate in found if estimate is not None)
        return known if len(known) == len(CONFIDENCES) else None

    return Confidences(right=shares(judged.correct), wrong=shares(~judged.correct))
