"""ROC curves of the headline designs, with the corner that matters in practice enlarged.

A detector is used at a threshold. The mark on a curve is the threshold that was frozen on the source:
where it was meant to sit is the dashed line (its false positive rate), where it lands is the mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import Evaluation, OperatingPoint, Roc, TransferResult
from study.plots.headline import best_control
from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    BROKEN,
    DESIGNS,
    INK,
    MUTED,
    TEXT_ONLY,
    Style,
    number,
    page,
    points,
)

_MARGIN_IN = {"l": 0.42, "r": 0.08, "t": 0.06, "b": 0.36}
_SIDE_IN = 2.75
_INSET_FPR = 0.1
_INSET = {"x": (0.58, 0.98), "y": (0.1, 0.46)}
_DASHES = {Design.SOURCE: "solid", Design.D1: "solid", Design.D2: BROKEN[0]}


@dataclass(frozen=True, kw_only=True)
class _Curve:
    label: str
    color: str
    dash: str
    symbol: str
    roc: Roc
    point: OperatingPoint | None


def roc_figure(result: TransferResult, style: Style | None = None, target: str | None = None) -> go.Figure:
    """Draw ROC curves of source, frozen probe, ceiling and best text control on `target`. Column width.

    `target` defaults to the first one in the style's order. The inset shows false positive rates up to .10.
    """
    style = style or Style()
    target = target or style.domains(result, DomainRole.TARGET)[0].name
    curves = _curves(result, style, target)
    legend = [Entry(label=c.label, color=c.color, dash=c.dash, symbol=c.symbol) for c in curves]
    width_in = style.column_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(legend, style, width_in)
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    height_in = _SIDE_IN + margin_in["t"] + margin_in["b"]
    figure = page(style, width_in=style.column_in, height_in=height_in, margin_in=margin_in)
    add_legend(figure, style, legend, width_in=width_in, above_in=0.06 + legend_in - ROW_IN / 2)
    ticks = {"tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1], "ticktext": ["0", ".2", ".4", ".6", ".8", "1"]}
    figure.update_xaxes(range=[-0.01, 1.01], title_text="false positive rate", **ticks)
    figure.update_yaxes(range=[-0.01, 1.01], title_text="true positive rate", **ticks)
    _inset(figure, style)
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"color": MUTED, "width": 0.75, "dash": "dot"})
    for axes in ({}, {"xaxis": "x2", "yaxis": "y2"}):
        for curve in curves:
            _draw(figure, curve, axes)
    alphas = {c.point.alpha for c in curves if c.point}
    for alpha in alphas:
        line = {"color": INK, "width": 0.75, "dash": BROKEN[0]}
        figure.add_shape(type="line", x0=alpha, x1=alpha, y0=0, y1=1, line=line, xref="x2", yref="y2")
    return figure


def _curves(result: TransferResult, style: Style, target: str) -> list[_Curve]:
    found = {(e.design, e.scored_on): e for e in result.evaluations if e.probe == result.headline_probe}
    wanted = [(Design.SOURCE, result.source), (Design.D1, target), (Design.D2, target)]
    shown = [found[key] for key in wanted if key in found and found[key].roc]
    curves = [_of_evaluation(result, style, e) for e in shown]
    text = best_control(result, target, Design.D1)
    if text and text.roc:
        label = f"{TEXT_ONLY.label} ({style.name(text.name)}) {number(text.auroc.value)}"
        curves.append(_Curve(label=label, color=MUTED, dash=BROKEN[1], symbol="", roc=text.roc, point=None))
    return curves


def _of_evaluation(result: TransferResult, style: Style, evaluation: Evaluation) -> _Curve:
    words = {Design.SOURCE: "held-out", Design.D1: "frozen", Design.D2: "ceiling"}[evaluation.design]
    points_ = sorted(evaluation.operating_points, key=lambda p: abs(p.alpha - 0.05))
    assert evaluation.roc is not None
    return _Curve(
        label=f"{style.name(evaluation.scored_on)}, {words} {number(evaluation.auroc.value)}",
        color=style.color(result, evaluation.scored_on),
        dash=_DASHES[evaluation.design],
        symbol=DESIGNS[evaluation.design].symbol if points_ else "",
        roc=evaluation.roc,
        point=points_[0] if points_ else None,
    )


def _inset(figure: go.Figure, style: Style) -> None:
    small = {"tickfont": {"size": points(style.points - 1.5)}, "ticklen": 2, "mirror": True}
    figure.update_layout(
        xaxis2={"domain": _INSET["x"], "anchor": "y2", "range": [0, _INSET_FPR], **small}
        | {"tickvals": [0, 0.05, 0.1], "ticktext": ["0", ".05", ".1"]},
        yaxis2={"domain": _INSET["y"], "anchor": "x2", "range": [0, 1.01], **small}
        | {"tickvals": [0, 0.5, 1], "ticktext": ["0", ".5", "1"]},
    )
    sheet = {"x": [0, _INSET_FPR, _INSET_FPR, 0], "y": [0, 0, 1.01, 1.01], "fillcolor": "white"}
    figure.add_scatter(  # white paper, so that a curve below the diagonal does not run through the inset
        **sheet, fill="toself", mode="none", hoverinfo="skip", xaxis="x2", yaxis="y2"
    )


def _draw(figure: go.Figure, curve: _Curve, axes: dict[str, str]) -> None:
    line = {"color": curve.color, "width": 1.4, "dash": curve.dash}
    hover = "FPR %{x:.3f}, TPR %{y:.3f}"
    figure.add_scatter(
        x=curve.roc.fpr, y=curve.roc.tpr, mode="lines", line=line, name=curve.label,
        hovertemplate=f"{curve.label}<br>{hover}<extra></extra>", **axes,
    )  # fmt: skip
    if curve.point is None:
        return
    fpr, tpr = curve.point.fpr, curve.point.tpr
    figure.add_scatter(
        x=[fpr.value],
        y=[tpr.value],
        mode="markers",
        cliponaxis=False,
        marker={
            "symbol": curve.symbol,
            "size": 7,
            "color": curve.color,
            "line": {"width": 1, "color": "white"},
        },
        name=f"{curve.label}: frozen threshold",
        hovertemplate=f"threshold for FPR {curve.point.alpha:g} on {curve.point.threshold_from}<br>"
        f"{hover}<extra></extra>",
        **axes,
    )
