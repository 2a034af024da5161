"""The transfer matrix of a study: a probe of every source on every model, beside what it could have found.

A row is one `TransferResult` (a source, a probe family, a site, a token selection, a seed). This file says
what a cell takes from it, and whether other seeds come to the same verdicts. Figures, tables and the report
of `experiments/matrix.py` are made from `MatrixResult.to_json()` alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.evaluation.kinds import ChanceVerdict, ControlKind, Design, DomainRole, VerdictCode
from probes.evaluation.learning import LearningCurve
from probes.evaluation.results import ControlScore, Estimate, Evaluation, Sample, TransferResult
from sophistry.records import build, to_plain

SCHEMA = "sophistry-probes/matrix-result/1"

__all__ = [
    "SCHEMA",
    "MatrixResult",
    "Model",
    "ReadCell",
    "Row",
    "SeedScore",
    "cells_of",
    "stability",
    "with_seeds",
]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model with the answers it read."""

    name: str
    role: DomainRole
    """The first it has: source, target, control."""
    kind: str
    """What it is: backdoored, decoy, clean, pi_init, pi_rlhf, ...; of a reader, `reader`."""
    task: str
    reader: str
    """Whose weights."""
    answers: str
    """Whose prompts and answers; another name than `reader` in the same-text design."""
    sample: Sample


@dataclass(frozen=True, kw_only=True)
class SeedScore:
    """The same cell under another seed of folds, resampling, permutations and initialisation."""

    seed: int
    auroc: float | None
    verdict: VerdictCode | None


@dataclass(frozen=True, kw_only=True)
class ReadCell:
    """A probe fitted on one model and scored on one model."""

    fitted_on: str
    scored_on: str
    probe: str
    site: str
    tokens: str
    held_out: bool
    """The diagonal: fitted and scored on one model, cross-fitted by group."""
    layer: int | None
    """Chosen on the model it was fitted on."""
    auroc: Estimate
    sample: Sample
    ceiling: Estimate | None
    """The same family fitted in the scored model itself, cross-fitted by group; None on the diagonal, and
    where a class is too rare to fit."""
    chance: ChanceVerdict | None
    """Against one half, within the margin; None where the model is a control."""
    detectable: float | None
    """Smallest AUROC that the sample finds with power .8; None where the model is a control."""
    inverted: bool
    cosine: float | None
    """Between this direction and the one fitted in the scored model at the same layer; None for probes
    without a direction, and on the diagonal."""
    text: Estimate | None
    """Best baseline that reads words, length or letter, fitted where the probe was; None without one."""
    text_name: str
    verdict: VerdictCode | None
    """What the numbers permit to say; None on the diagonal and for controls."""
    sentence: str = ""
    flags: tuple[str, ...] = ()
    seeds: tuple[SeedScore, ...] = ()
    """Other seeds of the study."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Where the whole result of one row of the matrix is."""

    source: str
    probe: str
    site: str
    tokens: str
    seed: int
    file: str
    """Below the run's folder."""


@dataclass(frozen=True, kw_only=True)
class MatrixResult:
    """Everything one run of `experiments/matrix.py` found."""

    schema: str = SCHEMA
    models: tuple[Model, ...]
    cells: tuple[ReadCell, ...]
    rows: tuple[Row, ...]
    learning: tuple[LearningCurve, ...]
    warnings: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    """Seeds, options, families, versions, and the rule of selection."""

    def to_json(self, indent: int | None = None) -> str:
        """Return the result as JSON text; it holds no times, so equal runs give equal text."""
        return json.dumps(_rounded(to_plain(dataclasses.asdict(self))), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> MatrixResult:
        """Rebuild a result; ValueError for another schema, unknown fields and wrong types."""
        record = json.loads(text)
        if record.get("schema") != SCHEMA:
            raise ValueError(
                f"schema {record.get('schema')!r} cannot be read; this version reads {SCHEMA!r}: "
                "run the matrix again"
            )
        return build(cls, record, source="matrix", advice="The file is of another version.")

    @property
    def readings(self) -> tuple[tuple[str, str, str], ...]:
        """Probe, site and token selection of the cells, the headline first."""
        return tuple(dict.fromkeys((c.probe, c.site, c.tokens) for c in self.cells))

    def of_reading(self, probe: str, site: str, tokens: str) -> list[ReadCell]:
        """The cells of one matrix."""
        return [c for c in self.cells if (c.probe, c.site, c.tokens) == (probe, site, tokens)]

    def model(self, name: str) -> Model:
        """Find a model by its name. Raises LookupError."""
        for model in self.models:
            if model.name == name:
                return model
        raise LookupError(f"no model {name!r}; there are {', '.join(m.name for m in self.models)}")


def cells_of(result: TransferResult, site: str, tokens: str) -> list[ReadCell]:
    """Give the row of cells that a transfer result holds for its headline probe, in the order of its domains.

    Targets have a ceiling and a verdict; controls have the probe refitted at the source's layer as a ceiling.
    """
    common = {"fitted_on": result.source, "probe": result.headline_probe, "site": site, "tokens": tokens}
    cells = []
    for domain in result.domains:
        if domain.role == DomainRole.CONTROL:
            cells.append(_control_cell(result, domain.name, common))
        else:
            cells.append(_scored_cell(result, domain.name, common))
    return cells


def _scored_cell(result: TransferResult, name: str, common: Mapping[str, Any]) -> ReadCell:
    held_out = name == result.source
    found = {
        e.design: e for e in result.evaluations if e.scored_on == name and e.probe == result.headline_probe
    }
    shown: Evaluation = found[Design.SOURCE if held_out else Design.D1]
    verdict = next(
        (v for v in result.verdicts if v.target == name and v.probe == result.headline_probe), None
    )
    best = _text(result, name, shown.design)
    return ReadCell(
        **common,
        scored_on=name,
        held_out=held_out,
        layer=shown.layer,
        auroc=shown.auroc,
        sample=shown.sample,
        ceiling=None if held_out else found[Design.D2].auroc,
        chance=shown.equivalence.verdict if shown.equivalence else None,
        detectable=None if shown.mde is None else 0.5 + shown.mde,
        inverted=shown.inverted,
        cosine=_cosine(result, name, shown.layer),
        text=best.auroc if best else None,
        text_name=best.name if best else "",
        verdict=verdict.code if verdict else None,
        sentence=verdict.sentence if verdict else "",
        flags=verdict.flags if verdict else (),
    )


def _control_cell(result: TransferResult, name: str, common: Mapping[str, Any]) -> ReadCell:
    found = {c.kind: c for c in result.controls if c.scored_on == name}
    frozen = found[ControlKind.ORGANISM]
    refitted = found.get(ControlKind.REFITTED)
    layer = next(e.layer for e in result.evaluations if e.design == Design.SOURCE)
    return ReadCell(
        **common,
        scored_on=name,
        held_out=False,
        layer=layer,
        auroc=frozen.auroc,
        sample=frozen.sample,
        ceiling=refitted.auroc if refitted else None,
        chance=None,
        detectable=None,
        inverted=frozen.inverted,
        cosine=None,
        text=None,
        text_name="",
        verdict=None,
    )


def _text(result: TransferResult, name: str, design: Design) -> ControlScore | None:
    texts = [
        c
        for c in result.controls
        if (c.kind, c.scored_on, c.compared_with) == (ControlKind.TEXT, name, design)
    ]
    return max(texts, key=lambda c: c.auroc.value or 0.0, default=None)


def _cosine(result: TransferResult, name: str, layer: int | None) -> float | None:
    for geometry in result.geometry:
        if geometry.target == name and geometry.probe == result.headline_probe and layer in geometry.layers:
            return geometry.direction_cosine[geometry.layers.index(layer)]
    return None


def with_seeds(cells: Sequence[ReadCell], others: Mapping[int, Sequence[ReadCell]]) -> list[ReadCell]:
    """Write beside each cell what other seeds found for it."""
    found = {seed: {_place(cell): cell for cell in row} for seed, row in others.items()}
    return [
        dataclasses.replace(
            cell,
            seeds=tuple(
                SeedScore(seed=seed, auroc=row[_place(cell)].auroc.value, verdict=row[_place(cell)].verdict)
                for seed, row in found.items()
            ),
        )
        for cell in cells
    ]


def _place(cell: ReadCell) -> tuple[str, ...]:
    return cell.fitted_on, cell.scored_on, cell.probe, cell.site, cell.tokens


def stability(cells: Iterable[ReadCell]) -> tuple[str, list[ReadCell]]:
    """Say in a sentence whether another seed changes a verdict, and give the cells in which one does."""
    judged = [cell for cell in cells if cell.verdict is not None]
    seeds = sorted({score.seed for cell in judged for score in cell.seeds})
    if not seeds:
        return "One seed was run; --seeds 0,1,2 says whether another changes a verdict.", []
    changed = [cell for cell in judged if any(score.verdict != cell.verdict for score in cell.seeds)]
    runs = f"{len(seeds) + 1} seeds, {len(judged)} verdicts"
    if not changed:
        return f"No verdict depends on the seed ({runs}).", []
    return f"Another seed changes {len(changed)} of the verdicts ({runs}).", changed


def _rounded(value: Any) -> Any:
    """Seven digits are more than any estimate here deserves."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
