"""The records of a transfer evaluation in the making, one list per field of `TransferResult`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NotRequired, TypedDict

from probes.evaluation.kinds import Design
from probes.evaluation.results import (
    ControlScore,
    Evaluation,
    Geometry,
    LayerCurve,
    MatrixCell,
    Recovered,
    Repair,
    StratumScore,
    Verdict,
)

__all__ = ["CellRecord", "Findings", "SelectionRecord"]


class CellRecord(TypedDict):
    """A layer and setting of the grid, as records name them."""

    layer: int
    depth: float
    setting: dict[str, Any]


class SelectionRecord(CellRecord):
    """What one family chose on the source, and how."""

    probe: str
    selected_on: str
    rule: str
    auroc: float
    tied_cells: int
    thresholds: dict[str, float]
    """Alpha -> threshold in the final probe's own units."""
    outer_folds: list[CellRecord]
    """What it would choose without each fold."""
    other_splits: NotRequired[list[CellRecord]]
    """What it chooses when groups are dealt to folds anew."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """Lists that designs and controls append to; `as_tuples` gives them under the names of the result."""

    evaluations: list[Evaluation] = field(default_factory=list)
    layer_curves: list[LayerCurve] = field(default_factory=list)
    controls: list[ControlScore] = field(default_factory=list)
    family_controls: list[ControlScore] = field(default_factory=list)
    strata: list[StratumScore] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    geometry: list[Geometry] = field(default_factory=list)
    recovered: list[Recovered] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    matrix: list[MatrixCell] = field(default_factory=list)
    selection: list[SelectionRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_tuples(self) -> dict[str, Any]:
        """Return every list as a tuple."""
        return {item.name: tuple(getattr(self, item.name)) for item in fields(self)}

    def controls_of(self, probe: str) -> list[ControlScore]:
        """Return the controls that were scored beside a family."""
        return [control for control in (*self.controls, *self.family_controls) if control.probe == probe]

    def find(self, design: Design, probe: str, scored_on: str) -> Evaluation:
        """Return the evaluation of a design; LookupError when it was not made.

        >>> Findings().find(Design.D1, "lda", "rlhf")
        Traceback (most recent call last):
            ...
        LookupError: no evaluation of lda by D1 on rlhf
        """
        for evaluation in self.evaluations:
            if (evaluation.design, evaluation.probe, evaluation.scored_on) == (design, probe, scored_on):
                return evaluation
        raise LookupError(f"no evaluation of {probe} by {design} on {scored_on}")

    def selection_of(self, probe: str) -> SelectionRecord:
        """Return what a family chose on the source."""
        return next(record for record in self.selection if record["probe"] == probe)
