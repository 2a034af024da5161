"""Logistic regression of few rows with many columns, for several regularisation strengths: Newton's method.

The best direction is a combination of the rows, `w = X'a`, so the problem has as many unknowns as rows,
however wide the activations are. Each Newton step is a linear system in the rows,

    (K + D^-1) a = f - r / D - b 1,    sum(a) = 0,    K = X X',  r = C (p - y),  D = C p (1 - p),

solved by the Cholesky factor of `I + D^1/2 K D^1/2`, whose eigenvalues are at least 1: it needs no factor of
`K` and is well conditioned also where rows repeat and where probabilities are 0 or 1 (Rasmussen and Williams
2006, algorithm 3.1, here with an intercept). A step costs a third of n^3 and there are about four per
strength, so this pays for a few hundred rows; `probes.grid_solver` takes larger problems.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from probes.solvers import ConvergenceError

__all__ = ["solve_by_newton"]

SATURATED = 1e-10  # least curvature of a row, as a share of C: keeps the steps finite
SHORTENINGS = 40


def solve_by_newton(
    X: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    Cs: Float[np.ndarray, " C"],
    *,
    tol: float = 1e-8,
    max_iter: int = 5000,
) -> tuple[Float[np.ndarray, "C d"], Float[np.ndarray, " C"]]:
    """Return the directions and intercepts of every C, in the order of `Cs`.

    They minimise `C sum_i log(1 + exp(-(2 y_i - 1)(w.x_i + b))) + |w|^2 / 2`, until every entry of the
    gradient of the mean loss is below `tol`. Raises ConvergenceError when `max_iter` steps do not reach that.

    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), np.array([0, 0, 1, 1])
    >>> W, b = solve_by_newton(X, y, np.array([1.0]))
    >>> W.shape, bool(W[0, 0] > 0), bool(abs(b[0]) < 1e-8)
    ((1, 1), True, True)
    """
    from scipy.linalg import cho_factor, cho_solve

    gram = X @ X.T
    W, intercepts = np.empty((len(Cs), X.shape[1])), np.empty(len(Cs))
    a, b, steps = np.zeros(len(X)), 0.0, 0
    for which in np.argsort(Cs):  # each strength starts at the solution of the one below
        C = float(Cs[which])
        while True:
            f = gram @ a + b
            p = _sigmoid(f)
            residual = C * (p - y)
            W[which], intercepts[which] = a @ X, b
            gradient = np.abs(residual @ X + W[which]).max(initial=0.0)
            if max(gradient, abs(residual.sum())) <= tol * C * len(X):
                break
            if (steps := steps + 1) > max_iter:
                raise ConvergenceError(
                    f"A logistic regression with C={C:g} did not reach tol={tol} in {max_iter} steps; "
                    "raise max_iter, lower the largest C, or check the activations for extreme columns"
                )
            root = np.sqrt(C * np.maximum(p * (1 - p), SATURATED))
            system = root[:, None] * gram * root
            system.flat[:: len(system) + 1] += 1
            wanted = np.stack([root * f - residual / root, root], axis=1)
            factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
            response, ones = root * cho_solve(factor, wanted, check_finite=False).T
            intercept = response.sum() / ones.sum()  # keeps the sum of `a` at zero
            step, shift = response - intercept * ones - a, intercept - b
            length = _line_search(f, y, C, gram @ step + shift, step, a, shift)
            a, b = a + length * step, b + length * shift
    return W, intercepts


def _line_search(
    f: np.ndarray, y: np.ndarray, C: float, along: np.ndarray, step: np.ndarray, a: np.ndarray, shift: float
) -> float:
    """A length, from 1 down, at which the slope along the step is not much past its zero.

    Scores along the step are linear in its length, so this costs no pass over the activations. A step of
    Newton's method is rarely too short, and one that is only costs another step.
    """
    penalty = along - shift  # K times the step
    bend, rise = float(step @ penalty), float(a @ penalty)

    def slope(length: float) -> float:
        return C * float((_sigmoid(f + length * along) - y) @ along) + rise + length * bend

    start, length = abs(slope(0.0)), 1.0
    for _ in range(SHORTENINGS):
        if slope(length) <= 0.5 * start:
            break
        length /= 2
    return length


def _sigmoid(z: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1 + small)
