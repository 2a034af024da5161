"""A legend of exact size: rows of samples and names, laid out in pixels above or below a plot.

Plotly's own legend changes the plot's size and wraps unevenly; a figure of exact width cannot have that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from study.plots.style import INK, Style, inches, points

ROW_IN = 0.16
_SAMPLE_PX, _GAP_PX, _SPACE_PX = 18, 4, 12


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing a legend explains: a line, a mark or a filled box in a colour."""

    label: str
    color: str
    dash: str | None = "solid"
    """Line style of the sample; None draws a mark or a box alone."""
    symbol: str = ""
    """Plotly symbol name; "box" draws a filled box."""
    size: float = 6.5


def rows_needed(entries: Sequence[Entry], style: Style, width_in: float) -> int:
    """Count the rows a legend takes in a plot of `width_in` inches."""
    return _flow(entries, style, inches(width_in))[-1][0] + 1 if entries else 0


def add_legend(
    figure: go.Figure,
    style: Style,
    entries: Sequence[Entry],
    *,
    width_in: float,
    above_in: float,
    left_in: float = 0,
) -> None:
    """Write the legend's first row with its centre `above_in` inches above the plot's top edge."""
    for entry, (row, x) in zip(entries, _flow(entries, style, inches(width_in)), strict=True):
        left = x + inches(left_in)
        up = inches(above_in - row * ROW_IN)
        _sample(figure, entry, left, up)
        figure.add_annotation(
            text=entry.label,
            xref="paper",
            yref="paper",
            x=0,
            y=1,
            xshift=left + _SAMPLE_PX + _GAP_PX,
            yshift=up,
            xanchor="left",
            yanchor="middle",
            showarrow=False,
            font={"size": points(style.points), "color": INK},
            borderpad=0,
        )


def _flow(entries: Sequence[Entry], style: Style, width: float) -> list[tuple[int, float]]:
    """Place entries in rows from left to right: (row, x in pixels) of each."""
    places: list[tuple[int, float]] = []
    row, x = 0, 0.0
    for entry in entries:
        # mean width of a letter in DejaVu Sans, the widest face a machine without Arial falls back to
        text = 0.6 * points(style.points) * len(entry.label)
        wide = _SAMPLE_PX + _GAP_PX + text
        if x and x + wide > width:
            row, x = row + 1, 0.0
        places.append((row, x))
        x += wide + _SPACE_PX
    return places


def _sample(figure: go.Figure, entry: Entry, left: float, up: float) -> None:
    anchor = {"xref": "paper", "yref": "paper", "xanchor": 0, "yanchor": 1}
    anchor |= {"xsizemode": "pixel", "ysizemode": "pixel"}
    if entry.dash:
        line = {"color": entry.color, "width": 1.4, "dash": entry.dash}
        figure.add_shape(type="line", x0=left, x1=left + _SAMPLE_PX, y0=up, y1=up, line=line, **anchor)
    middle, half = left + _SAMPLE_PX / 2, entry.size / 2
    if entry.symbol == "box":
        box = {"x0": left + 3, "x1": left + _SAMPLE_PX, "y0": up - half, "y1": up + half}
        figure.add_shape(type="rect", fillcolor=entry.color, line={"width": 0}, **box, **anchor)
    elif entry.symbol:
        figure.add_shape(
            type="path", path=_path(entry.symbol.removesuffix("-open"), middle, up, half),
            fillcolor="white" if entry.symbol.endswith("-open") else entry.color,
            line={"color": entry.color, "width": 1}, **anchor,
        )  # fmt: skip


def _path(symbol: str, x: float, y: float, r: float) -> str:
    """Outline a mark as an SVG path, as near to plotly's marker as a legend needs."""
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "diamond": [(-r, 0), (0, -r), (r, 0), (0, r)],
        "triangle-up": [(-r, -0.6 * r), (r, -0.6 * r), (0, r)],
        "x": [(-r, -r / 2), (-r / 2, -r), (0, -r / 2), (r / 2, -r), (r, -r / 2), (r / 2, 0)],
    }
    corners["x"] += [(-a, -b) for a, b in corners["x"]]  # the other half, turned round the middle
    circle = [(r, 0), (0.92 * r, 0.38 * r), (0.71 * r, 0.71 * r), (0.38 * r, 0.92 * r)]
    octant = (
        circle + [(-b, a) for a, b in circle] + [(-a, -b) for a, b in circle] + [(b, -a) for a, b in circle]
    )
    outline = corners.get(symbol, octant)
    return "M" + " L".join(f"{x + a:.2f},{y + b:.2f}" for a, b in outline) + " Z"
