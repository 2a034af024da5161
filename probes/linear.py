"""Linear probes that learn from labels: logistic, ridge, mean difference, LDA.

Definitions, with z the scaled activation (`scale=`): see each class. Names that mean different things in
different papers are avoided: "mass-mean" is `MeanDifferenceProbe` in some and `LDAProbe` in others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from probes.base import LinearProbe, Training, fit_scaler

__all__ = ["LDAProbe", "LogisticProbe", "MeanDifferenceProbe", "RidgeProbe"]


class LogisticProbe(LinearProbe):
    """L2-regularised logistic regression, `min C sum_i s_i log(1 + exp(-(2 y_i - 1)(w.z_i + b))) + w.w / 2`.

    The intercept is free. `C` is scikit-learn's. Fitted by Newton's method to `tol` (largest entry of the
    gradient of the mean loss), which is far tighter than scikit-learn's default.

    Args:
        C: inverse regularisation strength, above 0.
        scale: `none`, `center`, `standard` or `scalar`; learned from the training rows.
        tol: stop when no entry of the gradient of the mean loss is larger.
        max_iter: Newton steps allowed; ConvergenceError beyond.

    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0], [4.0, 0.0]]), [0, 0, 1, 1]
    >>> LogisticProbe().fit(X, y).predict(X)
    array([0, 0, 1, 1])
    """

    def __init__(self, C: float = 1.0, scale: str = "standard", tol: float = 1e-8, max_iter: int = 200):
        self.C = C
        self.scale = scale
        self.tol = tol
        self.max_iter = max_iter

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        from probes.solvers import solve_logistic

        if not self.C > 0:
            raise ValueError(f"C={self.C} must be above 0; smaller means more regularisation")
        scaler = fit_scaler(data.X, data.weight, self.scale)
        z = data.scaled(scaler)
        direction, bias, self.n_iter_ = solve_logistic(
            z.X, z.y, z.weight, C=self.C, tol=self.tol, max_iter=self.max_iter
        )
        return scaler.to_raw(direction, bias)

    def _score_is_log_odds(self) -> bool:
        return True


class RidgeProbe(LinearProbe):
    """Least squares on labels -1/+1 with an L2 penalty: `w = (Zc'Zc + alpha I)^-1 Zc'yc`, free intercept.

    The same scores as scikit-learn's `RidgeClassifier`. Solved in the smaller of the two spaces.

    >>> X, y = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0], [4.0, 0.0]]), [0, 0, 1, 1]
    >>> RidgeProbe(alpha=0.1).fit(X, y).predict(X)
    array([0, 0, 1, 1])
    """

    def __init__(self, alpha: float = 1.0, scale: str = "standard"):
        self.alpha = alpha
        self.scale = scale

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        if not self.alpha > 0:
            raise ValueError(f"alpha={self.alpha} must be above 0")
        scaler = fit_scaler(data.X, data.weight, self.scale)
        Z, weight = scaler(data.X), data.weight
        target = 2.0 * data.y - 1.0
        center, offset = np.average(Z, axis=0, weights=weight), np.average(target, weights=weight)
        root = np.sqrt(weight)[:, None]
        direction = ridge_solve((Z - center) * root, (target - offset) * root[:, 0], self.alpha)
        return scaler.to_raw(direction, offset - center @ direction)


class MeanDifferenceProbe(LinearProbe):
    """Difference of the class means: `v = m1 - m0`, bias at their midpoint.

    With `whiten=True`, `v = S^-1 (m1 - m0)` with the Ledoit-Wolf within-class covariance S; that is the
    direction of `LDAProbe`, with the threshold at the midpoint and no prior.

    >>> X = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
    >>> MeanDifferenceProbe().fit(X, [0, 0, 1, 1]).direction_
    array([2., 0.])
    """

    def __init__(self, whiten: bool = False, scale: str = "none"):
        self.whiten = whiten
        self.scale = scale

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        scaler = fit_scaler(data.X, data.weight, self.scale)
        z = data.scaled(scaler)
        negative, positive = z.class_means()
        direction = positive - negative
        if self.whiten:
            _require_equal_weights(z, "MeanDifferenceProbe(whiten=True)")
            direction = shrunk_solve(_residuals(z), direction, "ledoit-wolf")
        return scaler.to_raw(direction, -direction @ (positive + negative) / 2)


class LDAProbe(LinearProbe):
    """Linear discriminant: `v = S^-1 (m1 - m0)`, `b = -v.(m1 + m0)/2 + log(p1/p0)`.

    S is the pooled within-class covariance (1/n), shrunk towards a multiple of the identity.

    Args:
        shrinkage: `"ledoit-wolf"` (Ledoit & Wolf 2004), `"oas"` (Chen et al. 2010), a number in [0, 1] as in
            scikit-learn, or `"pinv"` for the pseudo-inverse without shrinkage.
        scale: as in `LogisticProbe`; shrinkage depends on it.

    >>> X = np.array([[0.0, 0.0], [0.1, 2.0], [2.0, 0.1], [2.1, 2.0]])
    >>> LDAProbe().fit(X, [0, 0, 1, 1]).predict(X)
    array([0, 0, 1, 1])
    """

    def __init__(self, shrinkage: str | float = "ledoit-wolf", scale: str = "standard"):
        self.shrinkage = shrinkage
        self.scale = scale

    def fit(self, X: Any, y: Any) -> LDAProbe:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fit on activations `X` `[row, d]` and binary labels `y` `[row]`."""
        return super().fit(X, y)

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        scaler = fit_scaler(data.X, data.weight, self.scale)
        z = data.scaled(scaler)
        negative, positive = z.class_means()
        direction = shrunk_solve(_residuals(z), positive - negative, self.shrinkage)
        share = z.y.mean()
        bias = -direction @ (positive + negative) / 2 + np.log(share / (1 - share))
        return scaler.to_raw(direction, bias)

    def _score_is_log_odds(self) -> bool:
        return True


def ridge_solve(
    Z: Float[np.ndarray, "row d"], target: Float[np.ndarray, " row *draw"], alpha: float
) -> Float[np.ndarray, " d *draw"]:
    """Return `(Z'Z + alpha I)^-1 Z' target`, solved in the dual when there are fewer rows than features.

    `target` may be a matrix with one column per label vector.

    >>> ridge_solve(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), alpha=2.0)
    array([1.])
    """
    from scipy.linalg import solve

    rows, width = Z.shape
    if rows < width:
        return Z.T @ solve(Z @ Z.T + alpha * np.eye(rows), target, assume_a="pos")
    return solve(Z.T @ Z + alpha * np.eye(width), Z.T @ target, assume_a="pos")


def shrunk_solve(
    residuals: Float[np.ndarray, "row d"], vector: Float[np.ndarray, " d"], shrinkage: str | float
) -> Float[np.ndarray, " d"]:
    """Return `S^-1 vector` for the shrunk covariance `S = (1 - a) R'R/n + a tr(R'R/n)/d I` of `residuals`.

    >>> shrunk_solve(np.eye(2), np.array([1.0, 0.0]), 1.0)
    array([2., 0.])
    """
    rows, width = residuals.shape
    if shrinkage == "pinv":
        _, sizes, basis = np.linalg.svd(residuals, full_matrices=False)
        kept = sizes > sizes.max(initial=0.0) * max(rows, width) * np.finfo(np.float64).eps
        return basis[kept].T @ ((basis[kept] @ vector) * rows / sizes[kept] ** 2)
    amount = _shrinkage_amount(residuals, shrinkage)
    ridge = amount * np.mean(np.einsum("nd,nd->d", residuals, residuals)) / rows
    if ridge <= 0 or amount >= 1:
        # Nothing varies (any direction is as good as the difference itself), or the identity is all there is.
        return vector / ridge if ridge > 0 else vector
    # (1-a) R'R/n + ridge I, by Woodbury when there are fewer rows than features.
    root = residuals * np.sqrt((1 - amount) / rows)
    if rows < width:
        from scipy.linalg import solve

        inner = solve(ridge * np.eye(rows) + root @ root.T, root @ vector, assume_a="pos")
        return (vector - root.T @ inner) / ridge
    from scipy.linalg import solve

    return solve(root.T @ root + ridge * np.eye(width), vector, assume_a="pos")


def _shrinkage_amount(residuals: np.ndarray, shrinkage: str | float) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage, oas

    if shrinkage == "ledoit-wolf":
        return float(ledoit_wolf_shrinkage(residuals, assume_centered=True))
    if shrinkage == "oas":
        return float(oas(residuals, assume_centered=True)[1])
    if isinstance(shrinkage, str) or not 0 < shrinkage <= 1:
        raise ValueError(
            f"shrinkage={shrinkage!r} is not known; give ledoit-wolf, oas, pinv or a number in (0, 1]"
        )
    return float(shrinkage)


def _residuals(data: Training) -> np.ndarray:
    return data.X - np.stack(data.class_means())[data.y]


def _require_equal_weights(data: Training, what: str) -> None:
    if np.ptp(data.weight) > 0:
        raise ValueError(
            f"{what} estimates a shrunk covariance and cannot weight rows; drop sample_weight "
            "or set whiten=False"
        )
