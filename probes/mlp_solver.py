"""Trains many small MLPs on the same activations at once: settings x seeds side by side in one matrix.

The first layers of all models are the columns of one matrix, so each epoch costs two large matrix products
instead of many small ones. Training is full batch AdamW with the gradient written out, so a model's result
depends neither on the other models in the batch nor on the order of the rows.

Runs on NumPy arrays, or on torch tensors of any device; starts and dropout come from NumPy generators and are
the same on both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SCHEDULES", "MLPSpec", "TrainedMLPs", "train_mlps"]

SCHEDULES = ("constant", "cosine", "linear-warm-up", "step", "plateau")
# Hidden activity (rows x units x models) that is worked on at once on a CPU: models that do not fit the cache
# together are faster one batch after the other.
IN_CACHE = 600_000
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8  # Adam's moment decays and floor


@dataclass(frozen=True, kw_only=True)
class MLPSpec:
    """How one MLP is trained. `hidden=0` is a linear map (the paper's other reading of "1-layer MLP")."""

    hidden: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 0.1  # decoupled, as in AdamW
    l1: float = 0.0  # on first-layer weights
    dropout: float = 0.0  # of hidden units (of inputs when hidden is 0)
    schedule: str = "cosine"
    activation: str = "relu"
    max_epochs: int = 60
    patience: int = 20  # epochs without a better validation loss; half of it for the plateau schedule

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} is not known; choose one of {', '.join(SCHEDULES)}")
        if self.activation not in ("gelu", "relu"):
            raise ValueError(f"activation={self.activation!r} is not known; choose gelu or relu")
        if self.hidden < 0 or self.max_epochs < 1 or not 0 <= self.dropout < 1 or self.learning_rate <= 0:
            raise ValueError(
                f"{self} is not possible: need hidden >= 0, max_epochs >= 1, 0 <= dropout < 1 and a "
                "learning_rate above 0"
            )

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch (before `plateau` halvings).

        >>> MLPSpec(learning_rate=1.0, schedule="cosine", max_epochs=10).rate(5)
        0.5
        """
        progress, factor = epoch / self.max_epochs, 1.0
        if self.schedule == "cosine":
            factor = (1 + math.cos(math.pi * progress)) / 2
        elif self.schedule == "linear-warm-up":
            warm = max(1, self.max_epochs // 10)
            rising = (epoch + 1) / warm
            factor = rising if epoch < warm else (self.max_epochs - epoch) / (self.max_epochs - warm)
        elif self.schedule == "step":
            factor = 0.1 ** int(3 * progress)
        return self.learning_rate * factor


@dataclass(frozen=True, kw_only=True)
class TrainedMLPs:
    """Weights of `model` MLPs of one hidden width. With `hidden=0`, `first` alone makes the logit."""

    first: Float[np.ndarray, "d model width"]
    first_bias: Float[np.ndarray, "model width"]
    last: Float[np.ndarray, "model width"]
    last_bias: Float[np.ndarray, " model"]
    epochs: Int[np.ndarray, " model"]
    activation: str
    linear: bool

    def pick(self, models: Sequence[int]) -> TrainedMLPs:
        """Return some of the models."""
        which = list(models)
        return TrainedMLPs(
            first=self.first[:, which],
            first_bias=self.first_bias[which],
            last=self.last[which],
            last_bias=self.last_bias[which],
            epochs=self.epochs[which],
            activation=self.activation,
            linear=self.linear,
        )

    @classmethod
    def join(cls, parts: Sequence[TrainedMLPs]) -> TrainedMLPs:
        """Put the models of several batches side by side."""
        axes = {"first": 1, "first_bias": 0, "last": 0, "last_bias": 0, "epochs": 0}
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=axis)
            for name, axis in axes.items()
        }
        return cls(**joined, activation=parts[0].activation, linear=parts[0].linear)

    def logits(self, Z: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "model row"]:
        """Return the score of every row under every model."""
        width, models, _ = self.first.shape
        inner = (Z @ self.first.reshape(width, -1)).reshape(len(Z), models, -1)
        if self.linear:
            return inner[:, :, 0].T + self.last_bias[:, None]
        hidden = _activate(inner + self.first_bias, self.activation)[0]
        return np.einsum("nmh,mh->mn", hidden, self.last) + self.last_bias[:, None]


def train_mlps(
    Z: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    specs: Sequence[MLPSpec],
    seeds: Sequence[int],
    *,
    validation: Bool[np.ndarray, " row"] | None = None,
    epochs: int | None = None,
    device: str = "cpu",
) -> TrainedMLPs:
    """Train one MLP per entry of `specs` and `seeds` (same length) on scaled activations `Z`.

    All specs must share `hidden`, `activation` and `max_epochs`. With `validation` (rows kept out of
    training), each model keeps the weights of its best validation loss and stops after `patience` epochs
    without a better one. `epochs` ends after so many epochs of the schedule, as a rung of a halving search
    does.

    >>> Z, y = np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> models = train_mlps(Z, y, [MLPSpec(hidden=4)], seeds=[0])
    >>> (models.logits(Z) > 0).astype(int)
    array([[0, 0, 1, 1]])
    """
    shared = {(spec.hidden, spec.activation, spec.max_epochs) for spec in specs}
    if len(shared) != 1 or len(specs) != len(seeds):
        raise ValueError(f"one batch needs one hidden size, activation and max_epochs, got {sorted(shared)}")
    training = np.ones(len(y), dtype=bool) if validation is None else ~validation
    activity = len(y) * max(specs[0].hidden, 1)
    at_once = max(1, IN_CACHE // activity) if device == "cpu" else len(specs)
    parts = []
    for start in range(0, len(specs), at_once):
        which = slice(start, start + at_once)
        batch = _Batch(Z[training], y[training], specs[which], seeds[which], device)
        if validation is not None:
            batch.watch(Z[validation], y[validation])
        for epoch in range(min(epochs or specs[0].max_epochs, specs[0].max_epochs)):
            if not batch.step(epoch):
                break
        parts.append(batch.result())
    return TrainedMLPs.join(parts)


class _Batch:
    """Parameters, Adam moments and stopping state of all models; columns run over models x hidden units."""

    def __init__(
        self, Z: np.ndarray, y: np.ndarray, specs: Sequence[MLPSpec], seeds: Sequence[int], device: str
    ):
        self.specs, self.device, self.models = specs, device, len(specs)
        self.linear = specs[0].hidden == 0
        self.units = max(specs[0].hidden, 1)
        self.Z, self.y = self.array(Z), self.array(y)[:, None]
        self.generators = [np.random.default_rng([seed, Z.shape[1], self.units]) for seed in seeds]
        starts = [_start(generator, Z.shape[1], self.units, self.linear) for generator in self.generators]
        self.first, self.first_bias, self.last = (
            self.array(np.concatenate(parts, axis=-1)) for parts in zip(*starts, strict=True)
        )
        self.last_bias = self.array(np.zeros(self.models))
        names = ("first", "last_bias") if self.linear else ("first", "first_bias", "last", "last_bias")
        self.moments = {name: [0.0 * getattr(self, name), 0.0 * getattr(self, name)] for name in names}
        self.decay = np.array([spec.weight_decay for spec in specs])
        self.l1 = np.array([spec.l1 for spec in specs])
        self.plateau = _Plateau(specs)
        self.held: tuple[Any, Any] | None = None
        self.active = np.ones(self.models, dtype=bool)
        self.best = {name: 1.0 * getattr(self, name) for name in names}
        self.best_loss = np.full(self.models, np.inf)
        self.best_epoch = np.full(self.models, specs[0].max_epochs - 1)

    def array(self, value: Any) -> Any:
        """Put numbers on the device in single precision."""
        if self.device == "cpu":
            return np.asarray(value, dtype=np.float32)
        import torch

        return torch.as_tensor(np.asarray(value, dtype=np.float32), device=self.device)

    def columns(self, per_model: np.ndarray, name: str) -> Any:
        """Lay one number per model along the columns of a parameter."""
        return self.array(per_model if name == "last_bias" else np.repeat(per_model, self.units))

    def watch(self, Z: np.ndarray, y: np.ndarray) -> None:
        """Stop early on these rows."""
        self.held = self.array(Z), self.array(y)[:, None]
        self.best_epoch[:] = 0

    def step(self, epoch: int) -> bool:
        """Run one epoch; False when every model has stopped."""
        logits, gradients = self.gradients(epoch)
        rate = np.array([spec.rate(epoch) for spec in self.specs]) * self.active
        if self.plateau.any:
            rate = rate * self.plateau.factor(_losses(logits, self.y))
        for name, gradient in gradients.items():
            self.adam(name, gradient, rate, epoch)
        if self.held is not None:
            Z, y = self.held
            self.remember(_losses(self.forward(Z)[0], y), epoch)
        return bool(self.active.any())

    def forward(self, Z: Any, dropout: Any = None) -> tuple[Any, Any, Any]:
        """Return logits `[row, model]`, hidden activity and its derivative `[row, model * unit]`."""
        inner = Z @ self.first
        if self.linear:
            return inner + self.last_bias, None, None
        inner += self.first_bias
        hidden, derivative = _activate(inner, self.specs[0].activation)
        if dropout is not None:
            hidden, derivative = hidden * dropout, derivative * dropout
        summed = (hidden * self.last).reshape(len(Z), self.models, self.units).sum(-1)
        return summed + self.last_bias, hidden, derivative

    def gradients(self, epoch: int) -> tuple[Any, dict[str, Any]]:
        """Return logits and the gradient of each model's mean loss plus its L1 term."""
        del epoch
        Z, mask = self.Z, self.dropout()
        if self.linear and mask is not None:
            raise ValueError("dropout needs a hidden layer; use weight_decay or l1 with hidden=0")
        logits, hidden, derivative = self.forward(Z, mask)
        error = (_sigmoid(logits) - self.y) / len(Z)
        found = {"last_bias": error.sum(0)}
        if self.linear:
            back = error
        else:
            wide = (
                error.repeat(self.units, 1)
                if self.device == "cpu"
                else error.repeat_interleave(self.units, 1)
            )
            found["last"] = (hidden * wide).sum(0)
            back = derivative
            back *= wide
            back *= self.last
            found["first_bias"] = back.sum(0)
        found["first"] = Z.T @ back
        if self.l1.any():
            sign = (self.first > 0) * 1.0 - (self.first < 0) * 1.0
            found["first"] = found["first"] + sign * self.columns(self.l1, "first")
        return logits, found

    def dropout(self) -> Any:
        """Return one mask `[row, model * unit]` with mean 1, drawn per model, or None."""
        if not any(spec.dropout for spec in self.specs):
            return None
        shape = (len(self.Z), self.units)
        parts = [
            (generator.random(shape, dtype=np.float32) >= spec.dropout) / (1 - spec.dropout)
            if spec.dropout
            else np.ones(shape, dtype=np.float32)
            for generator, spec in zip(self.generators, self.specs, strict=True)
        ]
        return self.array(np.concatenate(parts, axis=1))

    def adam(self, name: str, gradient: Any, rate: np.ndarray, epoch: int) -> None:
        """Take one AdamW step (Loshchilov & Hutter 2019) in place; biases are not decayed."""
        parameter, (mean, square) = getattr(self, name), self.moments[name]
        mean *= FIRST
        mean += (1 - FIRST) * gradient
        gradient = gradient * gradient
        square *= SECOND
        square += (1 - SECOND) * gradient
        if name in ("first", "last"):
            parameter *= 1 - self.columns(rate * self.decay, name)
        root = (square / (1 - SECOND ** (epoch + 1))) ** 0.5
        root += EPSILON
        parameter -= self.columns(rate / (1 - FIRST ** (epoch + 1)), name) * (mean / root)

    def remember(self, losses: np.ndarray, epoch: int) -> None:
        """Keep the parameters of models whose validation loss has improved; stop those out of patience."""
        better = self.active & (losses < self.best_loss)
        self.best_loss = np.where(better, losses, self.best_loss)
        self.best_epoch = np.where(better, epoch, self.best_epoch)
        for name, best in self.best.items():
            chosen = self.columns(better.astype(float), name)
            best *= 1 - chosen
            best += chosen * getattr(self, name)
        self.active &= epoch - self.best_epoch < np.array([spec.patience for spec in self.specs])

    def result(self) -> TrainedMLPs:
        """Return the final weights, or the best ones when rows were watched."""

        def final(name: str) -> np.ndarray:
            value = self.best[name] if self.held is not None and name in self.best else getattr(self, name)
            return np.asarray(value if isinstance(value, np.ndarray) else value.cpu(), dtype=np.float64)

        return TrainedMLPs(
            first=final("first").reshape(-1, self.models, self.units),
            first_bias=final("first_bias").reshape(self.models, self.units),
            last=final("last").reshape(self.models, self.units),
            last_bias=final("last_bias"),
            epochs=self.best_epoch + 1,
            activation=self.specs[0].activation,
            linear=self.linear,
        )


class _Plateau:
    """Halves the rate of models on the `plateau` schedule when their training loss stops falling."""

    def __init__(self, specs: Sequence[MLPSpec]):
        self.on = np.array([spec.schedule == "plateau" for spec in specs])
        self.any = bool(self.on.any())
        self.patience = np.array([max(spec.patience // 2, 1) for spec in specs])
        self.best = np.full(len(specs), np.inf)
        self.waited = np.zeros(len(specs), dtype=int)
        self.current = np.ones(len(specs))

    def factor(self, losses: np.ndarray) -> np.ndarray:
        better = losses < self.best * (1 - 1e-3)
        self.best = np.where(better, losses, self.best)
        self.waited = np.where(better, 0, self.waited + 1)
        due = self.on & (self.waited >= self.patience)
        self.current = np.where(due, self.current / 2, self.current)
        self.waited = np.where(due, 0, self.waited)
        return self.current


def _start(
    generator: np.random.Generator, width: int, units: int, linear: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a start as torch's Linear layers do; a linear model starts at zero."""
    bound, last_bound = width**-0.5, units**-0.5
    first = generator.uniform(-bound, bound, (width, units)) * (not linear)
    return first, generator.uniform(-bound, bound, units), generator.uniform(-last_bound, last_bound, units)


def _losses(logits: Any, y: Any) -> np.ndarray:
    """Mean logistic loss of each model."""
    values = np.asarray(logits if isinstance(logits, np.ndarray) else logits.cpu(), dtype=np.float64)
    labels = np.asarray(y if isinstance(y, np.ndarray) else y.cpu(), dtype=np.float64)
    return (np.logaddexp(0.0, values) - labels * values).mean(0)


def _sigmoid(logits: Any) -> Any:
    if isinstance(logits, np.ndarray):
        return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    return logits.sigmoid()


def _activate(inner: Any, activation: str) -> tuple[Any, Any]:
    """Return the activity and its derivative."""
    if activation == "relu":
        on = (
            (inner > 0) * inner.dtype.type(1)
            if isinstance(inner, np.ndarray)
            else (inner > 0).to(inner.dtype)
        )
        return inner * on, on
    if isinstance(inner, np.ndarray):
        from scipy.special import ndtr

        below, density = ndtr(inner), np.exp(-0.5 * inner * inner) / math.sqrt(2 * math.pi)
    else:
        import torch

        below, density = torch.special.ndtr(inner), (-0.5 * inner * inner).exp() / math.sqrt(2 * math.pi)
    return inner * below, below + inner * density
