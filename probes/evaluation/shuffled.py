"""Refits on permuted labels: what a probe reaches when the labels it learns from mean nothing.

Ridge and mean-difference directions are linear in the labels, so the directions of all permutations are one
matrix product of label vectors with the activations, and their scores a second one. Other probes are fitted
once per permutation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import clone

from probes.base import fit_scaler
from probes.evaluation.families import score_size
from probes.linear import MeanDifferenceProbe, RidgeProbe, ridge_solve
from probes.rounding import is_flat, term_size

if TYPE_CHECKING:
    from probes.base import Probe

__all__ = ["linear_in_labels", "shuffled_scores"]


def linear_in_labels(probe: Probe) -> bool:
    """Say whether the probe's direction is linear in its labels, so that permutations cost next to nothing.

    >>> linear_in_labels(RidgeProbe()), linear_in_labels(MeanDifferenceProbe(whiten=True))
    (True, False)
    """
    return type(probe) is RidgeProbe or (type(probe) is MeanDifferenceProbe and not probe.whiten)


def shuffled_scores(
    probe: Probe,
    X: Float[np.ndarray, "row d"],
    labels: Int[np.ndarray, "draw row"],
    other: Float[np.ndarray, "other d"],
) -> Float[np.ndarray, "draw other"]:
    """Fit `probe` on `X` with every label vector; return each fit's scores of the rows in `other`.

    >>> X, labels = np.array([[0.0], [1.0], [3.0]]), np.array([[0, 0, 1], [1, 0, 0]])
    >>> shuffled_scores(MeanDifferenceProbe(), X, labels, np.array([[3.0]])).shape
    (2, 1)
    """
    if not linear_in_labels(probe):
        fits: list[Any] = [clone(probe) for _ in labels]
        scores = np.stack(
            [fit.fit(X, y).decision_function(other) for fit, y in zip(fits, labels, strict=True)]
        )
        return settle(scores, [score_size(fit, other, row) for fit, row in zip(fits, scores, strict=True)])
    settings: Any = probe
    scaler = fit_scaler(X, np.ones(len(X)), settings.scale)
    Z = scaler(X)
    if isinstance(probe, RidgeProbe):
        target = 2.0 * labels.T - 1.0
        center, offset = Z.mean(0), target.mean(0)
        directions = ridge_solve(Z - center, target - offset, probe.alpha).T
        biases = offset - directions @ center
    else:
        positive = labels @ Z / labels.sum(1, keepdims=True)
        negative = (1 - labels) @ Z / (1 - labels).sum(1, keepdims=True)
        directions = positive - negative
        biases = -np.einsum("pd,pd->p", directions, positive + negative) / 2
    Z = scaler(other)
    return settle(directions @ Z.T + biases[:, None], term_size(Z, directions, biases))


def settle(scores: Float[np.ndarray, "draw row"], size: Any) -> Float[np.ndarray, "draw row"]:
    """Return the scores, zero in every draw where they differ by the rounding of their terms only.

    >>> settle(np.array([[1.0, 1.0 + 2e-16], [0.0, 1.0]]), [1.0, 1.0])
    array([[0., 0.],
           [0., 1.]])
    """
    return np.where(is_flat(scores.std(-1), size)[:, None], 0.0, scores)
