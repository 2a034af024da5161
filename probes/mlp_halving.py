"""Which settings of an MLP are worth training in full: successive halving with epochs as the resource.

The rule is that of scikit-learn's `HalvingGridSearchCV` with `min_resources="exhaust"` (Jamieson & Talwalkar
2016): of n candidates, the best `ceil(n / 3)` go on at three times the epochs, and the first rung is as short
as lets the last one have them all. Candidates are compared by AUROC on whole groups kept out of training,
with the first seed only: those that are left are trained anew by the caller, with all rows, epochs and seeds,
so what survives is exactly what a sweep without halving would have fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from probes.mlp_solver import MLPSpec, train_mlps

__all__ = ["FACTOR", "Candidate", "halve", "rungs"]

FACTOR = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A setting to compare, and the seed it is compared with."""

    spec: MLPSpec
    seed: int


def rungs(candidates: int, epochs: int) -> list[tuple[int, int]]:
    """(candidates, epochs) of every comparison; those after the last one are trained in full.

    >>> rungs(12, 60), rungs(2, 60)
    ([(12, 6), (4, 18)], [])
    """
    found = []
    last = int(math.log(candidates, FACTOR) + 1e-9)
    for rung in range(last):
        count = math.ceil(candidates / FACTOR**rung)
        found.append((count, max(1, epochs // FACTOR**last) * FACTOR**rung))
    return found


def halve(
    Z: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    candidates: Sequence[Candidate],
    held: Bool[np.ndarray, " row"],
    *,
    device: str = "cpu",
) -> tuple[list[int], float]:
    """Return the candidates to train in full (indices, best first), and the epochs spent on finding them.

    Args:
        Z: scaled activations of training rows.
        y: their labels, 0 and 1.
        candidates: settings of any architectures.
        held: rows, in whole groups, on which candidates are compared; they must hold both classes.
        device: where to train.

    >>> rng, y = np.random.default_rng(0), np.tile([0, 1], 60)
    >>> Z = rng.normal(size=(120, 4)) + y[:, None]
    >>> tried = [Candidate(spec=MLPSpec(hidden=4, learning_rate=rate), seed=0) for rate in (1e-9, 0.01, 1e-8)]
    >>> halve(Z, y, tried, np.arange(120) >= 90)[0]
    [1]
    """
    left, spent = list(range(len(candidates))), 0.0
    longest = max((candidate.spec.max_epochs for candidate in candidates), default=0)
    steps = rungs(len(candidates), longest) if candidates else []
    for number, (_, epochs) in enumerate(steps):
        scores = _compare(Z, y, [candidates[index] for index in left], held, epochs, device)
        spent += len(left) * epochs * float((~held).mean())  # fewer rows, shorter epochs
        keep = math.ceil(len(candidates) / FACTOR ** (number + 1))
        left = [left[index] for index in np.argsort(-scores, kind="stable")[:keep]]
    return left, spent


def _compare(
    Z: np.ndarray, y: np.ndarray, candidates: Sequence[Candidate], held: np.ndarray, epochs: int, device: str
) -> np.ndarray:
    """AUROC on the held-out groups after so many epochs; architectures are trained one after the other."""
    from probes.evaluation.metrics import auroc

    scores = np.empty(len(candidates))
    alike: dict[tuple[int, str, int], list[int]] = {}
    for index, candidate in enumerate(candidates):
        spec = candidate.spec
        alike.setdefault((spec.hidden, spec.activation, spec.max_epochs), []).append(index)
    for members in alike.values():
        trained = train_mlps(
            Z[~held],
            y[~held],
            [candidates[index].spec for index in members],
            [candidates[index].seed for index in members],
            epochs=epochs,
            device=device,
        )
        scores[members] = [auroc(y[held], row) for row in trained.logits(Z[held])]
    return scores
