"""Right and approved, wrongly judged, wrong and approved, by model: the panels of the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rlhf.diagnostics.estimates import Estimate
from rlhf.diagnostics.measures import Measures
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rlhf_style import PERCENT, color_of, label_of, percent, whisker
from study.plots.style import FAINT, INK, Style, inches, page, panel_spans, panel_title, points

_MARGIN_IN = {"l": 0.92, "r": 0.14, "t": 0.4, "b": 0.36}
_ROW_IN = 0.25
_APART = 0.2  # rows between the two marks of a row


def approval_rows_figure(measured: Sequence[Measures], style: Style | None = None) -> go.Figure:
    """Draw correctness and approval, evaluation error, and false positive rates of every model. Text width.

    Hollow marks are false positives on the items that the model and its parent both answer wrongly.
    """
    style = style or Style()
    height_in = _ROW_IN * len(measured) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.text_in, height_in=height_in, margin_in=_MARGIN_IN)
    panels = ("Right, and approved", "Judged wrongly", "Wrong answers approved")
    spans = panel_spans(3, space=0.06)
    for i, (title, span) in enumerate(zip(panels, spans, strict=True)):
        suffix = str(i + 1) if i else ""
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "range": [-0.02, 1.02]}
                | PERCENT
                | {"showgrid": True},
                f"yaxis{suffix}": {"anchor": f"x{suffix}", "range": [len(measured) - 0.5, -0.5]}
                | {"visible": False},
            }
        )
        panel_title(figure, style, title, span[0])
    figure.update_layout(xaxis2={"title": {"text": "95% intervals over items"}})
    for row, measures in enumerate(measured):
        color, name = color_of(measures, style), label_of(measures, style, measured)
        _name(figure, style, name, row)
        report = measures.approval
        after = measures.against.both_wrong.get("after") if measures.against else None
        marks: list[tuple[str, Estimate | None, str, float, str]] = [
            ("right", report.correctness, "square", -_APART, ""),
            ("approved", report.approval, "circle", _APART, ""),
            ("judged wrongly", report.evaluation_error, "circle", 0, "2"),
            ("wrong and approved", report.false_positives, "circle", 0 if after is None else -_APART, "3"),
            ("approved where both are wrong", after, "circle-open", _APART, "3"),
        ]
        for what, estimate, symbol, up, suffix in marks:
            if estimate is not None:
                _mark(figure, estimate, row + up, color, symbol, suffix, f"{name}, {what}")
    entries = [
        Entry(label="right", color=INK, dash=None, symbol="square", size=5.5),
        Entry(label="approved", color=INK, dash=None, symbol="circle", size=5.5),
        Entry(
            label="approved, where before and after are wrong",
            color=INK,
            dash=None,
            symbol="circle-open",
            size=5.5,
        ),
    ]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=plot_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _name(figure: go.Figure, style: Style, name: str, row: int) -> None:
    figure.add_annotation(
        text=name, xref="paper", x=0, xshift=-inches(_MARGIN_IN["l"] - 0.04), xanchor="left", yref="y", y=row,
        yanchor="middle", showarrow=False, borderpad=0, font={"size": points(style.points)},
    )  # fmt: skip
    if row:
        figure.add_shape(
            type="line", x0=0, x1=1, xref="paper", yref="y", y0=row - 0.5, y1=row - 0.5,
            line={"color": FAINT, "width": 0.5}, layer="below",
        )  # fmt: skip


def _mark(
    figure: go.Figure, estimate: Estimate, y: float, color: str, symbol: str, suffix: str, name: str
) -> None:
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    whisker(figure, estimate, y, color, **axes)
    marker = {"symbol": symbol.removesuffix("-open"), "size": 4.5, "line": {"width": 1, "color": color}}
    marker["color"] = "white" if symbol.endswith("-open") else color
    figure.add_scatter(
        x=[estimate.value], y=[y], mode="markers", cliponaxis=False, marker=marker, name=name,
        hovertemplate=f"{name}: {percent(estimate)}<extra></extra>", **axes,
    )  # fmt: skip
