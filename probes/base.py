"""What every probe is: a binary scikit-learn classifier whose positive class is the bad behaviour.

A probe maps an activation to a score; a higher score means "more likely misleading". With labels 0/1 the
positive class is 1, with other labels the one that sorts last. The sign is set by the training labels and
never touched again, so an AUROC below one half on other data is reported as such and not turned around.

`LinearProbe` adds the one thing all linear probes share: whatever scaling was used inside, the fitted map is
kept in raw activation coordinates, `score = X @ direction_ + bias_`, so it can be written into a model,
compared between layers, or applied without its scaler.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from probes.rounding import constant_features

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCALES", "LinearProbe", "Probe", "Scaler", "fit_scaler", "proba_slope"]

Fitted = TypeVar("Fitted", bound="LinearProbe")  # what `fit` returns: the probe itself

SCALES = ("none", "center", "standard", "scalar")


class Probe(ClassifierMixin, BaseEstimator):
    """Base of all probes: input checks, `predict`, `predict_proba`, saving.

    Subclasses implement `_fit` and `decision_function`. Errors: ValueError for non-finite activations or
    weights, a single class, more than two classes, or a width other than the fitted one.
    """

    classes_: np.ndarray
    n_features_in_: int
    provenance_: Any
    registry: ClassVar[dict[tuple[str, str], type[Probe]]] = {}
    """Every imported probe class by module and name: where `load_probe` looks a file's class up."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        Probe.registry[cls.__module__, cls.__qualname__] = cls

    @abstractmethod
    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return one score per row; above 0 means the positive class."""

    def predict(self, X: Any) -> np.ndarray:
        """Return the class label of each row: positive where the score is above 0."""
        positive = self.decision_function(X) > 0
        return self.classes_.take(positive.astype(int))

    def predict_proba(self, X: Any) -> Float[np.ndarray, "row 2"]:
        """Return `[row, 2]` probabilities of the classes in `classes_` order."""
        positive = expit(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def save(self, path: str | Path, provenance: Any = None, overwrite: bool = False) -> Path:
        """Write the fitted probe to the folder `path` (see `probes.persistence.save_probe`)."""
        from probes.persistence import save_probe

        known = getattr(self, "provenance_", None) if provenance is None else provenance
        return save_probe(self, path, provenance=known, overwrite=overwrite)

    def push_to_hub(self, repo_id: str, *, licence: str, **more: Any) -> str:
        """Send the fitted probe with a card to the Hugging Face hub (see `probes.sharing.push_probe`)."""
        from probes.sharing import push_probe

        return push_probe(self, repo_id, licence=licence, **more)

    def _state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays that `_restore` needs."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved: it defines no state")

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        """Set fitted attributes from what `_state` returned."""
        raise NotImplementedError(f"{type(self).__name__} cannot be loaded: it defines no state")

    def _check_training(self, X: Any, y: Any, sample_weight: Any = None) -> Training:
        X, y = validate_data(self, _to_numpy(X), y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        classes, labels = np.unique(y, return_inverse=True)
        mass = np.bincount(labels, weights=weight, minlength=2)
        if len(classes) < 2 or mass.min() == 0:
            only = classes[np.argmax(mass)]
            raise ValueError(
                f"y holds one class only ({only!r} in all {len(y)} rows that have weight); a probe separates "
                "two classes: add rows of the other class or check how the labels were made"
            )
        self.classes_ = classes
        return Training(X=X, y=labels.astype(np.int64), weight=weight)

    def _check_new(self, X: Any) -> Float[np.ndarray, "row d"]:
        check_is_fitted(self)
        return np.asarray(validate_data(self, _to_numpy(X), dtype=np.float64, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_class = False
        return tags


@dataclass(frozen=True, kw_only=True)
class Training:
    """Checked training data: float64 activations, labels 0/1 (1 = positive class), row weights."""

    X: Float[np.ndarray, "row d"]
    y: Int[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]

    def class_means(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """Return the weighted mean activation of the negative and of the positive class."""
        negative, positive = (
            np.average(self.X[self.y == label], axis=0, weights=self.weight[self.y == label])
            for label in (0, 1)
        )
        return negative, positive

    def scaled(self, scaler: Scaler) -> Training:
        """Return the same rows in the scaler's coordinates."""
        return Training(X=scaler(self.X), y=self.y, weight=self.weight)


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """An affine change of coordinates, `z = (h - center) / scale`, learned from training rows only."""

    center: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    def __call__(self, X: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row d"]:
        """Return the scaled rows."""
        return (X - self.center) / self.scale

    def to_raw(self, direction: Float[np.ndarray, " d"], bias: Any) -> tuple[np.ndarray, float]:
        """Turn `z @ direction + bias` into the same score on raw activations."""
        raw = direction / self.scale
        return raw, float(bias - raw @ self.center)


def fit_scaler(X: Float[np.ndarray, "row d"], weight: Float[np.ndarray, " row"], kind: str) -> Scaler:
    """Learn a scaler: `none`, `center`, `standard` (each feature to unit variance) or `scalar`.

    `scalar` divides by one number, the root mean square deviation over all features, which keeps the
    geometry. Features that do not vary are left unscaled.

    >>> fit_scaler(np.array([[0.0, 1.0], [2.0, 1.0]]), np.ones(2), "standard").scale
    array([1., 1.])
    """
    if kind not in SCALES:
        raise ValueError(f"scale={kind!r} is not known; choose one of {', '.join(SCALES)}")
    width = X.shape[1]
    if kind == "none":
        return Scaler(center=np.zeros(width), scale=np.ones(width))
    share = weight / weight.sum()
    center = share @ X
    if kind == "center":
        return Scaler(center=center, scale=np.ones(width))
    variance = share @ (X - center) ** 2
    return Scaler(center=center, scale=spread_of(variance, center, kind, float(weight.sum())))


def spread_of(
    variance: Float[np.ndarray, "*fit d"], center: Float[np.ndarray, "*fit d"], kind: str, rows: Any
) -> Float[np.ndarray, "*fit d"]:
    """Return what features of this variance and mean over `rows` rows are divided by, for each scaling.

    Features that are constant up to rounding are left unscaled, as `StandardScaler` leaves them.

    >>> spread_of(np.array([4.0, 0.0]), np.array([0.0, 7.0]), "standard", 10)
    array([2., 1.])
    """
    if kind in ("none", "center"):
        return np.ones_like(variance)
    constant = constant_features(variance, center, rows)
    if kind == "scalar":
        total = np.where(constant, 0.0, variance).mean(-1, keepdims=True)
        return np.broadcast_to(np.where(total > 0, np.sqrt(total), 1.0), variance.shape).copy()
    return np.where(constant, 1.0, np.sqrt(np.maximum(variance, 0.0)))


class LinearProbe(Probe):
    """A probe whose score is `X @ direction_ + bias_` in raw activation coordinates.

    Attributes after `fit`: `direction_` `[d]`, `bias_` (float), `slope_` (float): probabilities are
    `sigmoid(slope_ * score)`, with a slope of 1 for probes whose score already is a log-odds.
    """

    direction_: Float[np.ndarray, " d"]
    bias_: float
    slope_: float

    def fit(self: Fitted, X: Any, y: Any, sample_weight: Any = None) -> Fitted:
        """Fit on activations `X` `[row, d]`, binary labels `y` `[row]` and optional row weights."""
        data = self._check_training(X, y, sample_weight)
        self._set_linear(*self._solve(data), data)
        return self

    @abstractmethod
    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        """Return direction and bias in raw coordinates."""

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return `X @ direction_ + bias_` for each row."""
        return self._check_new(X) @ self.direction_ + self.bias_

    def predict_proba(self, X: Any) -> Float[np.ndarray, "row 2"]:
        """Return `[row, 2]` probabilities: `sigmoid(slope_ * score)` for the positive class."""
        scores = self.decision_function(X)
        positive = expit(self.slope_ * scores)
        return np.column_stack([1.0 - positive, positive])

    def _set_linear(self, direction: np.ndarray, bias: float, data: Training) -> None:
        self.direction_, self.bias_ = direction, float(bias)
        scores = data.X @ direction + bias
        self.slope_ = 1.0 if self._score_is_log_odds() else proba_slope(scores, data.y, data.weight)

    def _score_is_log_odds(self) -> bool:
        return False

    def _state(self) -> dict[str, np.ndarray]:
        return {"direction": self.direction_, "bias": np.array(self.bias_), "slope": np.array(self.slope_)}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.direction_ = state["direction"]
        self.bias_ = float(state["bias"])
        self.slope_ = float(state["slope"])


def proba_slope(
    scores: Float[np.ndarray, " row"], y: Int[np.ndarray, " row"], weight: Float[np.ndarray, " row"]
) -> float:
    """Return the slope `a >= 0` for which `sigmoid(a * score)` fits the labels best.

    Platt's smoothed targets (1999) keep it finite on separable data. The threshold stays at score 0, so
    probabilities and predictions agree.

    >>> proba_slope(np.array([-1.0, 1.0]), np.array([0, 1]), np.ones(2)) > 0
    True
    """
    mass = np.bincount(y, weights=weight, minlength=2)
    target = np.where(y == 1, (mass[1] + 1) / (mass[1] + 2), 1 / (mass[0] + 2))
    size = np.sqrt(np.average(scores**2, weights=weight))
    if size == 0:
        return 1.0
    unit, slope = scores / size, 1.0
    for _ in range(50):
        p = expit(slope * unit)
        gradient = weight @ ((p - target) * unit)
        curvature = weight @ (p * (1 - p) * unit**2) + 1e-12
        step = np.clip(gradient / curvature, -2.0, 2.0)
        slope = max(slope - step, 0.0)
        if abs(step) < 1e-10:
            break
    return float(slope / size)


def _to_numpy(X: Any) -> Any:
    """Accept torch tensors of any dtype and device; leave everything else to scikit-learn's checks."""
    if hasattr(X, "detach"):
        return X.detach().float().cpu().numpy()
    return X
