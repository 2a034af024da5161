"""AUROC by layer: where in the model a probe finds what it looks for, in the source and in the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from probes.evaluation.kinds import Design
from probes.evaluation.results import Estimate, LayerCurve, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    AUROC_TICKS,
    DESIGNS,
    Style,
    auroc_floor,
    chance_line,
    page,
    panel_spans,
    panel_title,
    tint,
)

_MARGIN_IN = {"l": 0.42, "r": 0.06, "t": 0.24, "b": 0.36}
_HEIGHT_IN = 1.95
_DEPTH_TICKS: dict[str, Any] = {
    "title": {"text": "depth (share of blocks)", "standoff": 3},
    "tickvals": [0, 0.25, 0.5, 0.75, 1],
    "ticktext": ["0", ".25", ".5", ".75", "1"],
}
_PANELS = (
    ("Source probe, frozen", (Design.SOURCE, Design.D1)),
    ("Fitted in each model", (Design.SOURCE, Design.D2)),
    ("Contrast pair, no labels", (Design.D3,)),
)


def layers_figure(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw AUROC against depth with interval ribbons, one panel per way of fitting. Text width.

    A mark stands on the layer that the design used, which was chosen on the fitting domain alone; the
    rest of each curve is description, not a result. x is depth: 0 the first block, 1 the last.
    """
    style = style or Style()
    panels = [(title, _curves(result, style, designs)) for title, designs in _PANELS]
    panels = [(title, curves) for title, curves in panels if curves]
    shown = {curve.scored_on for _, curves in panels for curve in curves}
    legend = [
        Entry(label=style.name(d.name), color=style.color(result, d.name), dash=style.dash(result, d.name))
        for d in style.source_first(result)
        if d.name in shown
    ]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(legend, style, plot_in)
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN + legend_in, margin_in=margin_in)
    low = auroc_floor(
        (Estimate(value=None, low=min(c.low)) for _, curves in panels for c in curves), floor=0.4
    )
    spans = panel_spans(len(panels), space=0.025)
    for i, ((title, curves), (left, right)) in enumerate(zip(panels, spans, strict=True)):
        suffix = str(i + 1) if i else ""
        x_axis = {"domain": [left, right], "anchor": f"y{suffix}", "range": [-0.02, 1.02], **_DEPTH_TICKS}
        y_axis = {"anchor": f"x{suffix}", "range": [low, 1], "showgrid": True, **AUROC_TICKS}
        y_axis |= {"title": {"text": "AUROC"}} if i == 0 else {"showticklabels": False}
        figure.update_layout({f"xaxis{suffix}": x_axis, f"yaxis{suffix}": y_axis})
        chance_line(figure, suffix=suffix)
        for curve in curves:
            _ribbon(figure, style.color(result, curve.scored_on), curve, suffix)
        for curve in curves:
            _line(figure, result, style, curve, suffix)
        panel_title(figure, style, title, left)
    add_legend(figure, style, legend, width_in=plot_in, above_in=_MARGIN_IN["t"] + legend_in - ROW_IN / 2)
    return figure


def _curves(result: TransferResult, style: Style, designs: Sequence[Design]) -> list[LayerCurve]:
    order = [d.name for d in style.domains(result)]
    found = [
        c
        for c in result.layer_curves
        if c.design in designs and (c.design == Design.D3 or c.probe == result.headline_probe)
    ]
    return sorted(
        found, key=lambda c: order.index(c.scored_on), reverse=True
    )  # the source is drawn last, on top


def _ribbon(figure: go.Figure, color: str, curve: LayerCurve, suffix: str) -> None:
    figure.add_scatter(
        x=[*curve.depth, *reversed(curve.depth)],
        y=[*curve.high, *reversed(curve.low)],
        fill="toself",
        fillcolor=tint(color, 0.18),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        xaxis=f"x{suffix}",
        yaxis=f"y{suffix}",
    )


def _line(figure: go.Figure, result: TransferResult, style: Style, curve: LayerCurve, suffix: str) -> None:
    color, design, name = (
        style.color(result, curve.scored_on),
        DESIGNS[curve.design],
        style.name(curve.scored_on),
    )
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    figure.add_scatter(
        x=curve.depth,
        y=curve.auroc,
        customdata=list(zip(curve.layers, curve.low, curve.high, strict=True)),
        mode="lines",
        line={"color": color, "width": 1.4, "dash": style.dash(result, curve.scored_on)},
        name=name,
        hovertemplate=f"{name}, {design.label}<br>layer %{{customdata[0]}}: %{{y:.3f}} "
        f"[%{{customdata[1]:.3f}}, %{{customdata[2]:.3f}}]<extra></extra>",
        **axes,
    )
    if curve.selected not in curve.layers:
        return
    at = curve.layers.index(curve.selected)
    edge = {"width": 1, "color": "white"}
    figure.add_scatter(
        x=[curve.depth[at]],
        y=[curve.auroc[at]],
        mode="markers",
        cliponaxis=False,
        marker={"symbol": design.symbol, "size": design.size + 1, "color": color, "line": edge},
        name=f"{name}: selected layer",
        hovertemplate=f"{name}: selected layer {curve.selected}, %{{y:.3f}}<extra></extra>",
        **axes,
    )
