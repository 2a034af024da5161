"""Results as tables: CSV files for a paper's appendix, and the readable table on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from probes.evaluation.kinds import ChanceVerdict, ControlKind, Design
from probes.evaluation.results import ControlScore, Estimate, Evaluation, TransferResult
from sophistry.files import write_atomic
from study.latex import booktabs
from study.plots.headline import best_control
from study.plots.style import DESIGNS, WITHOUT_ACTIVATIONS, Style, interval, number

_HEAVY = ("roc", "histogram", "scores", "calibration", "operating_points", "null", "edges", "counts")
DESIGN_ORDER = tuple(Design)


def write_tables(
    results: Mapping[str, TransferResult],
    organisms: Mapping[str, Any],
    folder: Path,
    style: Style | None = None,
) -> None:
    """Write one CSV per kind of record, token selection first, and a LaTeX table beside each."""
    style = style or Style()
    kinds = ("evaluations", "controls", "strata", "repairs", "recovered", "matrix", "verdicts")
    tables = {
        kind: [(t, record) for t, r in results.items() for record in getattr(r, kind)] for kind in kinds
    }
    for kind, records in tables.items():
        rows = [{"tokens": tokens} | flat(asdict(record)) for tokens, record in records]
        _write(folder / f"{kind}.csv", rows)
        _write_latex(folder / f"{kind}.tex", kind, rows, style)
    curves = [(t, curve) for t, r in results.items() for curve in r.layer_curves]
    _write(
        folder / "layers.csv",
        [{"tokens": t} | row for t, curve in curves for row in _curve_rows(asdict(curve))],
    )
    heavy = ("verification", "training", "left_out")
    about = [{"organism": n} | {k: v for k, v in o.items() if k not in heavy} for n, o in organisms.items()]
    _write(folder / "organisms.csv", about)
    _write_latex(folder / "organisms.tex", "organisms", about, style)


def _write_latex(path: Path, kind: str, rows: Iterable[Mapping[str, Any]], style: Style) -> None:
    write_atomic(path, booktabs(paper_rows(kind, rows, style), right=_NUMBERS, environment="longtable"))


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomic(path, pd.DataFrame(list(rows)).to_csv(index=False))


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give every number its own column; `auroc.value` becomes `auroc`, curves are left to the JSON."""
    columns: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if key in _HEAVY:
            continue
        if isinstance(value, Mapping):
            columns |= flat(value, f"{name}_")
        elif isinstance(value, (list, tuple)):
            columns[name] = " ".join(map(str, value))
        else:
            columns[prefix.removesuffix("_") if key == "value" else name] = value
    return columns


def _curve_rows(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    fixed = {key: curve[key] for key in ("design", "probe", "fitted_on", "scored_on")}
    columns = zip(*(curve[key] for key in ("layers", "depth", "auroc", "low", "high")), strict=True)
    names = ("layer", "depth", "auroc", "low", "high")
    chosen = curve["selected"]
    return [fixed | dict(zip(names, row, strict=True)) | {"selected": row[0] == chosen} for row in columns]


def summary_rows(result: TransferResult, style: Style) -> list[dict[str, str]]:
    """List what a reader wants to see first: one row per design, probe and control, in words."""
    order = [d.name for d in style.source_first(result)]
    evaluations = sorted(
        result.evaluations, key=lambda e: (order.index(e.scored_on), DESIGN_ORDER.index(e.design))
    )
    rows = [_evaluation_row(e, style) for e in evaluations]
    rows += [_control_row(c, style) for c in sorted(result.controls, key=lambda c: order.index(c.scored_on))]
    return rows


def latex_table(result: TransferResult, style: Style) -> str:
    """Set `summary_rows` as a LaTeX table (packages booktabs and longtable); every text is escaped."""
    rows = summary_rows(result, style)
    return booktabs(rows, right=("layer", "wrong | right"), environment="longtable")


# Table -> the columns of its CSV that fit on a page; their intervals are written with them.
_ON_PAPER = {
    "evaluations": ("design", "probe", "fitted_on", "scored_on", "layer", "auroc", "p_value"),
    "controls": ("name", "kind", "scored_on", "auroc", "delta"),
    "strata": ("variable", "level", "design", "scored_on", "auroc"),
    "repairs": ("target", "probe", "step", "labels", "auroc", "achieved_fpr"),
    "recovered": ("target", "probe", "recovered", "gap"),
    "matrix": ("fitted_on", "scored_on", "probe", "layer", "auroc"),
    "verdicts": ("target", "probe", "code"),
    "organisms": ("organism", "role", "rows", "wrong", "groups"),
}
_NUMBERS = ("layer", "p_value", "rows", "wrong", "groups")


def paper_rows(kind: str, rows: Iterable[Mapping[str, Any]], style: Style) -> list[dict[str, str]]:
    """Shorten the rows of a CSV to what a page holds: estimates with their intervals, names as shown.

    >>> paper_rows("matrix", [{"fitted_on": "a", "auroc": 0.5, "auroc_low": 0.4, "auroc_high": 0.6}], Style())
    [{'fitted on': 'a', 'auroc': '.50 [.40, .60]'}]
    """
    return [
        {
            column.replace("_", " "): _on_paper(row, column, style)
            for column in _ON_PAPER[kind]
            if column in row
        }
        for row in rows
    ]


def _on_paper(row: Mapping[str, Any], column: str, style: Style) -> str:
    value = row[column]
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if f"{column}_low" in row:
        return interval(Estimate(value=value, low=row[f"{column}_low"], high=row[f"{column}_high"]))
    if isinstance(value, str):
        return style.name(value)
    return number(value, 3) if isinstance(value, float) else str(value)


def _evaluation_row(evaluation: Evaluation, style: Style) -> dict[str, str]:
    return {
        "scored on": style.name(evaluation.scored_on),
        "design": DESIGNS[evaluation.design].label,
        "probe": style.name(evaluation.probe),
        "layer": "" if evaluation.layer is None else str(evaluation.layer),
        "AUROC": interval(evaluation.auroc),
        "wrong | right": f"{evaluation.sample.n_positive} | {evaluation.sample.n_negative}",
        "reading": _reading_in_full(evaluation),
    }


def _control_row(control: ControlScore, style: Style) -> dict[str, str]:
    fit = {
        Design.SOURCE: "baseline",
        Design.D1: "baseline, frozen",
        Design.D2: "baseline, fitted here",
    }
    organisms = {
        ControlKind.ORGANISM: "control organism",
        ControlKind.REFITTED: "control organism, fitted here",
    }
    concept = control.kind == ControlKind.SHARED_CONCEPT
    if concept:
        fit = {Design.SOURCE: "shared concept", Design.D1: "shared concept, frozen"}
    fitted = None if control.compared_with is None else fit[control.compared_with]
    design = organisms.get(control.kind) or fitted or "null"
    versus = "source minus this" if control.kind in organisms else "probe minus this"
    delta = "" if control.delta is None else f"{versus}: {interval(control.delta)}"
    return {
        "scored on": style.name(control.scored_on),
        "design": design,
        "probe": style.name(control.name),
        "layer": "",
        "AUROC": interval(control.auroc),
        "wrong | right": "" if concept else f"{control.sample.n_positive} | {control.sample.n_negative}",
        "reading": control.note if concept or design == "null" else delta,
    }


def _reading(evaluation: Evaluation) -> str:
    if evaluation.optimistic:
        return "optimistic"
    if evaluation.equivalence is None:
        return ""
    verdict = evaluation.equivalence.verdict
    words = {ChanceVerdict.ABOVE: "above chance", ChanceVerdict.EQUIVALENT: "at chance"}
    return words.get(verdict, verdict.value)


def _reading_in_full(evaluation: Evaluation) -> str:
    """With what chance reaches, or what the sample could have shown."""
    text = _reading(evaluation)
    if evaluation.null is not None:
        return f"{text}; by chance up to {_point(evaluation.null.quantile95)}"
    if evaluation.mde is None or text not in ("at chance", "inconclusive"):
        return text
    return f"{text}; could have shown {_point(0.5 + evaluation.mde)}"


def _point(auroc: float) -> str:
    return f"{auroc:.2f}".removeprefix("0")


def print_summary(result: TransferResult, style: Style, console: Console) -> None:
    """Print what a reader wants to see first: designs with the best text baseline, one block per model."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    level = next((e.auroc.level for e in result.evaluations), 0.95)
    for column in ("", "probe", f"AUROC [{level:.0%}]", "reading"):
        table.add_column(column, no_wrap=True, min_width=14 if "AUROC" in column else None)
    for domain in style.source_first(result):
        sample = domain.sample
        counts = f"[dim]{sample.n_positive} wrong, {sample.n_negative} right[/dim]"
        table.add_row()
        table.add_row(f"[bold]{escape(style.name(domain.name))}[/bold]", counts)
        for row, bold in _terminal_rows(result, domain.name, style):
            table.add_row(*row, style="bold" if bold else "")
    console.print(table)


def _terminal_rows(
    result: TransferResult, domain: str, style: Style
) -> Iterator[tuple[tuple[str, ...], bool]]:
    here = [e for e in result.evaluations if e.scored_on == domain]
    for design in DESIGN_ORDER:
        for evaluation in (e for e in here if e.design == design):
            headline = evaluation.probe == result.headline_probe
            where = "" if evaluation.layer is None else f" L{evaluation.layer}"
            words = (f" {DESIGNS[design].label}", f"{style.name(evaluation.probe)}{where}")
            yield (*words, interval(evaluation.auroc), _reading(evaluation)), headline and design == Design.D1
        for kind, drawn in WITHOUT_ACTIVATIONS.items():
            control = best_control(result, domain, design, kind)
            if control and any(e.design == design for e in here):
                words = (f" [dim]{drawn.label}[/dim]", style.name(control.name))
                yield (*words, interval(control.auroc), ""), False
    for control in result.controls:
        concept = (control.kind, control.compared_with) == (ControlKind.SHARED_CONCEPT, Design.D1)
        if control.scored_on == domain and concept:
            name = control.name.removeprefix("shared concept: ")
            yield (" [dim]shared concept, frozen[/dim]", name, interval(control.auroc), ""), False
        if control.kind == ControlKind.ORGANISM and control.scored_on == domain:
            label = DESIGNS[Design.D1].label
            yield (f" {label}", result.headline_probe, interval(control.auroc), ""), False
