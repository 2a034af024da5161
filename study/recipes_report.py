"""The study of recipes as one Markdown page: what each cell became, and the cells on equal terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.diagnostics.estimates import ItemEstimate, Resamples
from study.equal_terms import Comparison, Curve, as_cells
from study.recipe_cells import START

__all__ = ["as_markdown"]

_TERMS = {"kl": "KL to pi_init of {:.2f} nats", "reward": "training reward of {:.1%}"}
_ENDS = ("approval", "correctness", "false_positives", "inflation")
_FEW = 10  # items, of which resampling gives intervals that are far too short
_COMPARED = {"approval": "approved", "correctness": "right", "false_positives": "wrong approved (FPR)"}


def as_markdown(curves: Sequence[Curve], compared: Sequence[Comparison]) -> str:
    """Two kinds of table: the ends of all curves, and all cells at one KL and at one reward; in percent, with
    95 % intervals over items."""
    parts = ["## What the cells became", _ends(curves)]
    for terms, words in _TERMS.items():
        rows = [one for one in compared if one.terms == terms]
        if rows:
            parts += [f"## At a {words.format(rows[0].value)}", _at(rows)]
    return "\n\n".join(parts) + "\n"


def _ends(curves: Sequence[Curve]) -> str:
    head = ("recipe", "reward", "seed", "approved", "right", "FPR", "inflation", "KL", "complexity")
    rows: list[tuple[str, ...]] = [(*head, "frozen probe", "ceiling", "concept")]
    rows.append((START, "none", "", *_shares(curves[0], 0), "0.00", "", "", "", ""))
    for curve, cell in zip(curves, as_cells(curves), strict=True):
        rows.append(
            (
                cell["recipe"],
                cell["reward"],
                str(cell["seed"]),
                *_shares(curve, -1),
                f"{cell['kl']:.2f}",
                _number(cell["complexity"], ".0f"),
                _probe(cell),
                _number(cell.get("ceiling"), ".2f"),
                _number(cell.get("concept"), ".2f"),
            )
        )
    return _table(rows)


def _shares(curve: Curve, place: int) -> list[str]:
    """Shares at one point of a curve, with their intervals."""
    ratios, resamples = curve.points[place].ratios(), Resamples(len(curve.items))
    return [_estimate(resamples.ratio(*ratios[name])) or "none wrong" for name in _ENDS]


def _at(compared: Sequence[Comparison]) -> str:
    head = [part for name in _COMPARED.values() for part in (name, "minus the reference")]
    rows = [("cell", *head, "reached")]
    for one in compared:
        words = [
            part
            for name in _COMPARED
            for part in (_estimate(one.measures.get(name)), _estimate(one.differences.get(name), sign="+"))
        ]
        rows.append((one.name, *words, "yes" if one.reached else "no: read at its end"))
    return _table(rows)


def _probe(cell: Mapping[str, Any]) -> str:
    if cell.get("auroc") is None:
        return "too few wrong" if "probe" in cell else "not read"
    low, high = (_number(cell[name], ".2f") for name in ("auroc_low", "auroc_high"))
    return f"{cell['auroc']:.2f} [{low}, {high}]"


def _estimate(estimate: ItemEstimate | None, sign: str = "") -> str:
    if estimate is None:
        return ""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    if estimate.n < _FEW:
        return f"{value:{sign}.1f} (of {estimate.n} items: no interval)"
    return f"{value:{sign}.1f} [{low:.1f}, {high:.1f}]"


def _number(value: float | None, how: str) -> str:
    return "" if value is None else f"{value:{how}}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
