"""How the source's direction lies to the one fitted in each target, and how the activations of both lie."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from probes.evaluation.results import Geometry, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    BAND,
    MUTED,
    Style,
    number,
    page,
    panel_spans,
    panel_title,
)

__all__ = ["geometry_figure"]

_MARGIN_IN = {"l": 0.42, "r": 0.06, "t": 0.24, "b": 0.36}
_HEIGHT_IN = 1.8
_PANELS = (
    ("Cosine of the directions", "direction_cosine"),
    ("Alignment (CKA)", "cka"),
    ("Shift of the mean", "mean_shift"),
    ("Spread, target over source", "scale_ratio"),
)


def geometry_figure(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw four measures by depth, one line per target. Text width.

    The band in the first panel is where 95 % of random directions of that width lie; the mean's shift is in
    standard deviations of the source, per feature. Marks stand on the layer that the source chose.

    Raises:
        ValueError: the probe has no direction.
    """
    style = style or Style()
    found = [g for g in result.geometry if g.probe == result.headline_probe]
    if not found:
        raise ValueError(f"{result.headline_probe} has no direction, so there is no geometry to draw")
    panels = [(title, field) for title, field in _PANELS if any(_known(g, field) for g in found)]
    legend = [Entry(label=style.name(g.target), color=style.color(result, g.target)) for g in found]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(legend, style, plot_in)
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN + legend_in, margin_in=margin_in)
    width = next(d.width for d in result.domains if d.name == result.source)
    for i, ((title, field), span) in enumerate(
        zip(panels, panel_spans(len(panels), space=0.07), strict=True)
    ):
        suffix = str(i + 1) if i else ""
        axis = {"domain": list(span), "anchor": f"y{suffix}", "range": [-0.02, 1.02]}
        axis |= {"tickvals": [0, 0.5, 1], "ticktext": ["0", ".5", "1"], "title": {"text": "depth"}}
        figure.update_layout({f"xaxis{suffix}": axis, f"yaxis{suffix}": _y_axis(found, field, suffix)})
        if field == "direction_cosine":
            _random_band(figure, width)
        for geometry in found:
            _line(figure, result, style, geometry, field, suffix)
        panel_title(figure, style, title, span[0])
    add_legend(figure, style, legend, width_in=plot_in, above_in=_MARGIN_IN["t"] + legend_in - ROW_IN / 2)
    return figure


def _known(geometry: Geometry, field: str) -> bool:
    return any(value is not None for value in getattr(geometry, field))


def _y_axis(found: list[Geometry], field: str, suffix: str) -> dict[str, Any]:
    values = [v for g in found for v in getattr(g, field) if v is not None]
    low, high = min(values), max(values)
    axis: dict[str, Any] = {"anchor": f"x{suffix}", "showgrid": True, "nticks": 5}
    if field == "direction_cosine":
        low = min(-0.1, math.floor(low * 10) / 10)
        high = max(0.3, math.ceil(high * 10) / 10)
        step = 0.1 if high - low <= 0.6 else 0.25 if high - low <= 1.2 else 0.5
        ticks = [t * step for t in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
        digits = 1 if step != 0.25 else 2
        return axis | {
            "range": [low, high],
            "tickvals": ticks,
            "ticktext": [number(t, digits) if round(t, 6) else "0" for t in ticks],
        }
    if field == "cka":
        return axis | {"range": [0, 1.02], "tickvals": [0, 0.5, 1], "ticktext": ["0", ".5", "1"]}
    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 1e9) if high / s <= 5)
    ticks = [t * step for t in range(int(high * 1.1 / step) + 1)]
    digits = 2 if step == 0.05 else 1 if step < 1 else 0
    return axis | {
        "range": [0, high * 1.1],
        "tickvals": ticks,
        "ticktext": [number(t, digits) if t else "0" for t in ticks],
    }


def _random_band(figure: go.Figure, width: int) -> None:
    reach = 1.96 / math.sqrt(width)
    refs = {"xref": "x domain", "yref": "y", "layer": "below"}
    figure.add_shape(type="rect", x0=0, x1=1, y0=-reach, y1=reach, fillcolor=BAND, line_width=0, **refs)
    line = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(type="line", x0=0, x1=1, y0=0, y1=0, line=line, **refs)


def _line(
    figure: go.Figure, result: TransferResult, style: Style, geometry: Geometry, field: str, suffix: str
) -> None:
    color, name = style.color(result, geometry.target), style.name(geometry.target)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    deepest = max(max(geometry.layers), 1)
    values = getattr(geometry, field)
    depth = [layer / deepest for layer in geometry.layers]
    figure.add_scatter(
        x=depth, y=values, customdata=geometry.layers, mode="lines", name=name,
        line={"color": color, "width": 1.4},
        hovertemplate=f"{name}, layer %{{customdata}}: %{{y:.3f}}<extra></extra>", **axes,
    )  # fmt: skip
    if geometry.selected not in geometry.layers:
        return
    at = geometry.layers.index(geometry.selected)
    if values[at] is not None:
        marker = {"symbol": "square", "size": 7, "color": color, "line": {"width": 1, "color": "white"}}
        figure.add_scatter(
            x=[depth[at]], y=[values[at]], mode="markers", marker=marker, cliponaxis=False,
            name=f"{name}: layer of the source's choice",
            hovertemplate=f"{name}, chosen layer {geometry.selected}: %{{y:.3f}}<extra></extra>", **axes,
        )  # fmt: skip
