"""What a transfer evaluation found: frozen records that turn into JSON and back.

Every figure and table is drawn from `TransferResult.to_json()` alone, so each record holds all that is
needed to draw it: estimates with their intervals, sample sizes, curves, histograms. The schema is
written down field by field in `docs/probes.md`; `SCHEMA` changes when a field changes its meaning.
Numbers that could not be computed are `None` (JSON null), never NaN.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from probes.evaluation.kinds import ChanceVerdict, ControlKind, Design, DomainRole, RepairStep, VerdictCode
from sophistry.notebook import value_table
from sophistry.records import build

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "sophistry-probes/transfer-result/1"

__all__ = [
    "SCHEMA",
    "Calibration",
    "ControlScore",
    "DomainSummary",
    "Equivalence",
    "Estimate",
    "Evaluation",
    "Geometry",
    "Histogram",
    "LayerCurve",
    "MatrixCell",
    "NullSummary",
    "OperatingPoint",
    "Recovered",
    "Repair",
    "Roc",
    "Sample",
    "StratumScore",
    "TransferResult",
    "Verdict",
]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval. `low` and `high` are None where no interval exists."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = "cluster bootstrap"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What an estimate rests on: rows of each class and groups (questions or problems)."""

    n_positive: int
    n_negative: int
    n_groups: int


@dataclass(frozen=True, kw_only=True)
class Roc:
    """ROC points from (0, 0) to (1, 1), thinned to at most 200 points."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Score counts per class over shared bins; `edges` has one entry more than the counts."""

    edges: tuple[float, ...]
    positive: tuple[int, ...]
    negative: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a frozen threshold does: it was set for `alpha` on benign rows of `threshold_from`."""

    alpha: float
    threshold: float
    threshold_from: str
    fpr: Estimate
    tpr: Estimate
    balanced_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Probabilities of the source's Platt scaling held against the labels (equal-mass bins)."""

    brier: float
    ece: float
    slope: float | None
    intercept: float | None
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """TOST of AUROC against .5: the `level` interval inside `.5 +- margin` means equivalent."""

    margin: float
    low: float
    high: float
    level: float
    verdict: ChanceVerdict


@dataclass(frozen=True, kw_only=True)
class NullSummary:
    """A null distribution, summarised for a histogram: `counts` over `edges`."""

    name: str  # e.g. "max over grid, labels permuted", "1000 random directions"
    unit: str  # what was permuted: "groups" | "rows within groups" | "rows" | "directions"
    n_draws: int
    observed: float
    p_value: float | None
    mean: float
    quantile95: float
    maximum: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One score vector of one design, held once against the labels of one domain."""

    design: Design
    probe: str
    fitted_on: str
    scored_on: str
    layer: int | None
    depth: float | None
    setting: dict[str, Any]
    optimistic: bool
    auroc: Estimate
    sample: Sample
    within_group_auroc: float | None
    average_precision: float | None
    prevalence: float
    p_value: float | None
    equivalence: Equivalence | None
    mde: float | None  # smallest AUROC - .5 that this sample finds with power .8
    inverted: bool
    operating_points: tuple[OperatingPoint, ...] = ()
    calibration: Calibration | None = None
    roc: Roc | None = None
    histogram: Histogram | None = None
    null: NullSummary | None = None
    seed_sd: float | None = None  # of the AUROC over repeated group splits and training seeds
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LayerCurve:
    """AUROC by layer for one design. `selected` is the layer the design used (chosen on the source)."""

    design: Design
    probe: str
    fitted_on: str
    scored_on: str
    layers: tuple[int, ...]
    depth: tuple[float, ...]
    auroc: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    selected: int | None
    sample: Sample


@dataclass(frozen=True, kw_only=True)
class ControlScore:
    """A baseline on the same rows. `delta` is probe minus control, paired, same draws.

    For another organism `delta` is the source's AUROC minus the control's: of the frozen probe (`organism`),
    or of the same probe fitted in the control itself (`refitted`), which says what its activations give away.
    A `shared concept` has labels of its own, so it has no `delta`, and `sample` counts the concept's classes.
    """

    name: str  # "tf-idf", "length", "answer letter", "random directions", "organism: clean", ...
    kind: ControlKind
    fitted_on: str | None
    scored_on: str
    compared_with: Design | None  # the design that `delta` refers to
    auroc: Estimate
    sample: Sample
    delta: Estimate | None
    delta_p_value: float | None
    inverted: bool
    roc: Roc | None = None
    null: NullSummary | None = None
    note: str = ""
    probe: str | None = None  # the family whose scores `delta` refers to; None in files that do not say


@dataclass(frozen=True, kw_only=True)
class StratumScore:
    """The AUROC of one design inside one level of one stratum variable."""

    variable: str
    level: str
    design: Design
    probe: str
    scored_on: str
    auroc: Estimate
    sample: Sample
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One step of the gap decomposition: what adapting this much to the target repairs.

    `labels` says whether the step saw target labels. `can_change` names the numbers the
    step is able to move at all: a shift moves thresholds, never a linear probe's AUROC.
    """

    target: str
    probe: str
    step: RepairStep
    labels: bool
    can_change: tuple[str, ...]  # of "auroc", "threshold", "calibration"
    auroc: Estimate
    achieved_fpr: Estimate
    achieved_tpr: Estimate
    balanced_accuracy: float | None
    brier: float | None
    alpha: float
    share_of_gap: float | None


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How source and target representations and directions relate, per layer."""

    source: str
    target: str
    probe: str
    layers: tuple[int, ...]
    direction_cosine: tuple[float, ...]
    cka: tuple[float | None, ...]
    cka_rows: str  # "paired by row id", "paired by group", "no shared rows"
    mean_shift: tuple[float, ...]  # norm of the mean difference in source standard deviations
    scale_ratio: tuple[float, ...]  # median over features of target sd / source sd
    selected: int | None


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Share of the in-target ceiling that the frozen probe reaches; no ratio on an unstable floor."""

    target: str
    probe: str
    recovered: Estimate | None
    pgr: Estimate | None
    floor_name: str | None
    gap: Estimate  # ceiling minus frozen
    suppressed: bool  # True: the ratio's denominator may be zero, so only the gap is given


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The one sentence the numbers permit about a target, and the flags it rests on."""

    target: str
    probe: str
    code: VerdictCode
    sentence: str
    flags: tuple[str, ...]  # e.g. "text cue: tf-idf does as well", "threshold moved", "gap: rotation"


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """Fit in one domain, scored in another; on the diagonal cross-fitted by group."""

    fitted_on: str
    scored_on: str
    probe: str
    layer: int | None
    auroc: Estimate
    sample: Sample
    inverted: bool


@dataclass(frozen=True, kw_only=True)
class DomainSummary:
    """One domain as it entered."""

    name: str
    role: DomainRole
    sample: Sample
    layers: tuple[int, ...]
    width: int
    data_hash: str
    policy_accuracy: float | None  # share of rows with y = 0
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TransferResult:
    """Everything one call of `transfer` found. `to_json` writes it, `from_json` reads it back."""

    schema: str = SCHEMA
    source: str
    headline_probe: str
    domains: tuple[DomainSummary, ...]
    evaluations: tuple[Evaluation, ...]
    layer_curves: tuple[LayerCurve, ...]
    controls: tuple[ControlScore, ...]  # beside the headline probe
    strata: tuple[StratumScore, ...]
    repairs: tuple[Repair, ...]
    geometry: tuple[Geometry, ...]
    recovered: tuple[Recovered, ...]
    verdicts: tuple[Verdict, ...]
    matrix: tuple[MatrixCell, ...]
    selection: tuple[dict[str, Any], ...]  # what was chosen, where, from what
    warnings: tuple[str, ...]
    provenance: dict[str, Any]  # seed, draws, versions, options, hashes
    family_controls: tuple[ControlScore, ...] = ()  # beside the other families, with `every_control`

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdicts, and the headline probe's evaluations with their intervals."""
        here = [e for e in self.evaluations if e.probe == self.headline_probe]
        rows = [
            (
                e.scored_on,
                _MEANING[e.design],
                "" if e.layer is None else e.layer,
                _written(e.auroc),
                f"{e.sample.n_positive:,} | {e.sample.n_negative:,}",
            )
            for e in here
        ]
        notes = []
        for verdict in (v for v in self.verdicts if v.probe == self.headline_probe):
            flags = f" Flags: {'; '.join(verdict.flags)}." if verdict.flags else ""
            notes.append(f"{verdict.target}: {verdict.code}. {verdict.sentence}{flags}")
        notes += [f"Note: {warning}" for warning in self.warnings[:_NOTES]]
        if len(self.warnings) > _NOTES:
            notes.append(f"{len(self.warnings) - _NOTES} more in .warnings")
        title = f"Transfer from {self.source}: {self.headline_probe} probe"
        return value_table(title, ("scored on", "design", "layer", "AUROC", "wrong | right"), rows, notes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers; NaN and infinities become None."""
        return _plain(dataclasses.asdict(self))

    def to_json(self, indent: int | None = None) -> str:
        """Return the result as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TransferResult:
        """Rebuild a result; ValueError for another schema, unknown fields and wrong types."""
        found = record.get("schema")
        if found != SCHEMA:
            raise ValueError(
                f"schema {found!r} cannot be read; this version reads {SCHEMA!r}: re-run transfer"
            )
        return build(cls, record, source="result", advice="The file is of another version.")

    @classmethod
    def from_json(cls, text: str) -> TransferResult:
        """Rebuild a result from `to_json` text."""
        return cls.from_dict(json.loads(text))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per evaluation and control, with a column for every number of an evaluation.

        Nested records become several columns: `equivalence_verdict`, `calibration_ece`, `null_p_value`,
        `fpr_0.05` and `tpr_0.05` (the rates at the threshold frozen for that alpha, with `_low` and `_high`).
        Curves, histograms and scores stay in the records. Controls have `control`, and `delta` to the probe.
        """
        import pandas as pd

        rows = [_evaluation_row(evaluation) for evaluation in self.evaluations]
        rows += [_control_row(control) for control in (*self.controls, *self.family_controls)]
        return pd.DataFrame(rows)


_NOTES = 2  # warnings that a notebook shows in full
_MEANING = {
    Design.SOURCE: "held out (cross-fitted)",
    Design.D1: "source probe, frozen",
    Design.D2: "fitted here (ceiling)",
    Design.D3: "contrast pair, no labels",
    Design.D4A: "source probe, best here (optimistic)",
    Design.D4B: "fitted here, best here (optimistic)",
}


def _written(estimate: Estimate) -> str:
    """Write an estimate with its interval.

    >>> _written(Estimate(value=0.5, low=0.4, high=0.6)), _written(Estimate(value=None))
    ('.50 [.40, .60]', 'n/a')
    """
    if estimate.value is None:
        return "n/a"
    value, low, high = (
        "" if number is None else f"{number:.2f}".removeprefix("0")
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]" if low and high else value


def _evaluation_row(record: Evaluation) -> dict[str, Any]:
    row = _flat(record.design, record) | {"setting": json.dumps(_plain(record.setting), sort_keys=True)}
    for name in _SINGLE:
        row[name] = getattr(record, name)
    for name in ("equivalence", "calibration", "null"):
        nested = getattr(record, name)
        for part in _NESTED[name]:
            row[f"{name}_{part}"] = None if nested is None else getattr(nested, part)
    row["verdict"] = row["equivalence_verdict"]
    for point in record.operating_points:
        row[f"threshold_{point.alpha:g}"] = point.threshold
        row[f"balanced_accuracy_{point.alpha:g}"] = point.balanced_accuracy
        for rate, estimate in (("fpr", point.fpr), ("tpr", point.tpr)):
            row |= _interval(f"{rate}_{point.alpha:g}", estimate)
    return row


def _control_row(record: ControlScore) -> dict[str, Any]:
    delta = record.delta or Estimate(value=None)
    return (
        _flat("control", record)
        | {"probe": record.name, "control": record.kind, "beside": record.probe, "note": record.note}
        | {"compared_with": record.compared_with, "delta_p_value": record.delta_p_value}
        | _interval("delta", delta)
        | {f"null_{part}": getattr(record.null, part, None) for part in _NESTED["null"]}
    )


_SINGLE = (
    *("probe", "layer", "depth", "optimistic", "within_group_auroc", "average_precision", "prevalence"),
    *("p_value", "mde", "seed_sd"),
)
_NESTED = {
    "equivalence": ("margin", "low", "high", "level", "verdict"),
    "calibration": ("brier", "ece", "slope", "intercept"),
    "null": ("name", "unit", "n_draws", "p_value", "mean", "quantile95", "maximum"),
}


def _flat(design: str, record: Evaluation | ControlScore) -> dict[str, Any]:
    return {
        "design": design,
        "probe": "",
        "fitted_on": record.fitted_on,
        "scored_on": record.scored_on,
        "auroc": record.auroc.value,
        "low": record.auroc.low,
        "high": record.auroc.high,
        "level": record.auroc.level,
        "method": record.auroc.method,
        **dataclasses.asdict(record.sample),
        "inverted": record.inverted,
    }


def _interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _plain(value: Any) -> Any:
    """Make a value JSON-ready: numpy scalars to Python, tuples to lists, NaN to None."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        # Seven digits are more than any estimate here deserves, and halve the file.
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
