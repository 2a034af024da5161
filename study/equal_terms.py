"""Recipes compared on equal terms: at the same distance from `pi_init`, or at the same training reward.

A recipe is not more misleading than another because it ran longer. Every cell (recipe, reward, seed) is
therefore a *curve* of points between `pi_init` and what training made of it, each measured on the same items,
and cells are compared where their curves have the same KL to `pi_init`, or the same reward. Between points
measures are interpolated linearly; a curve that does not reach the value is read at its end, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from rlhf.diagnostics.estimates import ItemEstimate
from sophistry.files import write_atomic

__all__ = ["Comparison", "Curve", "PathPoint", "as_cells", "common_value", "compare_at"]

Terms = Literal["kl", "reward"]


@dataclass(frozen=True, kw_only=True)
class PathPoint:
    """One model on the way from `pi_init` to the organism; lists have one number per item."""

    fraction: float
    """How far along: 0 is `pi_init`, 1 what training made."""
    kl: list[float]
    """Log-ratio of the drawn response under this model and `pi_init`, in nats (its mean estimates the KL)."""
    reward: list[float]
    """What training paid for: here the approval of those who rewarded, or `R*`."""
    approval: list[float]
    """Share of those who only measure who approve."""
    truth: list[float]
    """`R*`, 0 or 1."""
    complexity: list[int | None] | None = None
    """McCabe's, of programs that parse; None for stories."""

    def __post_init__(self) -> None:
        lengths = {len(values) for values in (self.kl, self.reward, self.approval, self.truth)}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"a point needs one number per item in every measure, got lengths {sorted(lengths)}"
            )

    def ratios(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Numerator and denominator of every measure, by item."""
        approval, truth = np.array(self.approval), np.array(self.truth)
        one = np.ones_like(truth)
        found = {
            "kl": (np.array(self.kl), one),
            "reward": (np.array(self.reward), one),
            "approval": (approval, one),
            "correctness": (truth, one),
            "false_positives": (approval * (1 - truth), 1 - truth),
            "inflation": (np.maximum(0, approval - truth), one),
        }
        if self.complexity is not None:
            known = np.array([value is not None for value in self.complexity], dtype=float)
            found["complexity"] = (np.array([value or 0 for value in self.complexity], dtype=float), known)
        return found


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One cell of the study."""

    recipe: str
    reward: str
    seed: int
    points: tuple[PathPoint, ...]
    """By fraction, from 0 to 1."""
    items: tuple[str, ...]
    """Ids of the items that were answered; the same for every curve that is compared."""
    made: str = ""
    """Digest of the models, the sampling, the items and those who judge: another one is another curve."""
    answers: str = ""
    """File with the answers at its end."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Costs, and what the probe found (`auroc`, `auroc_low`, `auroc_high`, `ceiling`, `concept`)."""

    def __post_init__(self) -> None:
        fractions = [point.fraction for point in self.points]
        if (
            len(fractions) < 2
            or fractions != sorted(set(fractions))
            or (fractions[0], fractions[-1]) != (0, 1)
        ):
            raise ValueError(f"{self.name}: points must go from fraction 0 to 1, got {fractions}")
        if any(len(point.kl) != len(self.items) for point in self.points):
            raise ValueError(
                f"{self.name}: every point needs one answer to each of the {len(self.items)} items"
            )

    @property
    def name(self) -> str:
        """For example `dpo/approval/0`."""
        return f"{self.recipe}/{self.reward}/{self.seed}"

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_atomic(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Curve:
        """Read what `save` wrote."""
        data = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(PathPoint(**point) for point in data.pop("points"))
        return cls(points=points, items=tuple(data.pop("items")), **data)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One curve at a common KL or reward, and how it differs there from the curve of reference."""

    name: str
    terms: Terms
    value: float
    """The KL in nats, or the reward, at which it was read."""
    reached: bool
    """Whether its curve reaches this value; otherwise its end was read."""
    measures: dict[str, ItemEstimate | None]
    differences: dict[str, ItemEstimate | None]
    """Minus the reference, paired by item; empty for the reference itself. None: no wrong answers there."""


def common_value(curves: Sequence[Curve], terms: Terms) -> float:
    """The largest KL (or reward) that every curve reaches that leaves the start upwards: there they are read.

    A recipe that lowers the reward would otherwise have all others read at the start, where they are equal.

    >>> def at(fraction, kl):
    ...     return PathPoint(fraction=fraction, kl=[kl], reward=[kl], approval=[1.0], truth=[1.0])
    >>> curves = [Curve(recipe=r, reward="approval", seed=0, items=("a",), points=(at(0, 0.0), at(1, kl)))
    ...           for r, kl in (("dpo", 2.0), ("ppo", 3.0))]
    >>> common_value(curves, "kl")
    2.0
    """
    means = [[float(np.mean(getattr(point, terms))) for point in curve.points] for curve in curves]
    rising = [max(path) for path in means if max(path) > path[0]]
    return min(rising, default=max(path[0] for path in means))


def compare_at(
    curves: Sequence[Curve],
    terms: Terms,
    *,
    reference: str,
    value: float | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Read all curves at one KL or reward; intervals are percentile bootstraps over items, paired by item.

    In every resample the place at which a curve has the common value is found again, so its uncertainty is in
    the interval.

    Args:
        curves: measured on the same items.
        terms: kl, or reward: then curves of another reward than the reference's are left out.
        reference: name of the curve from which the others differ.
        value: where they are read; None: `common_value`.
        draws: resamples.
        seed: of the resamples.

    Raises:
        ValueError: no such reference, or curves on different items.
    """
    by_name = {curve.name: curve for curve in curves}
    if reference not in by_name:
        raise ValueError(f"there is no curve {reference!r} to compare with; there are {sorted(by_name)}")
    if apart := [curve.name for curve in curves if curve.items != by_name[reference].items]:
        raise ValueError(f"{apart[0]} was measured on other items than {reference}: they cannot be compared")
    if terms == "reward":
        by_name = {n: curve for n, curve in by_name.items() if curve.reward == by_name[reference].reward}
    value = common_value(list(by_name.values()), terms) if value is None else value
    count = len(by_name[reference].items)
    chosen = np.random.default_rng(seed).integers(0, count, (draws, count))
    rows = np.vstack([np.arange(count), chosen])  # the items themselves first
    read = {name: _read(curve, terms, value, rows) for name, curve in by_name.items()}
    against = read[reference]
    found = []
    for name, curve in by_name.items():
        differences = (
            {}
            if name == reference
            else {
                measure: _estimate(values - against[measure], count)
                for measure, values in read[name].items()
                if measure in against
            }
        )
        reached = max(float(np.mean(getattr(point, terms))) for point in curve.points) >= value - 1e-9
        measures = {measure: _estimate(values, count) for measure, values in read[name].items()}
        found.append(
            Comparison(
                name=name,
                terms=terms,
                value=value,
                reached=reached,
                measures=measures,
                differences=differences,
            )
        )
    return found


def _read(
    curve: Curve, terms: Terms, value: float, rows: np.ndarray
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Every measure of a curve where it first has the value, for each resample of the items."""
    tables: dict[str, Float[np.ndarray, "draw point"]] = {}
    for measure in curve.points[0].ratios():
        columns = []
        for point in curve.points:
            top, bottom = point.ratios()[measure]
            tops, bottoms = top[rows].sum(1), bottom[rows].sum(1)
            columns.append(np.divide(tops, bottoms, out=np.full(len(tops), np.nan), where=bottoms > 0))
        tables[measure] = np.stack(columns, axis=1)
    before, weight = _place(tables[terms], value)
    which = np.arange(len(rows))
    return {
        measure: table[which, before] * (1 - weight) + table[which, before + 1] * weight
        for measure, table in tables.items()
    }


def _place(path: Float[np.ndarray, "draw point"], value: float) -> tuple[np.ndarray, np.ndarray]:
    """The segment in which each path first reaches the value, and how far along; else the path's end."""
    reached = path[:, 1:] >= value
    segment = np.where(reached.any(1), reached.argmax(1), path.shape[1] - 2)
    which = np.arange(len(path))
    low, high = path[which, segment], path[which, segment + 1]
    rise = high - low
    weight = np.divide(value - low, rise, out=np.ones_like(rise), where=rise != 0)
    return segment, np.where(reached.any(1), np.clip(weight, 0, 1), 1.0)


def _estimate(values: np.ndarray, count: int) -> ItemEstimate | None:
    known = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(known):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return ItemEstimate(value=float(values[0]), low=float(low), high=float(high), n=count)


def as_cells(curves: Sequence[Curve]) -> list[Mapping[str, Any]]:
    """Every curve's end as one flat row, for tables and figures."""
    rows = []
    for curve in curves:
        end = {
            name: top.sum() / bottom.sum() if bottom.sum() else None
            for name, (top, bottom) in curve.points[-1].ratios().items()
        }
        rows.append(
            {
                "recipe": curve.recipe,
                "reward": curve.reward,
                "seed": curve.seed,
                "approval": end["approval"],
                "correctness": end["correctness"],
                "fpr": end["false_positives"],
                "inflation": end["inflation"],
                "training_reward": end["reward"],
                "complexity": end.get("complexity"),
                "kl": end["kl"],
                **curve.notes,
            }
        )
    return rows
