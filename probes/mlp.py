"""The MLP probe: both readings of "1-layer MLP" in arXiv 2409.12822, section 4.

`hidden=0` is a linear map with a sigmoid, trained by gradient descent; `hidden=h` has one hidden layer.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import clone

from probes.base import Probe, Scaler, fit_scaler
from probes.device import default_device
from probes.mlp_halving import Candidate, halve
from probes.mlp_solver import MLPSpec, TrainedMLPs, train_mlps

__all__ = ["MLPProbe"]


class MLPProbe(Probe):
    """A multi-layer perceptron with none or one hidden layer, averaged over seeds.

    Full-batch AdamW on standardised activations. The score is the mean logit over `n_seeds` trainings that
    differ only in their start; `seed_spread_` is the standard deviation of the training accuracy between
    them.

    Args:
        hidden: hidden units; 0 for the linear reading.
        learning_rate, schedule: AdamW's rate and its course: constant, cosine, linear-warm-up, step, plateau.
        weight_decay, l1, dropout: regularisation; decoupled L2, L1 on the first layer, dropped hidden units.
        activation: gelu or relu.
        max_epochs: full-batch steps.
        early_stopping: hold out `validation_fraction` of the training groups, keep the best epoch.
        n_seeds: trainings to average.
        random_state: int seed of the starts and of the validation split.
        device: torch device; None is CUDA when present, else CPU.
        halving: in a sweep, train only the settings that a successive-halving search keeps (`mlp_halving`);
            1 or fewer settings, or False, train them all. A single fit is the same either way.

    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0], [4.0, 0.0]])
    >>> MLPProbe(hidden=8).fit(X, [0, 0, 1, 1]).predict(X)
    array([0, 0, 1, 1])
    """

    dropped_: bool
    """In a halving sweep: another setting stands in for this one."""
    work_: tuple[float, float]
    """Epochs x networks that a sweep trained for this setting, and without halving."""

    def __init__(
        self,
        hidden: int = 64,
        learning_rate: float = 5e-3,
        schedule: str = "cosine",
        weight_decay: float = 0.1,
        l1: float = 0.0,
        dropout: float = 0.0,
        activation: str = "relu",
        max_epochs: int = 60,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 20,
        n_seeds: int = 3,
        scale: str = "standard",
        random_state: int = 0,
        device: str | None = None,
        halving: bool = True,
    ):
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.l1 = l1
        self.dropout = dropout
        self.activation = activation
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_seeds = n_seeds
        self.scale = scale
        self.random_state = random_state
        self.device = device
        self.halving = halving

    def fit(self, X: Any, y: Any, groups: Any = None) -> MLPProbe:
        """Fit on activations `X` `[row, d]` and labels `y`; early stopping never cuts one of `groups`."""
        data = self._check_training(X, y)
        held = self._held_out(data.y, groups)
        training = slice(None) if held is None else ~held
        self.scaler_ = fit_scaler(data.X[training], data.weight[training], self.scale)
        Z = self.scaler_(data.X)
        self.models_ = train_mlps(
            Z,
            data.y,
            [self.spec()] * self.n_seeds,
            seeds=self.seeds(),
            validation=held,
            device=self.device or default_device(),
        )
        right = (self.models_.logits(Z) > 0) == (data.y == 1)
        self.seed_spread_ = float(right.mean(1).std())
        self.n_iter_ = int(self.models_.epochs.max())
        return self

    def with_params(self, setting: Any) -> MLPProbe:
        """Return an unfitted copy with some parameters changed."""
        copy: Any = clone(self)
        return copy.set_params(**setting)

    def seeds(self) -> list[int]:
        """Return the seeds of the trainings."""
        return [self.random_state + i for i in range(self.n_seeds)]

    def spec(self) -> MLPSpec:
        """Return the training settings of one network."""
        return MLPSpec(
            hidden=self.hidden,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            l1=self.l1,
            dropout=self.dropout,
            schedule=self.schedule,
            activation=self.activation,
            max_epochs=self.max_epochs,
            patience=self.patience,
        )

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return the mean logit over seeds for each row."""
        X = self._check_new(X)
        return self.models_.logits(self.scaler_(X)).mean(0)

    def _held_out(self, y: np.ndarray, groups: Any) -> np.ndarray | None:
        if not self.early_stopping:
            return None
        if groups is None:
            groups = np.arange(len(y))
        groups = np.asarray(groups)
        if len(groups) != len(y):
            raise ValueError(f"{len(groups)} groups for {len(y)} rows")
        held = split_groups(groups, self.validation_fraction, self.random_state)
        for part, rows in (("validation", held), ("training", ~held)):
            if len(np.unique(y[rows])) < 2:
                raise ValueError(
                    f"early stopping left one class only in the {part} part ({int(rows.sum())} rows); "
                    "change validation_fraction or random_state, or set early_stopping=False"
                )
        return held

    def _state(self) -> dict[str, np.ndarray]:
        models = self.models_
        return {
            "center": self.scaler_.center,
            "scale": self.scaler_.scale,
            "first": np.ascontiguousarray(models.first),
            "first_bias": models.first_bias,
            "last": models.last,
            "last_bias": models.last_bias,
            "epochs": models.epochs,
            "seed_spread": np.array(self.seed_spread_),
        }

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.scaler_ = Scaler(center=state["center"], scale=state["scale"])
        weights = {name: state[name] for name in ("first", "first_bias", "last", "last_bias", "epochs")}
        self.models_ = TrainedMLPs(**weights, activation=self.activation, linear=self.hidden == 0)
        self.seed_spread_ = float(state["seed_spread"])
        self.n_iter_ = int(self.models_.epochs.max())


def split_groups(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mark the rows of a random `fraction` of the groups, at least one."""
    names = np.unique(groups)
    shuffled = np.random.default_rng([seed, len(names)]).permutation(names)
    return np.isin(groups, shuffled[: max(1, round(fraction * len(names)))])


def mlp_cells(
    probe: MLPProbe, settings: Any, X: np.ndarray, y: np.ndarray, masks: np.ndarray, groups: np.ndarray
) -> list[tuple[MLPProbe, ...]]:
    """Fit `probe` with every setting on every mask; all settings and seeds of a mask train together.

    With `halving`, a setting that the search on this mask drops is represented by the best one that it
    keeps; every probe in the result is then trained in full, and `dropped_` says which stand in for others.
    Without, the same as fitting clones one by one (`tests/probes/test_mlp.py` holds both to that).
    """
    rows = []
    for mask in masks:
        fitted: list[Any] = [probe.with_params(setting) for setting in settings]
        kept, search_epochs = _search(fitted, X[mask], y[mask], groups[mask])
        batches: dict[Any, list[MLPProbe]] = {}
        for one in (fitted[index] for index in kept):
            apart = (one.hidden, one.activation, one.max_epochs, one.scale, one.early_stopping)
            apart += (one.validation_fraction, one.random_state, one.device)
            batches.setdefault(apart, []).append(one)
        for batch in batches.values():
            _fit_together(batch, X[mask], y[mask], groups[mask])
        for index in range(len(fitted)):
            asked = fitted[index].max_epochs * fitted[index].n_seeds
            done = asked if index in kept else 0
            dropped = index not in kept
            if dropped:
                fitted[index] = copy(fitted[kept[0]])
            fitted[index].dropped_ = dropped
            fitted[index].work_ = (done + search_epochs / len(fitted), asked)
        rows.append(tuple(fitted))
    return rows


def _search(probes: list[Any], X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> tuple[list[int], float]:
    """Indices of the settings worth training in full, best first, and the epochs that finding them took."""
    everything = list(range(len(probes)))
    lead = probes[0]
    if not all(probe.halving for probe in probes) or len(probes) < 2:
        return everything, 0.0
    held = split_groups(groups, lead.validation_fraction, lead.random_state)
    if any(len(np.unique(y[part])) < 2 for part in (held, ~held)):
        return everything, 0.0  # too few groups to compare settings on
    scaler = fit_scaler(X[~held], np.ones(int((~held).sum())), lead.scale)
    candidates = [Candidate(spec=probe.spec(), seed=probe.seeds()[0]) for probe in probes]
    device = lead.device or default_device()
    return halve(scaler(X), lead._check_training(X, y).y, candidates, held, device=device)


def _fit_together(probes: list[MLPProbe], X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
    """Fit probes that differ only in how they are trained, with one scaler and one batch."""
    lead = probes[0]
    data = lead._check_training(X, y)
    held = lead._held_out(data.y, groups)
    training = slice(None) if held is None else ~held
    scaler = fit_scaler(data.X[training], data.weight[training], lead.scale)
    owners = [probe for probe in probes for _ in probe.seeds()]
    trained = train_mlps(
        scaler(data.X),
        data.y,
        [probe.spec() for probe in owners],
        seeds=[seed for probe in probes for seed in probe.seeds()],
        validation=held,
        device=lead.device or default_device(),
    )
    for probe in probes:
        mine = [i for i, owner in enumerate(owners) if owner is probe]
        probe.classes_, probe.n_features_in_, probe.scaler_ = lead.classes_, lead.n_features_in_, scaler
        probe.models_ = trained.pick(mine)
        probe.seed_spread_ = float("nan")
        probe.n_iter_ = int(probe.models_.epochs.max())
