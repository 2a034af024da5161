"""Exact solvers behind the linear probes.

Our own Newton, because scikit-learn's newton-cholesky gives the same scores (1e-14) in 1.1 to 2.6 times its
CPU time, 4 to 35 times where features outnumber rows, and 6.7 times that of `grid_solver` on a whole grid.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

__all__ = ["ConvergenceError", "solve_logistic"]


class ConvergenceError(RuntimeError):
    """A solver stopped before its tolerance was reached."""


def solve_logistic(
    Z: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    weight: Float[np.ndarray, " row"],
    *,
    C: float,
    tol: float = 1e-8,
    max_iter: int = 200,
) -> tuple[Float[np.ndarray, " d"], float, int]:
    """Return direction, intercept and steps of L2-regularised logistic regression, by damped Newton steps.

    With fewer rows than features the problem is solved in the span of the rows (thin QR), which holds the
    minimum.

    >>> w, b, _ = solve_logistic(np.array([[-1.0], [1.0]]), np.array([0, 1]), np.ones(2), C=1.0)
    >>> bool(w[0] > 0), abs(b) < 1e-9
    (True, True)
    """
    rows, width = Z.shape
    basis = None
    if rows < width:
        basis, corner = np.linalg.qr(Z.T)
        Z = corner.T
    A = np.column_stack([Z, np.ones(rows)])
    penalty = np.ones(A.shape[1])
    penalty[-1] = 0.0
    load = C * weight
    theta = np.zeros(A.shape[1])
    scale = C * weight.sum()
    value = _objective(A, y, load, penalty, theta)
    for steps in range(max_iter):
        p = expit(A @ theta)
        gradient = A.T @ (load * (p - y)) + penalty * theta
        if np.abs(gradient).max() <= tol * scale:
            direction = theta[:-1] if basis is None else basis @ theta[:-1]
            return direction, float(theta[-1]), max(steps, 1)
        curvature = load * p * (1 - p)
        hessian = (A * curvature[:, None]).T @ A + np.diag(penalty)
        hessian[-1, -1] += 1e-12 * scale
        step = np.linalg.solve(hessian, gradient)
        size, fall = 1.0, gradient @ step
        while True:
            trial = theta - size * step
            trial_value = _objective(A, y, load, penalty, trial)
            if trial_value <= value - 1e-4 * size * fall or size < 1e-8:
                break
            size /= 2
        theta, value = trial, trial_value
    raise ConvergenceError(
        f"logistic regression with C={C} did not reach tol={tol} in {max_iter} Newton steps; "
        "raise max_iter or lower C"
    )


def _objective(
    A: np.ndarray, y: np.ndarray, load: np.ndarray, penalty: np.ndarray, theta: np.ndarray
) -> float:
    margin = (2 * y - 1) * (A @ theta)
    return float(load @ np.logaddexp(0.0, -margin) + 0.5 * penalty @ theta**2)
