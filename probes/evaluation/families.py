"""Probe families: a probe class, the settings that a sweep tries, and the fit of all of them at once.

`fit_cells` fits one family on one layer for every training mask and every setting. Families with a batched
solver share the work (see `solvers.py`, `mlp_solver.py`); any other scikit-learn style probe is fitted in a
plain loop, with the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from sklearn.base import clone

from probes.base import LinearProbe, Probe
from probes.batched import batched_fit
from probes.evaluation.arrays import Activations, Groups, Labels
from probes.linear import LDAProbe, LogisticProbe, MeanDifferenceProbe, RidgeProbe
from probes.mlp import MLPProbe, mlp_cells
from probes.rounding import term_size
from probes.unsupervised import PCAProbe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FAMILIES", "Cells", "Family", "as_families", "fit_cells"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A probe and the grid of parameters over which the source selects."""

    name: str
    probe: Probe
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    max_layers: int | None = None  # fit at most so many layers, evenly spread; None: all

    @property
    def settings(self) -> tuple[dict[str, Any], ...]:
        """Every combination of the grid, in order."""
        return tuple(dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values()))

    def fit(self, setting: Mapping[str, Any], X: Activations, y: Labels) -> Any:
        """Return a probe fitted with this setting."""
        probe: Any = self.make(setting)
        return probe.fit(X, y)

    def make(self, setting: Mapping[str, Any]) -> Probe:
        """Return an unfitted probe with this setting."""
        probe: Any = clone(self.probe)
        return probe.set_params(**setting)


SINGLE = float(np.finfo(np.float32).eps / np.finfo(np.float64).eps)
MLP_LAYERS = 6  # an MLP costs as much as a hundred linear probes; give a Family with None for all layers

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="logistic",
            probe=LogisticProbe(),
            grid={"C": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)},
        ),
        Family(name="ridge", probe=RidgeProbe(), grid={"alpha": (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)}),
        Family(name="mean-difference", probe=MeanDifferenceProbe(), grid={"scale": ("none", "standard")}),
        Family(name="lda", probe=LDAProbe()),
        Family(name="pca", probe=PCAProbe()),
        Family(
            name="mlp",
            probe=MLPProbe(hidden=32, max_epochs=30, learning_rate=0.01),
            grid={"weight_decay": (0.1, 10.0)},
            max_layers=MLP_LAYERS,
        ),
        Family(
            name="mlp-linear",
            probe=MLPProbe(hidden=0, max_epochs=30, learning_rate=0.01),
            grid={"weight_decay": (0.1, 10.0)},
            max_layers=MLP_LAYERS,
        ),
    )
}


def as_families(probes: Any) -> tuple[Family, ...]:
    """Turn what a caller gave (names, probes, families, or name -> probe) into families.

    >>> [family.name for family in as_families(["logistic", MeanDifferenceProbe()])]
    ['logistic', 'MeanDifferenceProbe']
    """
    if isinstance(probes, (str, Probe, Family)):
        probes = [probes]
    if isinstance(probes, dict):
        named = (Family(name=name, probe=probe) for name, probe in probes.items() if isinstance(probe, Probe))
        given = {family.name: family for family in named} | {
            name: family for name, family in probes.items() if isinstance(family, Family)
        }
        probes = list(given.values())
    families = []
    for probe in probes:
        if isinstance(probe, Family):
            families.append(probe)
        elif isinstance(probe, str):
            if probe not in FAMILIES:
                raise ValueError(
                    f"probe {probe!r} is not known; choose from {', '.join(FAMILIES)} or give a probe"
                )
            families.append(FAMILIES[probe])
        elif isinstance(probe, Probe):
            families.append(Family(name=type(probe).__name__, probe=probe))
        else:
            raise TypeError(f"{probe!r} is neither a family name nor a probe")
    names = [family.name for family in families]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"families need distinct names and at least one entry, got {names}")
    return tuple(families)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """All fits of one family on one layer. Linear fits carry raw directions, others the fitted probes."""

    directions: Float[np.ndarray, "fit setting d"] | None = None
    biases: Float[np.ndarray, "fit setting"] | None = None
    fitted: tuple[tuple[Any, ...], ...] = ()

    @property
    def kept(self) -> Bool[np.ndarray, "fit setting"] | None:
        """False where a halving search let another setting stand in; None: all kept."""
        dropped = [[getattr(probe, "dropped_", False) for probe in row] for row in self.fitted]
        return ~np.array(dropped) if dropped and np.any(dropped) else None

    @property
    def work(self) -> Shaped[np.ndarray, " 2"]:
        """Epochs x networks that were trained, and that a search without halving trains."""
        counted = [getattr(probe, "work_", (0, 0)) for row in self.fitted for probe in row]
        return np.sum(counted or [(0, 0)], axis=0)

    def scores(self, X: Activations) -> Float[np.ndarray, "fit setting row"]:
        """Return the score of each row under each fit and setting."""
        if self.directions is not None and self.biases is not None:
            fits, settings, width = self.directions.shape
            flat = X @ self.directions.reshape(-1, width).T
            return flat.T.reshape(fits, settings, len(X)) + self.biases[:, :, None]
        return np.stack([[probe.decision_function(X) for probe in row] for row in self.fitted])

    def score_sizes(
        self, X: Activations, scores: Float[np.ndarray, "fit setting row"]
    ) -> Float[np.ndarray, "fit setting"]:
        """Return how large the terms of each fit's scores are: rounding grows with them."""
        if self.directions is not None and self.biases is not None:
            return term_size(X, self.directions, self.biases)
        return np.array(
            [
                [score_size(probe, X, own) for probe, own in zip(*row, strict=True)]
                for row in zip(self.fitted, scores, strict=True)
            ]
        )


def score_size(probe: Any, X: Activations, scores: Float[np.ndarray, "*_ row"]) -> float:
    """Return how large the terms of one fitted probe's scores are, in units of double precision.

    >>> score_size(MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1]), np.array([[2.0]]), np.array([1.5]))
    2.5
    """
    if isinstance(probe, LinearProbe):
        return float(term_size(X, probe.direction_, probe.bias_))
    size = float(np.abs(scores).max())
    # Networks compute in single precision, and their logits are of order one.
    return SINGLE * (size + 1) if isinstance(probe, MLPProbe) else size


def fit_cells(
    family: Family,
    X: Activations,
    y: Labels,
    masks: Bool[np.ndarray, "fit row"],
    groups: Groups,
    device: str = "cpu",
) -> Cells:
    """Fit every setting of `family` on every training mask of one layer's activations.

    `device` is where logistic grids are solved; MLPs follow their own `device` parameter.
    """
    together = batched_fit(family.probe, family.settings, device)
    if together is not None:
        directions, biases = together(X, y, masks)
        return Cells(directions=directions, biases=biases)
    if isinstance(family.probe, MLPProbe):
        return Cells(fitted=tuple(mlp_cells(family.probe, family.settings, X, y, masks, groups)))
    rows = [tuple(family.fit(setting, X[mask], y[mask]) for setting in family.settings) for mask in masks]
    if all(isinstance(probe, LinearProbe) for row in rows for probe in row):
        return Cells(
            directions=np.array([[probe.direction_ for probe in row] for row in rows]),
            biases=np.array([[probe.bias_ for probe in row] for row in rows]),
        )
    return Cells(fitted=tuple(rows))
