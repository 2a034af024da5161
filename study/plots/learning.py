"""Learning curves: how many labelled target answers a source probe needs, and how many do without one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from probes.evaluation.learning import LearningCurve, LearningPoint, TrainedWith
from probes.evaluation.results import Estimate
from study.matrix import MatrixResult
from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    AUROC_TICKS,
    MUTED,
    OKABE_ITO,
    Mark,
    Style,
    auroc_floor,
    chance_line,
    inches,
    interval,
    page,
    panel_spans,
    tint,
)

__all__ = ["learning_figure"]

_MARGIN_IN = {"l": 0.74, "r": 0.06, "t": 0.12, "b": 0.38}
_PANEL_IN, _SPACE_IN, _LINE_IN = 1.05, 0.16, 0.135
_WIDE_IN = 0.85  # of a panel that has room for every count
_LOOKS = {
    TrainedWith.ADDED: (OKABE_ITO["vermillion"], Mark(label="", symbol="square", dash="solid", size=5.0)),
    TrainedWith.ALONE: (OKABE_ITO["blue"], Mark(label="", symbol="triangle-up", dash="4px,2px", size=6.0)),
}


def learning_figure(result: MatrixResult, style: Style | None = None) -> go.Figure:
    """Draw a row of panels per source and a column per target. Text width, column width for one target.

    The curves are means over draws of examples with their intervals; the dotted line is chance, the broken
    grey one the ceiling fitted and selected in all of the target.

    Raises:
        ValueError: the study made no learning curves.
    """
    style, curves = style or Style(), [c for c in result.learning if c.points]
    if not curves:
        raise ValueError("this study has no learning curves; see learning.counts")
    rank = {model.name: at for at, model in enumerate(result.models)}
    sources = sorted({c.source for c in curves}, key=lambda name: rank[name])
    targets = sorted({c.target for c in curves}, key=lambda name: rank[name])
    width_in = style.text_in if len(targets) > 1 else style.column_in
    plot_in = width_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    panel_in = plot_in / len(targets) - 0.06
    heads = [_wrapped(style.name(target), panel_in, style) for target in targets]
    entries = _legend()
    legend_in = ROW_IN * rows_needed(entries, style, plot_in)
    top_in = _MARGIN_IN["t"] + legend_in + _LINE_IN * max(head.count("<br>") + 1 for head in heads)
    panels_in = len(sources) * (_PANEL_IN + _SPACE_IN) - _SPACE_IN
    figure = page(
        style, width_in=width_in, height_in=panels_in + top_in + _MARGIN_IN["b"],
        margin_in=_MARGIN_IN | {"t": top_in},
    )  # fmt: skip
    add_legend(figure, style, entries, width_in=plot_in, above_in=top_in - ROW_IN / 2)
    counts = sorted({point.count for curve in curves for point in curve.points})
    low = auroc_floor((point.auroc for curve in curves for point in curve.points), floor=0.4)
    spans = panel_spans(len(targets), space=0.06 / plot_in)
    at = {(c.source, c.target): c for c in curves}
    places = [(i, j) for i, s in enumerate(sources) for j, t in enumerate(targets) if (s, t) in at]
    for number, (i, j) in enumerate(places):
        suffix = str(number + 1) if number else ""
        top = 1 - i * (_PANEL_IN + _SPACE_IN) / panels_in
        bottom = max(0.0, top - _PANEL_IN / panels_in)
        last = not any(row > i and column == j for row, column in places)
        first = not any(row == i and column < j for row, column in places)
        x_axis = _count_axis(counts, panel_in, named=last) | {"domain": spans[j], "anchor": f"y{suffix}"}
        y_axis = {"domain": [bottom, top], "anchor": f"x{suffix}", "range": [low, 1], "showgrid": True}
        y_axis |= AUROC_TICKS | ({} if first else {"showticklabels": False})
        figure.update_layout({f"xaxis{suffix}": x_axis, f"yaxis{suffix}": y_axis})
        chance_line(figure, suffix=suffix)
        curve = at[sources[i], targets[j]]
        _panel(figure, curve, _ceiling_of(result, curve), {n: k for k, n in enumerate(counts)}, suffix)
    _names(figure, style, sources, heads, spans, panels_in)
    return figure


def _legend() -> list[Entry]:
    entries = [
        Entry(label=f"examples {training}", color=color, dash=mark.dash, symbol=mark.symbol)
        for training, (color, mark) in _LOOKS.items()
    ]
    return [*entries, Entry(label="ceiling, all of the target", color=MUTED, dash="4px,2px")]


def _count_axis(counts: Sequence[int], panel_in: float, *, named: bool) -> dict[str, Any]:
    """Counts at equal distances; every second one is written where panels are narrow."""
    every = 1 if panel_in / len(counts) > _WIDE_IN / 6 else 2
    axis: dict[str, Any] = {"range": [-0.35, len(counts) - 0.65], "tickvals": list(range(len(counts)))}
    axis |= {"ticktext": [str(n) if k % every == 0 else "" for k, n in enumerate(counts)]}
    return axis | ({} if named else {"showticklabels": False})


def _wrapped(name: str, width_in: float, style: Style) -> str:
    letters = int(width_in * 72 / (0.56 * style.points))
    return "<br>".join(textwrap.wrap(name, max(letters, 1), break_long_words=False, break_on_hyphens=False))


def _names(
    figure: go.Figure, style: Style, sources: Sequence[str], heads: Sequence[str],
    spans: Sequence[tuple[float, float]], panels_in: float,
) -> None:  # fmt: skip
    """Targets above their column, sources beside their row, and what is counted below."""
    plain = {"xref": "paper", "yref": "paper", "showarrow": False, "borderpad": 0}
    for text, span in zip(heads, spans, strict=True):
        middle = (span[0] + span[1]) / 2
        figure.add_annotation(
            text=f"<b>{text}</b>",
            x=middle,
            y=1,
            xanchor="center",
            yanchor="bottom",
            yshift=3,
            align="center",
            **plain,
        )
    for i, source in enumerate(sources):
        y = 1 - (i * (_PANEL_IN + _SPACE_IN) + _PANEL_IN / 2) / panels_in
        name = _wrapped(style.name(source), _PANEL_IN * 1.1, style)
        figure.add_annotation(
            text=f"<b>{name}</b><br>AUROC", x=0, xanchor="right", xshift=-inches(0.22), y=y, yanchor="middle",
            textangle=-90, align="center", **plain,
        )  # fmt: skip
    figure.add_annotation(
        text="labelled target answers",
        x=0.5,
        y=0,
        xanchor="center",
        yanchor="top",
        yshift=-inches(0.2),
        **plain,
    )


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
