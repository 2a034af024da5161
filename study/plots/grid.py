"""A table of shaded cells with row and column names: what the matrices of a study are drawn with."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from study.plots.style import INK, MUTED, Style, inches, page, points

__all__ = ["GridCell", "Heading", "diverging", "grid_figure"]

CELL_IN, GAP = 0.42, 0.22  # height of a row in inches; space between blocks as a share of a cell
_TOP_IN, _LINE_IN = 0.06, 0.135
_BELOW, _ABOVE = (179, 88, 6), (84, 39, 136)  # the ends of ColorBrewer's PuOr


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """What one cell shows."""

    value: float | None
    text: str
    """Large."""
    small: str = ""
    """Below it."""
    shade: float = 0.0
    """-1 (orange) over 0 (white) to 1 (purple)."""
    outlined: bool = False
    cornered: bool = False
    """Marked in a corner: fitted and scored on one model."""
    hover: str = ""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The name of a row or column."""

    name: str
    small: str = ""
    """Below it, grey."""
    block: int = 0
    """Rows or columns of different blocks stand a little apart."""


def grid_figure(
    style: Style,
    rows: Sequence[Heading],
    columns: Sequence[Heading],
    cells: Mapping[tuple[int, int], GridCell],
    *,
    corner: str,
    left_in: float = 1.05,
) -> go.Figure:
    """Draw cells by (row, column). Column width up to four columns, else text width."""
    width_in = style.column_in if len(columns) <= 4 else style.text_in
    xs, ys = _places(columns), _places(rows)
    plot_in = width_in - left_in - 0.03
    cell_in = plot_in / (xs[-1] + 1)
    wide = max(5, int(cell_in * 72 / (0.54 * style.points)))
    heads = [_wrapped(style.name(head.name), wide) for head in columns]
    top_in = _TOP_IN + _LINE_IN * (
        max(text.count("<br>") + 1 for text in heads) + any(h.small for h in columns)
    )
    height_in = CELL_IN * (ys[-1] + 1)
    margin_in = {"l": left_in, "r": 0.03, "t": top_in, "b": 0.03}
    total_in = height_in + top_in + 0.03
    figure = page(style, width_in=width_in, height_in=total_in, margin_in=margin_in)
    figure.add_scatter(  # carries the numbers and the hover text; what is seen are crisp shapes
        x=[xs[j] for _, j in cells],
        y=[ys[i] for i, _ in cells],
        customdata=[[cell.value, cell.hover] for cell in cells.values()],
        mode="markers",
        marker={"size": inches(CELL_IN) * 0.9, "symbol": "square", "opacity": 0},
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    for (i, j), cell in cells.items():
        _draw(figure, style, cell, xs[j], ys[i], cell_in)
    hidden = {"showline": False, "ticks": "", "showticklabels": False}
    figure.update_xaxes(range=[-0.5, xs[-1] + 0.5], **hidden)
    figure.update_yaxes(range=[ys[-1] + 0.5, -0.5], **hidden)
    _headings(figure, style, rows, columns, heads, xs, ys, left_in, corner)
    return figure


def _places(headings: Sequence[Heading]) -> list[float]:
    places, at, block = [], -1.0, headings[0].block
    for heading in headings:
        at += 1 + (GAP if heading.block != block else 0)
        block = heading.block
        places.append(at)
    return places


def _wrapped(name: str, width: int) -> str:
    return "<br>".join(textwrap.wrap(name, width))


def _headings(
    figure: go.Figure, style: Style, rows: Sequence[Heading], columns: Sequence[Heading],
    heads: Sequence[str], xs: Sequence[float], ys: Sequence[float], left_in: float, corner: str,
) -> None:  # fmt: skip
    plain = {"showarrow": False, "borderpad": 0}
    top = {"yref": "paper", "y": 1, "yshift": 3, "yanchor": "bottom"}
    side = {"xref": "paper", "x": 0, "xshift": -5, "xanchor": "right", "align": "right"}
    for head, text, x in zip(columns, heads, xs, strict=True):
        grey = f"<br><span style='color:{MUTED}'>{head.small}</span>" if head.small else ""
        figure.add_annotation(text=text + grey, x=x, align="center", **top, **plain)
    for head, y in zip(rows, ys, strict=True):
        text = _wrapped(style.name(head.name), int(left_in * 72 / (0.5 * style.points)))
        grey = f"<br><span style='color:{MUTED}'>{head.small}</span>" if head.small else ""
        figure.add_annotation(text=text + grey, y=y, **side, **plain)
    figure.add_annotation(text=corner, font={"color": MUTED}, **(top | side), **plain)


def _draw(figure: go.Figure, style: Style, cell: GridCell, x: float, y: float, cell_in: float) -> None:
    edge = {"color": INK, "width": 1.5} if cell.outlined else {"width": 0}
    box = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.47, "y1": y + 0.47}
    figure.add_shape(type="rect", line=edge, layer="below", fillcolor=diverging(cell.shade), **box)
    dark = abs(cell.shade) > 0.52
    if cell.cornered:
        a, b = 0.48 - 0.09 * CELL_IN / cell_in, 0.47 - 0.09
        path = f"M{x - 0.48},{y - 0.47} L{x - a},{y - 0.47} L{x - 0.48},{y - b} Z"
        figure.add_shape(type="path", path=path, line={"width": 0}, fillcolor="white" if dark else INK)
    text = f"<b>{cell.text}</b>"
    if cell.small:
        size = min(points(style.points - 2), inches(cell_in) / len(cell.small) * 1.75)
        text += f"<br><span style='font-size:{size:.1f}px'>{cell.small}</span>"
    font = {"size": points(style.points), "color": "white" if dark else INK}
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, font=font, borderpad=0)


def diverging(shade: float) -> str:
    """Mix a colour: white at 0, full orange at -1, full purple at 1.

    >>> diverging(0.0), diverging(1.0)
    ('rgb(255,255,255)', 'rgb(84,39,136)')
    """
    end, weight = (_BELOW if shade < 0 else _ABOVE), min(1.0, abs(shade))
    return "rgb(" + ",".join(f"{255 + (channel - 255) * weight:.0f}" for channel in end) + ")"
