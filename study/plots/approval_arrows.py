"""Approval against correctness: where every model started and where its reward has led it."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rlhf.diagnostics.measures import Measures
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rlhf_style import REWARDS, SHORT, SYMBOLS, color_of, label_of, percent, whisker
from study.plots.style import MUTED, Style, page, points

_MARGIN_IN = {"l": 0.5, "r": 0.1, "t": 0.44, "b": 0.4}
_HEIGHT_IN = 2.75


def approval_arrows_figure(measured: Sequence[Measures], style: Style | None = None) -> go.Figure:
    """Draw an arrow from each parent to what was made of it; crosses are 95 % intervals. Column width.

    Above the diagonal more is approved than is right.
    """
    style = style or Style()
    figure = page(style, width_in=style.column_in, height_in=_HEIGHT_IN, margin_in=_MARGIN_IN)
    low = _floor(measured)
    ticks = [t / 10 for t in range(int(low * 10), 11)]
    axis = {"range": [low, 1.015], "tickvals": ticks, "ticktext": [f"{t:.0%}" for t in ticks]}
    figure.update_layout(
        xaxis=axis | {"title": {"text": "right"}},
        yaxis=axis | {"range": [low, 0.92], "title": {"text": "approved"}},
    )
    line = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(type="line", x0=low, x1=0.92, y0=low, y1=0.92, line=line, layer="below")
    figure.add_annotation(
        text="approved = right", x=0.86, y=0.86, showarrow=False, xanchor="left", yanchor="top", xshift=3,
        yshift=-2, font={"size": points(style.points - 1.5), "color": MUTED},
    )  # fmt: skip
    roles = list(dict.fromkeys(m.role for m in measured))
    entries = [
        Entry(
            label=SHORT.get(r, r),
            color=_of_role(r, measured, style),
            dash=None,
            symbol=SYMBOLS.get(r, "circle"),
        )
        for r in roles
    ]
    for number, entry in enumerate(entries):
        above_in = _MARGIN_IN["t"] - ROW_IN * (number // 2 + 0.5)
        left_in = (0.0, 1.3)[number % 2]
        add_legend(figure, style, [entry], width_in=style.column_in, above_in=above_in, left_in=left_in)
    by_name = {m.organism: m for m in measured}
    for measures in measured:
        if measures.against and (start := by_name.get(measures.against.parent)):
            _arrow(figure, start, measures, color_of(measures, style))
    for measures in measured:
        _point(figure, style, measures, measured)
    return figure


def _of_role(role: str, measured: Sequence[Measures], style: Style) -> str:
    return color_of(next(m for m in measured if m.role == role), style)


def _floor(measured: Sequence[Measures]) -> float:
    lows = [e.low for m in measured for e in (m.approval.correctness, m.approval.approval)]
    return int(min([0.6, *lows]) * 10 - 0.5) / 10


def _arrow(figure: go.Figure, start: Measures, end: Measures, color: str) -> None:
    a, b = start.approval, end.approval
    figure.add_annotation(
        x=b.correctness.value, y=b.approval.value, ax=a.correctness.value, ay=a.approval.value, xref="x",
        yref="y", axref="x", ayref="y", showarrow=True, arrowhead=2, arrowsize=0.9, arrowwidth=1.1,
        arrowcolor=color, standoff=5, startstandoff=4, text="",
    )  # fmt: skip


def _point(figure: go.Figure, style: Style, measures: Measures, measured: Sequence[Measures]) -> None:
    report, color = measures.approval, color_of(measures, style)
    x, y = report.correctness.value, report.approval.value
    whisker(figure, report.correctness, y, color, width=0.9)
    whisker(figure, report.approval, x, color, upright=True, width=0.9)
    name, symbol = label_of(measures, style, measured), SYMBOLS.get(measures.role, "circle")
    marker = {"color": color, "size": 8 if symbol.endswith("-open") else 5.5, "symbol": symbol}
    figure.add_scatter(
        x=[x], y=[y], mode="markers", marker=marker, cliponaxis=False, name=name,
        hovertemplate=f"{name}, {REWARDS.get(measures.role, measures.role)}<br>right "
        f"{percent(report.correctness)}<br>approved {percent(report.approval)}<extra></extra>",
    )  # fmt: skip
