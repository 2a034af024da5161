"""Fits of whole grids of linear probes on one layer: every training mask and every setting together.

Each function returns raw-coordinate directions `[mask, setting, d]` and biases `[mask, setting]`, the same as
fitting the probe class once per mask and setting (`tests/probes/test_batched.py` holds them to it).
"""

from __future__ import annotations

from contextlib import nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from probes.base import Scaler, fit_scaler, spread_of
from probes.linear import LogisticProbe, MeanDifferenceProbe, RidgeProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from probes.base import Probe

__all__ = ["batched_fit", "logistic_cells", "mean_difference_cells", "ridge_cells"]

GPU_IN_USE = Lock()  # threads that feed one GPU at once wait for each other longer than in a queue

Directions = tuple[Float[np.ndarray, "mask setting d"], Float[np.ndarray, "mask setting"]]


def batched_fit(
    probe: Probe, settings: Sequence[Mapping[str, Any]], device: str = "cpu"
) -> Callable[..., Directions] | None:
    """Return the function that fits this probe's grid at once, or None when there is none.

    `device` is where logistic grids are solved; the closed forms are as fast on the CPU.

    >>> batched_fit(LogisticProbe(), [{"C": 1.0}]) is not None
    True
    >>> batched_fit(LogisticProbe(), [{"max_iter": 3}]) is None
    True
    """
    varied = {name for setting in settings for name in setting}
    if type(probe) is LogisticProbe and varied <= {"C"}:
        values = np.array([setting.get("C", probe.C) for setting in settings])
        return lambda X, y, masks: logistic_cells(X, y, masks, values, probe.scale, probe.tol, device)
    if type(probe) is RidgeProbe and varied <= {"alpha"}:
        values = np.array([setting.get("alpha", probe.alpha) for setting in settings])
        return lambda X, y, masks: ridge_cells(X, y, masks, values, probe.scale)
    if type(probe) is MeanDifferenceProbe and varied <= {"scale"} and not probe.whiten:
        scales = [setting.get("scale", probe.scale) for setting in settings]
        return lambda X, y, masks: mean_difference_cells(X, y, masks, scales)
    return None


def logistic_cells(
    X: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    masks: Bool[np.ndarray, "mask row"],
    Cs: Float[np.ndarray, " setting"],
    scale: str = "standard",
    tol: float = 1e-8,
    device: str = "cpu",
) -> Directions:
    """Fit `LogisticProbe(C, scale)` for every mask and C; each mask keeps its own standardisation.

    >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> W, b = logistic_cells(X, y, np.ones((1, 4), dtype=bool), np.array([1.0]))
    >>> bool(np.isclose(W[0, 0, 0], LogisticProbe().fit(X, y).direction_[0]))
    True
    """
    from probes.grid_solver import solve_logistic_grid

    common = _common_scaler(X, scale)
    Z = common(X)
    # Moments of every mask as two products; in common coordinates they lose no digits.
    share = masks / masks.sum(1, keepdims=True)
    mean = share @ Z
    variance = np.maximum(share @ Z**2 - mean**2, 0.0) * common.scale**2
    counts = masks.sum(1, keepdims=True)
    own = spread_of(variance, mean * common.scale + common.center, scale, counts)
    if scale == "standard":
        # Moments of a feature that is constant within a mask lose all digits: those columns once more.
        lost = variance <= 1e-8 * common.scale**2 * np.maximum(mean**2, 1e-8)
        for m in np.flatnonzero(lost.any(1)):
            own[m, lost[m]] = _mask_scaler(X[:, lost[m]], masks[m], scale).scale
    metric = (own / common.scale) ** 2
    with nullcontext() if device == "cpu" else GPU_IN_USE:
        U, b = solve_logistic_grid(Z, y, masks, Cs, metric, tol=tol, device=device)
    raw = U / common.scale
    return raw, b - raw @ common.center


def ridge_cells(
    X: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    masks: Bool[np.ndarray, "mask row"],
    alphas: Float[np.ndarray, " setting"],
    scale: str = "standard",
) -> Directions:
    """Fit `RidgeProbe(alpha, scale)` for every mask and alpha; one Gram matrix per mask serves every alpha.

    >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> W, b = ridge_cells(X, y, np.ones((1, 4), dtype=bool), np.array([1.0]))
    >>> bool(np.isclose(W[0, 0, 0], RidgeProbe().fit(X, y).direction_[0]))
    True
    """
    from scipy.linalg import cho_factor, cho_solve

    target = 2.0 * y - 1.0
    W, b = np.empty((len(masks), len(alphas), X.shape[1])), np.empty((len(masks), len(alphas)))
    for m, mask in enumerate(masks):
        scaler = _mask_scaler(X, mask, scale)
        Z, t = scaler(X[mask]), target[mask]
        center, offset = Z.mean(0), t.mean()
        Z = Z - center
        dual = len(Z) < Z.shape[1]
        gram = Z @ Z.T if dual else Z.T @ Z
        right = (t - offset) if dual else Z.T @ (t - offset)
        for s, alpha in enumerate(alphas):
            shifted = gram.copy()
            shifted[np.diag_indices_from(shifted)] += alpha
            solution = cho_solve(cho_factor(shifted, lower=True, overwrite_a=True), right)
            direction = Z.T @ solution if dual else solution
            W[m, s], b[m, s] = scaler.to_raw(direction, offset - center @ direction)
    return W, b


def mean_difference_cells(
    X: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    masks: Bool[np.ndarray, "mask row"],
    scales: Sequence[str],
) -> Directions:
    """Fit `MeanDifferenceProbe(scale)` for every mask and scaling: all class means in one product.

    >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> mean_difference_cells(X, y, np.ones((1, 4), dtype=bool), ["none"])[0]
    array([[[3.]]])
    """
    positive, negative = (masks & (y == label) for label in (1, 0))
    first, second = (group @ X / group.sum(1, keepdims=True) for group in (positive, negative))
    W = np.empty((len(masks), len(scales), X.shape[1]))
    for s, scale in enumerate(scales):
        spread = np.stack([_mask_scaler(X, mask, scale).scale for mask in masks])
        # In scaled coordinates v = (m1 - m0) / sigma; read on raw activations that is divided by sigma again.
        W[:, s] = (first - second) / spread**2
    b = -np.einsum("msd,md->ms", W, (first + second) / 2)
    return W, b


def _mask_scaler(X: np.ndarray, mask: np.ndarray, scale: str) -> Scaler:
    kept = X[mask]
    return fit_scaler(kept, np.ones(len(kept)), scale)


def _common_scaler(X: np.ndarray, scale: str) -> Scaler:
    """Scale over all rows, for conditioning only: what it does to the penalty is undone by the metric."""
    return fit_scaler(X, np.ones(len(X)), "standard" if scale == "standard" else "scalar")
