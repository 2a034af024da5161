"""Approval against correctness: where every model started and where its reward has led it."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rlhf.diagnostics.measures import Measures
from study.plots.rlhf_style import REWARDS, color_of, label_of, percent, whisker
from study.plots.style import MUTED, Style, page, points

_MARGIN_IN = {"l": 0.5, "r": 0.1, "t": 0.08, "b": 0.4}
_HEIGHT_IN = 2.9


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
        xaxis=axis | {"title": {"text": "right"}}, yaxis=axis | {"title": {"text": "approved"}}
    )
    line = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(type="line", x0=low, x1=1, y0=low, y1=1, line=line, layer="below")
    figure.add_annotation(
        text="as many approved as right", x=low + 0.2, y=low + 0.2, textangle=-_slope(style), showarrow=False,
        yshift=-7, xshift=4, font={"size": points(style.points - 1.5), "color": MUTED},
    )  # fmt: skip
    by_name = {m.organism: m for m in measured}
    for measures in measured:
        if measures.against and (start := by_name.get(measures.against.parent)):
            _arrow(figure, start, measures, color_of(measures, style))
    for measures in measured:
        _point(figure, style, measures, measured)
    return figure


def _slope(style: Style) -> float:
    import math

    wide = style.column_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    return math.degrees(math.atan2(_HEIGHT_IN - _MARGIN_IN["t"] - _MARGIN_IN["b"], wide))


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
    name = label_of(measures, style, measured)
    figure.add_scatter(
        x=[x], y=[y], mode="markers", marker={"color": color, "size": 6}, cliponaxis=False, name=name,
        hovertemplate=f"{name}, {REWARDS.get(measures.role, measures.role)}<br>right "
        f"{percent(report.correctness)}<br>approved {percent(report.approval)}<extra></extra>",
    )  # fmt: skip
