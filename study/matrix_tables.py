"""The tables of a study: every cell, every learning curve, seeds, as CSV and as LaTeX."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sophistry.files import write_atomic
from study.latex import booktabs
from study.matrix import MatrixResult, ReadCell
from study.plots.style import Style, interval, number
from study.tables import flat

__all__ = ["cell_rows", "learning_rows", "seed_rows", "write_matrix_tables"]

RIGHT = ("layer", "wrong | right", "groups", "cosine", "answers", "draws", "could have shown")
"""Columns of numbers."""


def write_matrix_tables(result: MatrixResult, folder: Path, style: Style | None = None) -> None:
    """Write `cells`, `learning` and `seeds`, as CSV with all numbers and as LaTeX with those of a paper."""
    style = style or Style()
    cells = [flat({k: v for k, v in asdict(cell).items() if k != "seeds"}) for cell in result.cells]
    points = [
        {"source": c.source, "target": c.target, "probe": c.probe, "layer": c.layer} | flat(asdict(point))
        for c in result.learning
        for point in c.points
    ]
    seeds = [
        {"fitted_on": c.fitted_on, "scored_on": c.scored_on, "probe": c.probe, "site": c.site}
        | {"tokens": c.tokens, "seed": s.seed, "auroc": s.auroc, "verdict": s.verdict, "first": c.verdict}
        for c in result.cells
        for s in c.seeds
    ]
    shown = {
        "cells": (cells, cell_rows(result, style)),
        "learning": (points, learning_rows(result, style)),
        "seeds": (seeds, seed_rows(result, style)),
    }
    for name, (every, short) in shown.items():
        write_atomic(folder / f"{name}.csv", pd.DataFrame(every).to_csv(index=False))
        write_atomic(folder / f"{name}.tex", booktabs(short, right=RIGHT, environment="longtable"))
    for kind, text in _matrices(result, style).items():
        write_atomic(folder / f"{kind}.tex", text)


def cell_rows(result: MatrixResult, style: Style) -> list[dict[str, str]]:
    """List every cell as a reader wants to see it."""
    several = len(result.readings) > 1
    return [_cell_row(cell, style, several=several) for cell in result.cells]


def _cell_row(cell: ReadCell, style: Style, *, several: bool) -> dict[str, str]:
    reading = {"probe": style.name(cell.probe), "site": cell.site, "tokens": cell.tokens} if several else {}
    return {
        "fitted on": style.name(cell.fitted_on),
        "scored on": style.name(cell.scored_on),
        **reading,
        "layer": "" if cell.layer is None else str(cell.layer),
        "AUROC": interval(cell.auroc),
        "fitted there": "held-out" if cell.held_out else interval(cell.ceiling) if cell.ceiling else "",
        "wrong | right": f"{cell.sample.n_positive} | {cell.sample.n_negative}",
        "groups": str(cell.sample.n_groups),
        "text alone": interval(cell.text) if cell.text else "",
        "cosine": "" if cell.cosine is None else number(cell.cosine),
        "could have shown": "" if cell.detectable is None else number(cell.detectable),
        "verdict": cell.verdict or ("held-out" if cell.held_out else "control"),
    }


def learning_rows(result: MatrixResult, style: Style) -> list[dict[str, str]]:
    """List every point of the learning curves."""
    return [
        {
            "fitted on": style.name(curve.source),
            "scored on": style.name(curve.target),
            "examples": point.training.value,
            "answers": str(point.count),
            "AUROC": interval(point.auroc),
            "draws": f"{number(point.lowest)} to {number(point.highest)}",
        }
        for curve in result.learning
        for point in curve.points
    ]


def seed_rows(result: MatrixResult, style: Style) -> list[dict[str, str]]:
    """List the verdicts of every seed, cell by cell; empty where one seed was run."""
    first = (result.provenance.get("seeds") or [0])[0]
    rows = []
    for cell in result.cells:
        if cell.verdict is None or not cell.seeds:
            continue
        row = {
            "fitted on": style.name(cell.fitted_on),
            "scored on": style.name(cell.scored_on),
            "probe": style.name(cell.probe),
            f"seed {first}": f"{cell.verdict} {number(cell.auroc.value)}",
        }
        row |= {f"seed {s.seed}": f"{s.verdict} {number(s.auroc)}" for s in cell.seeds}
        same = all(s.verdict == cell.verdict for s in cell.seeds)
        rows.append(row | {"verdict": "the same" if same else "CHANGES"})
    return rows


def _matrices(result: MatrixResult, style: Style) -> dict[str, str]:
    """Each matrix as the table a paper prints: a row per source, a column per model."""
    tables = {}
    for place, reading in enumerate(result.readings):
        cells = result.of_reading(*reading)
        models = [m for m in result.models if any(c.scored_on == m.name for c in cells)]
        sources = list(dict.fromkeys(c.fitted_on for c in cells))
        at = {(c.fitted_on, c.scored_on): c for c in cells}
        rows: list[dict[str, Any]] = []
        for source in sources:
            found = {m.name: at.get((source, m.name)) for m in models}
            shown = {style.name(name): interval(c.auroc) if c else "" for name, c in found.items()}
            rows.append({"fitted on": style.name(source)} | shown)
        ending = "" if place == 0 else "-" + "-".join(reading)
        tables[f"transfer-matrix{ending}"] = booktabs(rows)
    return tables
