"""Learning curves: how many labelled target answers a source probe needs, and how many do without one."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from probes.evaluation.learning import LearningCurve, LearningPoint, Training
from probes.evaluation.results import Estimate
from study.matrix import MatrixResult
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.style import (
    AUROC_TICKS,
    MUTED,
    OKABE_ITO,
    Mark,
    Style,
    auroc_floor,
    chance_line,
    interval,
    page,
    panel_spans,
    points,
    tint,
)

__all__ = ["learning_figure"]

_MARGIN_IN = {"l": 0.44, "r": 0.08, "t": 0.26, "b": 0.38}
_PANEL_IN, _SPACE_IN = 1.15, 0.36
_ACROSS = 3
_LOOKS = {
    Training.ADDED: (OKABE_ITO["vermillion"], Mark(label="", symbol="square", dash="solid", size=5.0)),
    Training.ALONE: (OKABE_ITO["blue"], Mark(label="", symbol="triangle-up", dash="4px,2px", size=6.0)),
}


def learning_figure(result: MatrixResult, style: Style | None = None) -> go.Figure:
    """Draw one panel per source and target. Text width.

    The curves are means over draws of examples with their intervals; the dotted line is chance, the broken
    grey one the ceiling fitted and selected in all of the target.

    Raises:
        ValueError: the study made no learning curves.
    """
    style, curves = style or Style(), [c for c in result.learning if c.points]
    if not curves:
        raise ValueError("this study has no learning curves; see learning.counts")
    across = min(_ACROSS, len(curves))
    down = -(-len(curves) // across)
    height_in = down * (_PANEL_IN + _SPACE_IN) - _SPACE_IN + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    width_in = style.text_in if across > 1 else style.column_in
    top_in = _MARGIN_IN["t"] + (ROW_IN if across == 1 else 0) + 0.16
    margin_in = _MARGIN_IN | {"t": top_in}
    figure = page(
        style, width_in=width_in, height_in=height_in + top_in - _MARGIN_IN["t"], margin_in=margin_in
    )
    plot_in = height_in - _MARGIN_IN["t"] - _MARGIN_IN["b"]
    spans = panel_spans(across, space=0.05)
    counts = sorted({point.count for curve in curves for point in curve.points})
    place = {count: at for at, count in enumerate(counts)}
    low = auroc_floor((point.auroc for curve in curves for point in curve.points), floor=0.4)
    for number, curve in enumerate(curves):
        row, column = divmod(number, across)
        suffix = str(number + 1) if number else ""
        top = 1 - row * (_PANEL_IN + _SPACE_IN) / plot_in
        last = number + across >= len(curves)
        axis = {"domain": spans[column], "anchor": f"y{suffix}", "range": [-0.35, len(counts) - 0.65]}
        axis |= {"tickvals": list(place.values()), "ticktext": [str(count) for count in counts]}
        axis |= {"title": {"text": "labelled target answers"}} if last else {}
        other = {"domain": [max(0.0, top - _PANEL_IN / plot_in), top], "anchor": f"x{suffix}"}
        other |= {"range": [low, 1], "showgrid": True, **AUROC_TICKS}
        other |= {"title": {"text": "AUROC"}} if column == 0 else {"showticklabels": False}
        figure.update_layout({f"xaxis{suffix}": axis, f"yaxis{suffix}": other})
        chance_line(figure, suffix=suffix)
        _panel(figure, curve, _ceiling_of(result, curve), place, suffix)
        title = f"<b>{style.name(curve.source)}</b> → <b>{style.name(curve.target)}</b>"
        figure.add_annotation(
            text=title, xref="paper", yref="paper", x=spans[column][0], y=top, xanchor="left",
            yanchor="bottom", yshift=1, showarrow=False, font={"size": points(style.points)},
        )  # fmt: skip
    entries = [
        Entry(label=f"examples {training}", color=color, dash=mark.dash, symbol=mark.symbol)
        for training, (color, mark) in _LOOKS.items()
    ] + [Entry(label="ceiling, all of the target", color=MUTED, dash="4px,2px")]
    width = width_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=width, above_in=top_in - ROW_IN / 2)
    return figure


def _ceiling_of(result: MatrixResult, curve: LearningCurve) -> Estimate | None:
    for cell in result.cells:
        if (cell.fitted_on, cell.scored_on, cell.probe) == (curve.source, curve.target, curve.probe):
            return cell.ceiling
    return None


def _panel(
    figure: go.Figure, curve: LearningCurve, ceiling: Estimate | None, place: dict[int, int], suffix: str
) -> None:
    if ceiling is not None and ceiling.value is not None:
        refs = {"xref": f"x{suffix} domain", "yref": f"y{suffix}"}
        line = {"color": MUTED, "width": 1, "dash": "4px,2px"}
        figure.add_shape(type="line", x0=0, x1=1, y0=ceiling.value, y1=ceiling.value, line=line, **refs)
    for training, (color, mark) in _LOOKS.items():
        mine = [point for point in curve.points if point.training == training]
        if mine:
            _line(figure, curve, mine, place, color, mark, suffix)


def _line(
    figure: go.Figure, curve: LearningCurve, mine: Sequence[LearningPoint], place: dict[int, int],
    color: str, mark: Mark, suffix: str,
) -> None:  # fmt: skip
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    xs = [place[point.count] for point in mine]
    ends = [point for point in mine if point.auroc.low is not None]
    if len(ends) == len(mine):
        figure.add_scatter(
            x=[*xs, *reversed(xs)],
            y=[*(p.auroc.high for p in mine), *(p.auroc.low for p in reversed(mine))],
            fill="toself", fillcolor=tint(color, 0.16), line={"width": 0}, mode="lines", hoverinfo="skip",
            **axes,
        )  # fmt: skip
    figure.add_scatter(
        x=xs, y=[point.auroc.value for point in mine], mode="lines+markers", cliponaxis=False,
        line={"color": color, "width": 1.3, "dash": mark.dash},
        marker={"symbol": mark.symbol, "size": mark.size, "color": color},
        name=f"{curve.source} to {curve.target}, {mine[0].training}",
        text=[f"{point.count} answers: {interval(point.auroc, 3)}" for point in mine],
        hovertemplate="%{text}<extra>%{fullData.name}</extra>", **axes,
    )  # fmt: skip
