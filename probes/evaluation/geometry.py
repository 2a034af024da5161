"""How source and target representations relate: direction cosines, CKA, mean shift and scale, by layer.

Descriptions beside the decomposition in `repairs.py`; nothing is chosen from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probes.evaluation.results import Geometry
from probes.rounding import constant_features

if TYPE_CHECKING:
    from probes.evaluation.designs import Setup
    from probes.evaluation.domain import Domain
    from probes.evaluation.findings import Findings

__all__ = ["linear_cka", "run_geometry"]

MIN_PAIRED = 10


def run_geometry(setup: Setup, found: Findings) -> None:
    """Record the geometry between the source and each target (linear families only)."""
    source, own = setup.source, setup.fits[setup.source.name]
    for target in setup.targets:
        other = setup.fits[target.name]
        if own.directions is None or other.directions is None:
            continue
        pairing, how = _pairing(source, target)
        cosines, cka, shifts, scales = [], [], [], []
        for index in range(len(source.layer_names)):
            first = own.directions[index, own.select([index]).setting_index]
            second = other.directions[index, other.select([index]).setting_index]
            cosines.append(_cosine(first, second))
            ours, theirs = source.layer(index), target.layer(index)
            cka.append(None if pairing is None else linear_cka(pairing[0](ours), pairing[1](theirs)))
            constant = constant_features(ours.var(0), ours.mean(0), len(ours))
            spread = np.where(constant, 1.0, ours.std(0))
            shift = (theirs.mean(0) - ours.mean(0)) / spread
            shifts.append(float(np.linalg.norm(shift) / np.sqrt(len(shift))))
            scales.append(float(np.median(theirs.std(0) / spread)))
        found.geometry.append(
            Geometry(
                source=source.name,
                target=target.name,
                probe=setup.family.name,
                layers=source.layer_names,
                direction_cosine=tuple(cosines),
                cka=tuple(cka),
                cka_rows=how,
                mean_shift=tuple(shifts),
                scale_ratio=tuple(scales),
                selected=source.layer_names[setup.selection.layer_index],
            )
        )


def linear_cka(X: Float[np.ndarray, "row d"], Y: Float[np.ndarray, "row e"]) -> float:
    """Return the linear centred kernel alignment of two representations of the same rows.

    Kornblith et al. (2019): `|Yc'Xc|^2 / (|Xc'Xc| |Yc'Yc|)` in Frobenius norms; 1 for a rotation.

    >>> X = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
    >>> round(linear_cka(X, X[:, ::-1] * 3.0), 6)
    1.0
    """
    X, Y = X - X.mean(0), Y - Y.mean(0)
    if len(X) < max(X.shape[1], Y.shape[1]):
        first, second = X @ X.T, Y @ Y.T
        cross, own = np.sum(first * second), np.linalg.norm(first) * np.linalg.norm(second)
    else:
        cross = np.linalg.norm(Y.T @ X) ** 2
        own = np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)
    return float(cross / own) if own > 0 else 0.0


def _pairing(source: Domain, target: Domain):
    """Find rows of both domains that belong together: the same row ids, else the same groups (as means)."""
    for how, ours, theirs in (
        ("paired by row id", source.row_ids, target.row_ids),
        ("paired by group", source.groups, target.groups),
    ):
        if ours is None or theirs is None:
            continue
        shared = sorted({str(key) for key in ours} & {str(key) for key in theirs})
        if len(shared) >= MIN_PAIRED:
            return (_averager(ours, shared), _averager(theirs, shared)), how
    return None, "no shared rows"


def _averager(keys, shared: list[str]):
    """Return a function that averages the rows of each shared key, in the order of `shared`."""
    place = {key: i for i, key in enumerate(shared)}
    member = np.array([place.get(str(key), -1) for key in keys])
    kept = member >= 0
    counts = np.bincount(member[kept], minlength=len(shared))

    def average(X: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "shared d"]:
        sums = np.zeros((len(shared), X.shape[1]))
        np.add.at(sums, member[kept], X[kept])
        return sums / counts[:, None]

    return average


def _cosine(first: Float[np.ndarray, " d"], second: Float[np.ndarray, " d"]) -> float:
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / size) if size > 0 else 0.0
