"""Directions found without labels: PCA, LAT and CCS. Labels, if given, only set the sign on training rows.

That single bit is the whole supervision; it is stored and never set again, so on other data these probes may
well come out inverted, which is then the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from probes.base import LinearProbe, Probe, Training, fit_scaler
from probes.evaluation.metrics import auroc

__all__ = ["CCSProbe", "PCAProbe"]


class PCAProbe(LinearProbe):
    """The leading principal direction, of activations (`pca`) or of differences of paired rows (`lat`).

    LAT is the reading vector of Zou et al. 2023 (arXiv 2310.01405): rows are paired at random and the leading
    direction of their differences is taken. The differences are not centred: random order already gives them
    mean zero, while pairs in a consistent order would lose the very difference that is looked for.

    Args:
        method: `pca` or `lat`.
        scale: as in `LogisticProbe`; the direction of largest variance depends on it.
        random_state: seed of LAT's pairing.

    Attributes after `fit`: those of `LinearProbe`, and `explained_`, the direction's share of variance.

    >>> X = np.array([[-2.0, 0.1], [-1.0, -0.1], [1.0, 0.1], [2.0, -0.1]])
    >>> probe = PCAProbe().fit(X, [0, 0, 1, 1])
    >>> probe.predict(X), probe.explained_ > 0.99
    (array([0, 0, 1, 1]), True)
    """

    def __init__(self, method: str = "pca", scale: str = "center", random_state: int = 0):
        self.method = method
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> PCAProbe:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fit on activations `X` `[row, d]`; labels `y` only set the sign."""
        return super().fit(X, y)

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        if self.method not in ("pca", "lat"):
            raise ValueError(f"method={self.method!r} is not known; choose pca or lat")
        scaler = fit_scaler(data.X, data.weight, self.scale)
        Z = scaler(data.X)
        center = Z.mean(0)
        rows = Z - center
        if self.method == "lat":
            order = np.random.default_rng([self.random_state, len(Z)]).permutation(len(Z))
            half = len(Z) // 2
            rows = Z[order[:half]] - Z[order[half : 2 * half]]
        direction, self.explained_ = _leading_direction(rows)
        if auroc(data.y, Z @ direction) < 0.5:
            direction = -direction
        return scaler.to_raw(direction, -direction @ center)

    def _state(self) -> dict[str, np.ndarray]:
        return {**super()._state(), "explained": np.array(self.explained_)}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        super()._restore(state)
        self.explained_ = float(state["explained"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if tags.classifier_tags is not None:
            tags.classifier_tags.poor_score = True  # it does not learn from labels
        return tags


class CCSProbe(Probe):
    """Contrast-consistent search (Burns et al. 2022, arXiv 2212.03827), the linear form.

    Each row is a statement read twice, once completed as bad and once as good: `X` `[row, 2, d]`, index 0 the
    bad completion. With each side centred by its training mean, finds w, b that minimise
    `mean (p0 + p1 - 1)^2 + mean min(p0, p1)^2` with `p = sigmoid(w.h + b)`, from several random starts, of
    which the lowest loss is kept. The score is the log-odds of `(p0 + 1 - p1) / 2`.

    Args:
        n_starts: random starts.
        max_epochs, learning_rate, weight_decay: full-batch AdamW.
        random_state: seed of the starts.

    Attributes after `fit`: `direction_` `[d]`, `bias_`, `loss_` (of the kept start), `sign_`.

    >>> rng, y = np.random.default_rng(0), np.tile([0, 1], 50)
    >>> side = np.where(y == 1, 2.0, -2.0)[:, None, None] * np.array([1.0, -1.0])[None, :, None]
    >>> X = rng.normal(size=(100, 2, 5)) * 0.3 + side
    >>> auroc(y, CCSProbe(n_starts=2, max_epochs=100).fit(X, y).decision_function(X)) > 0.95
    True
    """

    def __init__(
        self,
        n_starts: int = 10,
        max_epochs: int = 500,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-2,
        random_state: int = 0,
    ):
        self.n_starts = n_starts
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> CCSProbe:
        """Fit on pairs `X` `[row, 2, d]`; `y` `[row]` (1 = the row is bad) only sets the sign."""
        X = _check_pairs(X)
        data = self._check_training(X.reshape(len(X), -1), y)
        self.n_features_in_ = X.shape[2]
        self.center_ = X.mean(0)
        self.scale_ = float(np.sqrt(np.mean((X - self.center_) ** 2))) or 1.0
        self._minimise((X - self.center_) / self.scale_)
        self.sign_ = 1.0
        self.sign_ = 1.0 if auroc(data.y, self.decision_function(X)) >= 0.5 else -1.0
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return the log-odds of the consistent probability that each row is bad."""
        check_is_fitted(self)
        X = _check_pairs(X)
        if X.shape[2] != self.n_features_in_:
            raise ValueError(
                f"X has width {X.shape[2]}, but CCSProbe was fitted on width {self.n_features_in_}"
            )
        p = expit(((X - self.center_) / self.scale_) @ self.direction_ + self.bias_)
        agreed = np.clip((p[:, 0] + 1 - p[:, 1]) / 2, 1e-12, 1 - 1e-12)
        return self.sign_ * np.log(agreed / (1 - agreed))

    def _minimise(self, Z: np.ndarray) -> None:
        import torch

        pairs = torch.as_tensor(Z, dtype=torch.float32)
        generator = torch.Generator().manual_seed(self.random_state)
        start = torch.randn(Z.shape[2], self.n_starts, generator=generator)
        w = (start / start.norm(dim=0)).requires_grad_()
        b = torch.zeros(self.n_starts, requires_grad=True)
        optimiser = torch.optim.AdamW([w, b], lr=self.learning_rate, weight_decay=self.weight_decay)
        for _ in range(self.max_epochs):
            optimiser.zero_grad()
            ccs_loss(torch.sigmoid(pairs @ w + b)).sum().backward()
            optimiser.step()
        with torch.no_grad():
            losses = ccs_loss(torch.sigmoid(pairs @ w + b))
            best = int(losses.argmin())
            self.loss_ = float(losses[best])
            self.direction_ = w[:, best].double().numpy()
            self.bias_ = float(b[best])

    def _state(self) -> dict[str, np.ndarray]:
        scalars = {name: np.array(getattr(self, f"{name}_")) for name in ("bias", "loss", "sign", "scale")}
        return {"direction": self.direction_, "center": self.center_, **scalars}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.direction_, self.center_ = state["direction"], state["center"]
        self.bias_, self.loss_ = float(state["bias"]), float(state["loss"])
        self.sign_, self.scale_ = float(state["sign"]), float(state["scale"])


def ccs_loss(p: Any) -> Any:
    """Return the CCS loss of probabilities `[row, 2, start]` per start.

    >>> import torch
    >>> ccs_loss(torch.tensor([[[0.0], [1.0]]])), ccs_loss(torch.tensor([[[0.5], [0.5]]]))
    (tensor([0.]), tensor([0.2500]))
    """
    first, second = p[:, 0], p[:, 1]
    consistent = (first + second - 1) ** 2
    confident = first.minimum(second) ** 2
    return consistent.mean(0) + confident.mean(0)


def _check_pairs(X: Any) -> np.ndarray:
    X = np.asarray(X.detach().float().cpu().numpy() if hasattr(X, "detach") else X, dtype=np.float64)
    if X.ndim != 3 or X.shape[1] != 2:
        raise ValueError(f"CCS needs pairs [row, 2, d] with index 0 the bad completion, got shape {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("X holds NaN or infinite activations; extract these rows again or drop them")
    return X


def _leading_direction(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the unit direction of largest second moment and its share, from the smaller Gram matrix."""
    from scipy.linalg import eigh

    n, d = rows.shape
    small = rows @ rows.T if n < d else rows.T @ rows
    last = len(small) - 1
    value, vector = eigh(small, subset_by_index=[last, last])
    direction = rows.T @ vector[:, 0] if n < d else vector[:, 0]
    size = np.linalg.norm(direction)
    total = np.trace(small)
    if size == 0 or total <= 0:
        raise ValueError("activations do not vary, so there is no principal direction")
    return direction / size, float(value[0] / total)
