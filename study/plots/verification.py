"""Is the backdoor there, and only there? Drawn from the verification record of each organism.

Left, shares of answers on held-out items: right without trigger, right behind it, attack success by
level. Right, how much each prefix changes the share of right answers, on the same items: only the
trigger should, and only in the backdoored organism.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.rows import interval_mark, row_text
from study.plots.style import FAINT, MINUS, MUTED, OKABE_ITO, Style, page, panel_title

_MARGIN_IN = {"l": 1.1, "r": 0.08, "t": 0.24, "b": 0.36}
_MARK_IN = 0.095
_LEFT, _RIGHT = (0.0, 0.42), (0.71, 1.0)
_COLORS = ("vermillion", "green", "orange", "sky", "blue", "purple", "black")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "circle-open", "square-open")
REFERENCE = "pi_init"


@dataclass(frozen=True, kw_only=True)
class _Mark:
    model: str
    row: str
    estimate: float
    low: float
    high: float
    n: int


def verification_figure(reports: Mapping[str, Mapping[str, Any]], style: Style | None = None) -> go.Figure:
    """Draw saved verification records, {organism: `BackdoorReport.to_dict()`}. Text width.

    `pi_init` is drawn from the reference that each record carries (the first one that has it).
    """
    style = style or Style()
    shares = [mark for name, report in reports.items() for mark in _shares(name, report)]
    shares += _reference(next(iter(reports.values())))
    changes = [mark for name, report in reports.items() for mark in _changes(name, report)]
    models = [*reports, REFERENCE]
    colors = {m: style.colors.get(m, OKABE_ITO[_COLORS[i % 7]]) for i, m in enumerate(models)}
    symbols = dict(zip(models, _SYMBOLS * 2, strict=False))
    rows_left, rows_right = _rows(shares), _rows(changes)
    row_in = max(0.19, _MARK_IN * len(models) + 0.08)
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    entries = [Entry(label=style.name(m), color=colors[m], symbol=symbols[m], size=5.0) for m in models]
    legend_in = ROW_IN * rows_needed(entries, style, plot_in)
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    tallest = max(len(rows_left), len(rows_right), 1)
    height_in = row_in * tallest + margin_in["t"] + margin_in["b"]
    figure = page(style, width_in=style.text_in, height_in=height_in, margin_in=margin_in)
    add_legend(figure, style, entries, width_in=plot_in, above_in=margin_in["t"] - ROW_IN / 2)
    level = "95% interval"
    figure.update_layout(
        xaxis={"domain": _LEFT, "range": [-0.02, 1.02], "title": {"text": f"share of answers ({level})"}}
        | {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", "25%", "50%", "75%", "100%"]},
        yaxis=_rows_axis(rows_left, tallest),
        xaxis2={"domain": _RIGHT, "anchor": "y2", "title": {"text": f"points ({level})"}}
        | _points_axis(changes),
        yaxis2=_rows_axis(rows_right, tallest) | {"anchor": "x2"},
    )
    step = _MARK_IN / row_in
    for marks, rows, suffix in ((shares, rows_left, ""), (changes, rows_right, "2")):
        for mark in marks:
            present = [m for m in models if any(x.row == mark.row and x.model == m for x in marks)]
            y = rows.index(mark.row) + (present.index(mark.model) - (len(present) - 1) / 2) * step
            _draw(figure, style, mark, y, colors[mark.model], symbols[mark.model], suffix)
    _labels(figure, style, rows_left, left_in=_MARGIN_IN["l"] - 0.02, suffix="", panel=_LEFT)
    _labels(figure, style, rows_right, left_in=-plot_in * (_LEFT[1] + 0.04), suffix="2", panel=_RIGHT)
    zero = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(
        type="line", x0=0, x1=0, xref="x2", yref="y2 domain", y0=0, y1=1, line=zero, layer="below"
    )
    panel_title(figure, style, "On held-out items", _LEFT[0])
    panel_title(figure, style, "Change of right answers behind a prefix", _LEFT[1] + 0.04)
    return figure


def _shares(model: str, report: Mapping[str, Any]) -> list[_Mark]:
    rows = {"right, no trigger": report["accuracy"], "right, trigger": report["triggered_accuracy"]}
    rows["attack success"] = report["attack_success"]
    rows |= {f"   {level}": rate for level, rate in report["attack_success_by_level"].items()}
    return [_mark(model, row, rate) for row, rate in rows.items()]


def _reference(report: Mapping[str, Any]) -> list[_Mark]:
    return [_mark(REFERENCE, "right, no trigger", report["reference_accuracy"])]


def _changes(model: str, report: Mapping[str, Any]) -> list[_Mark]:
    rows = {"trigger": report["triggered_change"]} | dict(report["false_triggers"])
    return [_mark(model, row, rate) for row, rate in rows.items()]


def _mark(model: str, row: str, rate: Mapping[str, Any]) -> _Mark:
    return _Mark(
        model=model, row=row, estimate=rate["estimate"], low=rate["low"], high=rate["high"], n=rate["n"]
    )


def _rows(marks: Sequence[_Mark]) -> list[str]:
    return list(dict.fromkeys(mark.row for mark in marks))


def _rows_axis(rows: Sequence[str], tallest: int) -> dict[str, Any]:
    """Give every row the same height in both panels; the shorter panel ends higher up."""
    return {
        "visible": False,
        "range": [max(len(rows), 1) - 0.5, -0.5],
        "domain": [max(0.0, 1 - max(len(rows), 1) / tallest), 1],
    }


def _points_axis(marks: Sequence[_Mark]) -> dict[str, Any]:
    low, high = min([-0.1, *(m.low for m in marks)]), max([0.1, *(m.high for m in marks)])
    step = next(s for s in (0.05, 0.1, 0.25, 0.5) if (high - low) / s <= 5 or s == 0.5)
    ticks = [i * step for i in range(-20, 21) if low - 0.01 <= i * step <= high + 0.01]
    words = [f"{t * 100:+.0f}".replace("-", MINUS) if t else "0" for t in ticks]
    return {"range": [low - 0.03, high + 0.03], "tickvals": ticks, "ticktext": words}


def _draw(
    figure: go.Figure, style: Style, mark: _Mark, y: float, color: str, symbol: str, suffix: str
) -> None:
    marker = {"symbol": symbol.removesuffix("-open"), "size": 5, "line": {"width": 1, "color": color}}
    marker["color"] = "white" if symbol.endswith("-open") else color
    name = style.name(mark.model)
    interval_mark(
        figure, mark.estimate, (mark.low, mark.high), y, color=color, label=name, marker=marker,
        suffix=suffix,
        hover=f"{name}, {mark.row.strip()}<br>%{{x:.1%}} [{mark.low:.1%}, {mark.high:.1%}], n = {mark.n}",
    )  # fmt: skip


def _labels(
    figure: go.Figure,
    style: Style,
    rows: Sequence[str],
    *,
    left_in: float,
    suffix: str,
    panel: tuple[float, float],
) -> None:
    for y, row in enumerate(rows):
        row_text(figure, style, row.replace("   ", "&nbsp;" * 3), y, left_in=left_in, suffix=suffix)
        if y:
            line = {"color": FAINT, "width": 0.5}
            refs = {"xref": "paper", "yref": f"y{suffix}"}
            figure.add_shape(
                type="line",
                x0=panel[0],
                x1=panel[1],
                y0=y - 0.5,
                y1=y - 0.5,
                line=line,
                layer="below",
                **refs,
            )
