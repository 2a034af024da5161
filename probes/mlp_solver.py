"""Trains many small MLPs on the same activations at once: settings x seeds side by side in one matrix.

The first layers of all models are the columns of one matrix, so each step costs one large matrix product
instead of many small ones. Training is full batch, so a model's result depends neither on the other models
in the batch nor on the order of the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["SCHEDULES", "MLPSpec", "TrainedMLPs", "train_mlps"]

SCHEDULES = ("constant", "cosine", "linear-warm-up", "step", "plateau")


@dataclass(frozen=True, kw_only=True)
class MLPSpec:
    """How one MLP is trained. `hidden=0` is a linear map (the paper's other reading of "1-layer MLP")."""

    hidden: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2  # decoupled, as in AdamW
    l1: float = 0.0  # on first-layer weights
    dropout: float = 0.0  # of hidden units (of inputs when hidden is 0)
    schedule: str = "constant"
    activation: str = "gelu"
    max_epochs: int = 200
    patience: int = 20  # epochs without a better validation loss; also the plateau schedule's patience

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} is not known; choose one of {', '.join(SCHEDULES)}")
        if self.activation not in ("gelu", "relu"):
            raise ValueError(f"activation={self.activation!r} is not known; choose gelu or relu")
        if self.hidden < 0 or self.max_epochs < 1 or not 0 <= self.dropout < 1 or self.learning_rate <= 0:
            raise ValueError(
                f"{self} is not possible: need hidden >= 0, max_epochs >= 1, 0 <= dropout < 1, lr > 0"
            )


@dataclass(frozen=True, kw_only=True)
class TrainedMLPs:
    """Weights of `model` MLPs of one hidden width. With `hidden=0` only `first` and `last_bias` are used."""

    first: Float[np.ndarray, "model d width"]
    first_bias: Float[np.ndarray, "model width"]
    last: Float[np.ndarray, "model width"]
    last_bias: Float[np.ndarray, " model"]
    activation: str
    epochs: Int[np.ndarray, " model"]
    linear: bool

    def logits(self, Z: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "model row"]:
        """Return the score of every row under every model."""
        models, width, hidden = self.first.shape
        inner = (Z @ self.first.transpose(1, 0, 2).reshape(width, -1)).reshape(len(Z), models, hidden)
        if self.linear:
            return inner[:, :, 0].T + self.last_bias[:, None]
        inner = _activate(inner + self.first_bias, self.activation)
        return np.einsum("nmh,mh->mn", inner, self.last) + self.last_bias[:, None]


def train_mlps(
    Z: Float[np.ndarray, "row d"],
    y: Int[np.ndarray, " row"],
    specs: Sequence[MLPSpec],
    seeds: Sequence[int],
    *,
    validation: Bool[np.ndarray, " row"] | None = None,
    device: str = "cpu",
) -> TrainedMLPs:
    """Train one MLP per entry of `specs` and `seeds` (same length) on scaled activations `Z`.

    All specs must share `hidden`, `activation` and `max_epochs`. With `validation` (rows kept out of
    training), each model keeps the weights of its best validation loss and stops after `patience` epochs
    without a better one.

    >>> Z, y = np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> models = train_mlps(Z, y, [MLPSpec(hidden=4)], seeds=[0])
    >>> (models.logits(Z) > 0).astype(int)
    array([[0, 0, 1, 1]])
    """
    import torch

    shared = {(spec.hidden, spec.activation, spec.max_epochs) for spec in specs}
    if len(shared) != 1 or len(specs) != len(seeds):
        raise ValueError(f"one batch needs one hidden size, activation and max_epochs, got {sorted(shared)}")
    state = _Batch(torch.as_tensor(Z, dtype=torch.float32, device=device), specs, seeds)
    target = torch.as_tensor(y, dtype=torch.float32, device=device)[:, None]
    held = torch.zeros(len(y), dtype=torch.bool) if validation is None else torch.as_tensor(validation)
    held = held.to(device)
    for epoch in range(specs[0].max_epochs):
        if not state.step(target, held, epoch):
            break
    return state.result(use_best=validation is not None)


class _Batch:
    """Parameters, Adam moments and stopping state of all models, stacked along one `model` axis."""

    def __init__(self, Z: torch.Tensor, specs: Sequence[MLPSpec], seeds: Sequence[int]):
        import torch

        self.Z, self.specs, self.torch = Z, specs, torch
        self.hidden = specs[0].hidden
        self.width = max(self.hidden, 1)
        self.models = len(specs)
        # numpy's generators give the same start on every device
        generators = [np.random.default_rng([seed, Z.shape[1], self.hidden]) for seed in seeds]
        bound = 1 / math.sqrt(Z.shape[1])
        last_bound = 1 / math.sqrt(self.width)
        first = np.stack([g.uniform(-bound, bound, (Z.shape[1], self.width)) for g in generators], axis=1)
        first_bias = np.stack([g.uniform(-bound, bound, self.width) for g in generators])
        last = np.stack([g.uniform(-last_bound, last_bound, self.width) for g in generators])
        self.generators = [torch.Generator().manual_seed(int(g.integers(2**62))) for g in generators]
        make = lambda array: torch.as_tensor(array, dtype=torch.float32, device=Z.device).requires_grad_()  # noqa: E731
        self.first = make(first * (self.hidden > 0))
        self.first_bias, self.last, self.last_bias = make(first_bias), make(last), make(np.zeros(self.models))
        self.parameters = [self.first, self.first_bias, self.last, self.last_bias]
        if self.hidden == 0:
            self.parameters = [self.first, self.last_bias]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.best_loss = np.full(self.models, np.inf)
        self.best_epoch = np.zeros(self.models, dtype=int)
        self.best = [p.detach().clone() for p in self.parameters]
        self.active = np.ones(self.models, dtype=bool)
        self.plateau = np.ones(self.models)
        self.plateau_loss, self.plateau_wait = np.full(self.models, np.inf), np.zeros(self.models, dtype=int)

    def per_model(self, values: Sequence[float] | np.ndarray, like: torch.Tensor) -> torch.Tensor:
        """Lay one number per model along the model axis of a parameter."""
        vector = self.torch.as_tensor(np.asarray(values), dtype=like.dtype, device=like.device)
        if like is self.first:
            return vector[None, :, None]
        return vector[:, None] if like.ndim == 2 else vector

    def logits(self, train: bool) -> torch.Tensor:
        torch = self.torch
        inner = (self.Z @ self.first.reshape(self.Z.shape[1], -1)).reshape(
            len(self.Z), self.models, self.width
        )
        if self.hidden == 0:
            return inner[:, :, 0] + self.last_bias
        inner = inner + self.first_bias
        inner = torch.relu(inner) if self.specs[0].activation == "relu" else torch.nn.functional.gelu(inner)
        if train and any(spec.dropout for spec in self.specs):
            inner = inner * self.dropout_mask(inner)
        return (inner * self.last).sum(-1) + self.last_bias

    def dropout_mask(self, inner: torch.Tensor) -> torch.Tensor:
        mask = self.torch.ones(inner.shape, device=inner.device)
        for m, spec in enumerate(self.specs):
            if spec.dropout:
                kept = (
                    self.torch.rand((len(self.Z), self.width), generator=self.generators[m]) >= spec.dropout
                )
                mask[:, m] = kept.to(inner.device) / (1 - spec.dropout)
        return mask

    def step(self, target: torch.Tensor, held: torch.Tensor, epoch: int) -> bool:
        """One epoch for every active model; False when all have stopped."""
        torch = self.torch
        loss_of = torch.nn.functional.binary_cross_entropy_with_logits
        logits = self.logits(train=True)
        losses = loss_of(logits[~held], target[~held].expand(-1, self.models), reduction="none").mean(0)
        l1 = self.per_model([spec.l1 for spec in self.specs], self.first)
        total = losses.sum() + (l1 * self.first.abs()).sum()
        gradients = torch.autograd.grad(total, self.parameters)
        with torch.no_grad():
            self.adam(gradients, epoch, losses.detach().cpu().double().numpy())
            if held.any():
                checked = loss_of(
                    self.logits(train=False)[held], target[held].expand(-1, self.models), reduction="none"
                )
                self.remember(checked.mean(0).cpu().double().numpy(), epoch)
        return bool(self.active.any())

    def adam(self, gradients: Sequence[torch.Tensor], epoch: int, losses: np.ndarray) -> None:
        rate = np.array([spec.learning_rate * _schedule(spec, epoch) for spec in self.specs])
        rate *= self.plateau_factor(losses) * self.active
        decay = np.array([spec.weight_decay for spec in self.specs])
        for parameter, gradient, (first, second) in zip(
            self.parameters, gradients, self.moments, strict=True
        ):
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            corrected = (second / (1 - 0.999 ** (epoch + 1))).sqrt_().add_(1e-8)
            step = self.per_model(rate / (1 - 0.9 ** (epoch + 1)), parameter)
            if parameter is self.first or parameter is self.last:
                parameter.mul_(1 - self.per_model(rate * decay, parameter))
            parameter.sub_(step * first / corrected)

    def plateau_factor(self, losses: np.ndarray) -> np.ndarray:
        """Halve the rate of `plateau` models whose training loss has stopped falling."""
        better = losses < self.plateau_loss * (1 - 1e-3)
        self.plateau_loss = np.where(better, losses, self.plateau_loss)
        self.plateau_wait = np.where(better, 0, self.plateau_wait + 1)
        patience = np.array([spec.patience for spec in self.specs])
        on = np.array([spec.schedule == "plateau" for spec in self.specs])
        due = on & (self.plateau_wait >= np.maximum(patience // 2, 1))
        self.plateau = np.where(due, self.plateau / 2, self.plateau)
        self.plateau_wait = np.where(due, 0, self.plateau_wait)
        return self.plateau

    def remember(self, losses: np.ndarray, epoch: int) -> None:
        better = self.active & (losses < self.best_loss)
        self.best_loss = np.where(better, losses, self.best_loss)
        self.best_epoch = np.where(better, epoch, self.best_epoch)
        for best, parameter in zip(self.best, self.parameters, strict=True):
            chosen = self.per_model(better.astype(float), parameter).bool()
            best.copy_(self.torch.where(chosen, parameter.detach(), best))
        patience = np.array([spec.patience for spec in self.specs])
        self.active &= epoch - self.best_epoch < patience

    def result(self, use_best: bool) -> TrainedMLPs:
        if use_best:
            with self.torch.no_grad():
                for parameter, best in zip(self.parameters, self.best, strict=True):
                    parameter.copy_(best)
        first, first_bias, last, last_bias = (
            p.detach().cpu().double().numpy()
            for p in (self.first, self.first_bias, self.last, self.last_bias)
        )
        epochs = self.best_epoch + 1 if use_best else np.full(self.models, self.specs[0].max_epochs)
        return TrainedMLPs(
            first=first.transpose(1, 0, 2),
            first_bias=first_bias,
            last=last,
            last_bias=last_bias,
            activation=self.specs[0].activation,
            epochs=epochs,
            linear=self.hidden == 0,
        )


def _schedule(spec: MLPSpec, epoch: int) -> float:
    progress = epoch / spec.max_epochs
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if spec.schedule == "linear-warm-up":
        warm = max(1, spec.max_epochs // 10)
        return (epoch + 1) / warm if epoch < warm else (spec.max_epochs - epoch) / (spec.max_epochs - warm)
    if spec.schedule == "step":
        return 0.1 ** int(3 * progress)
    return 1.0


def _activate(inner: np.ndarray, activation: str) -> np.ndarray:
    if activation == "relu":
        return np.maximum(inner, 0)
    from scipy.special import ndtr

    return inner * ndtr(inner)
