"""A paper's figure as a slide: everything enlarged alike, on a 16:9 page.

The layout stays that of the paper, so nothing is drawn twice: widths, type, marks, lines, dashes and pixel
shifts are multiplied by one factor. Figures that are lower than a slide are first made higher, where that
moves rows and axes apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from study.plots.style import Style

__all__ = ["as_slide", "for_style", "scaled"]

WIDTH, HEIGHT = 1280.0, 720.0  # CSS pixels: 13.33 in by 7.5 in
_EDGE, _STRETCH = 24.0, 1.5
_PIXELS = (
    *("size", "linewidth", "tickwidth", "ticklen", "gridwidth", "standoff", "startstandoff", "xshift"),
    *("yshift", "arrowwidth", "borderpad", "borderwidth", "thickness", "tracegroupgap", "pad"),
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FONT = re.compile(r"font-size:\s*([\d.]+)px")


def for_style(figures: Mapping[str, go.Figure], style: Style) -> dict[str, go.Figure]:
    """Give the figures as the style wants their files: as they are, or as slides."""
    return {name: as_slide(f) if style.kind == "slides" else f for name, f in figures.items()}


def as_slide(figure: go.Figure) -> go.Figure:
    """Enlarge a figure of exact size to a 16:9 page, centred; the figure given is left alone.

    >>> slide = as_slide(go.Figure(layout={"width": 312, "height": 312, "margin": {"l": 30, "t": 0}}))
    >>> slide.layout.width, slide.layout.height, round(slide.layout.margin.t)
    (1280.0, 720.0, 24)
    """
    width, height = float(figure.layout.width), float(figure.layout.height)
    room = (WIDTH - 2 * _EDGE, HEIGHT - 2 * _EDGE)
    taller = min(_STRETCH, max(1.0, width * room[1] / room[0] / height))
    factor = min(room[0] / width, room[1] / (height * taller))
    large = scaled(figure, factor)
    sides = (WIDTH - width * factor) / 2, (HEIGHT - height * taller * factor) / 2
    margin = large.layout.margin
    large.update_layout(
        width=WIDTH,
        height=HEIGHT,
        margin={
            "l": (margin.l or 0) + sides[0],
            "r": (margin.r or 0) + sides[0],
            "t": (margin.t or 0) + sides[1],
            "b": (margin.b or 0) + sides[1],
        },
    )
    return large


def scaled(figure: go.Figure, factor: float) -> go.Figure:
    """Multiply every length in pixels; what is in data or paper coordinates follows by itself."""
    content = figure.to_dict()
    data = [_of_trace(trace, factor) for trace in content.get("data", [])]
    return go.Figure(data=data, layout=_enlarge(content.get("layout", {}), factor, ("layout",)))


def _of_trace(trace: dict[str, Any], factor: float) -> dict[str, Any]:
    kept = {key: trace[key] for key in ("width", "x", "y", "z", "customdata", "text", "base") if key in trace}
    large = _enlarge(trace, factor, ("trace",)) | kept  # a bar's width is in data units
    if trace.get("mode") and "text" in str(trace.get("mode")):
        large["text"] = _enlarge(trace.get("text"), factor, ("text",))
    return large


def _enlarge(value: Any, factor: float, path: tuple[str, ...]) -> Any:
    key, inside = path[-1], path[-2] if len(path) > 1 else ""
    if isinstance(value, dict):
        if inside == "shapes" or key == "shapes":
            value = _shape(value, factor)
        return {name: _enlarge(item, factor, (*path, name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)) and key in ("annotations", "shapes"):
        return [_enlarge(item, factor, path) for item in value]
    if isinstance(value, str):
        if key == "dash" and "px" in value:
            return _NUMBER.sub(lambda found: f"{float(found[0]) * factor:.2f}", value)
        return _FONT.sub(lambda found: f"font-size:{float(found[1]) * factor:.1f}px", value)
    if isinstance(value, bool) or value is None:
        return value
    length = key in _PIXELS or inside == "margin" or (key == "width" and inside in ("line", "layout"))
    if not length:
        return value
    if isinstance(value, (int, float)):
        return value * factor
    return [item * factor for item in value] if key == "size" else value


def _shape(shape: dict[str, Any], factor: float) -> dict[str, Any]:
    """Lengths of a shape that is drawn in pixels around an anchor."""
    large = dict(shape)
    for axis in "xy":
        if shape.get(f"{axis}sizemode") == "pixel":
            for end in (f"{axis}0", f"{axis}1"):
                if end in shape:
                    large[end] = shape[end] * factor
    if "path" in shape and shape.get("xsizemode") == shape.get("ysizemode") == "pixel":
        large["path"] = _NUMBER.sub(lambda found: f"{float(found[0]) * factor:.3f}", shape["path"])
    return large
