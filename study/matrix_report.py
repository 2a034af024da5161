"""The report of a study: one self-contained page with the matrix, written from the saved files alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from probes.evaluation.results import TransferResult
from sophistry.files import write_atomic
from sophistry.provenance import program_command
from sophistry.records import ConfigError
from study.captions import in_two, matrix_captions
from study.domains import sample_of_rows
from study.matrix import MatrixResult, Model, stability
from study.matrix_figures import draw_matrix
from study.matrix_tables import RIGHT, cell_rows, learning_rows, seed_rows
from study.models import Roles, split_reader
from study.opening import OpenOrganism
from study.page import ShownFigure, render
from study.plots.export import inline_html, save_figures
from study.plots.slides import for_style
from study.plots.style import Style, interval
from study.report import READINGS, organism_rows

__all__ = ["MatrixReport", "describe_models", "show_matrix", "write_matrix_report"]


@dataclass(frozen=True, kw_only=True)
class MatrixReport:
    """The saved files of a study, read back."""

    folder: Path
    result: MatrixResult
    rows: dict[str, TransferResult]
    """Source -> the whole result of its row in the headline matrix."""
    organisms: dict[str, dict[str, Any]]
    config: str
    result_sha256: str

    @classmethod
    def read(cls, folder: Path) -> MatrixReport:
        """Read a run's folder. Raises `ConfigError` when it holds no finished study."""
        missing = [n for n in ("results.json", "organisms.json", "config.yaml") if not (folder / n).is_file()]
        if missing:
            raise ConfigError(f"{folder} holds no finished run of matrix.py: it lacks {', '.join(missing)}.")
        text = (folder / "results.json").read_text(encoding="utf-8")
        result = MatrixResult.from_json(text)
        first = (*result.readings[0], result.provenance["seeds"][0])
        rows = {}
        for row in result.rows:
            if (row.probe, row.site, row.tokens, row.seed) == first:
                rows[row.source] = TransferResult.from_json((folder / row.file).read_text(encoding="utf-8"))
        return cls(
            folder=folder,
            result=result,
            rows=rows,
            organisms=json.loads((folder / "organisms.json").read_text(encoding="utf-8")),
            config=(folder / "config.yaml").read_text(encoding="utf-8"),
            result_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )


def describe_models(organisms: Sequence[OpenOrganism], roles: Roles) -> tuple[Model, ...]:
    """Write down which models a study has, and whose answers each read."""
    models = []
    for organism in organisms:
        reader, answers = split_reader(organism.name)
        models.append(
            Model(
                name=organism.name,
                role=roles.of(organism.name),
                kind=organism.record.role if organism.record else "reader",
                task=organism.rows[0].task,
                reader=reader,
                answers=answers,
                sample=sample_of_rows(organism.rows),
            )
        )
    return tuple(models)


def write_matrix_report(report: MatrixReport, style: Style, images: tuple[str, ...]) -> str | None:
    """Draw all figures, save them, write `report.html`. Gives a message when images could not be made."""
    figures = draw_matrix(report.result, report.rows, style)
    captions = matrix_captions(figures, report.result, report.rows, style)
    message = save_figures(
        for_style(figures, style), report.folder / "figures", report.result_sha256, images, captions=captions
    )
    kinds = ("html", *images) if message is None else ("html",)
    shown = {
        name: ShownFigure(
            name=name,
            html=Markup(inline_html(figure, name)),
            files=kinds,
            **in_two(name, captions[name]),
        )
        for name, figure in figures.items()
    }  # fmt: skip
    write_atomic(report.folder / "report.html", _page(report, style, shown))
    return message


def _page(report: MatrixReport, style: Style, shown: Mapping[str, ShownFigure]) -> str:
    result = report.result
    sentence, changed = stability(result.cells)
    of = {source: [f for name, f in shown.items() if name.endswith(f"-{source}")] for source in report.rows}
    by_source = {figure.name for figures in of.values() for figure in figures}
    common = [figure for name, figure in shown.items() if name not in by_source]
    return render(
        "matrix.html.j2",
        sources=[style.name(source) for source in report.rows],
        stability=sentence,
        changed=[
            f"{style.name(c.fitted_on)} → {style.name(c.scored_on)}, {style.name(c.probe)}" for c in changed
        ],
        verdicts=_verdicts(result, style),
        warnings=result.warnings,
        first=[figure for figure in common if not figure.name.startswith("transfer-matrix-")],
        others=[figure for figure in common if figure.name.startswith("transfer-matrix-")],
        by_source=[(style.name(source), figures) for source, figures in of.items()],
        cells=cell_rows(result, style),
        learning=learning_rows(result, style),
        seeds=seed_rows(result, style),
        right=RIGHT,
        organisms=organism_rows(report.organisms, style),
        command=f"{program_command('matrix')} --preset {report.folder / 'config.yaml'}",
        config=report.config,
        sha256=report.result_sha256,
    )


def _verdicts(result: MatrixResult, style: Style) -> list[dict[str, Any]]:
    """What may be said about each pair in the headline matrix, and what not."""
    return [
        {
            "source": style.name(cell.fitted_on),
            "target": style.name(cell.scored_on),
            "code": cell.verdict,
            "sentence": cell.sentence,
            "shows": READINGS[cell.verdict][0],
            "not_shows": READINGS[cell.verdict][1],
            "flags": cell.flags,
        }
        for cell in result.of_reading(*result.readings[0])
        if cell.verdict is not None
    ]


def show_matrix(result: MatrixResult, style: Style) -> None:
    """Print the headline matrix, and whether verdicts depend on the seed."""
    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("fitted on", "scored on", "AUROC", "fitted there", "verdict"):
        table.add_column(column)
    last = None
    for cell in result.of_reading(*result.readings[0]):
        if last not in (None, cell.fitted_on):
            table.add_row()
        last = cell.fitted_on
        table.add_row(
            style.name(cell.fitted_on),
            style.name(cell.scored_on),
            interval(cell.auroc),
            interval(cell.ceiling) if cell.ceiling else "",
            cell.verdict or ("held-out" if cell.held_out else "control"),
        )
    console.print(table)
    sentence, changed = stability(result.cells)
    console.print(sentence, highlight=False)
    for cell in changed:
        seeds = ", ".join(f"seed {s.seed}: {s.verdict}" for s in cell.seeds)
        where = f"{style.name(cell.fitted_on)} → {style.name(cell.scored_on)}, {cell.probe}"
        console.print(f"  - {where}: {cell.verdict}; {seeds}", highlight=False)
