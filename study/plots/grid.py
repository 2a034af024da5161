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
_LETTER, _TURNED = 0.56, 16  # mean width of a letter in ems; letters of a line that is turned
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
    letter_in = _LETTER * style.points / 72
    names = [style.name(head.name) for head in columns]
    turned = max(len(word) for name in names for word in name.split()) * letter_in > cell_in
    heads = [_wrapped(name, _TURNED if turned else int(cell_in / letter_in)) for name in names]
    lines = [text.split("<br>") for text in heads]
    heads_in = max(len(line) for text in lines for line in text) * letter_in if turned else (
        _LINE_IN * max(len(text) for text in lines)
    )  # fmt: skip
    counts_in = _LINE_IN * any(head.small for head in columns)
    top_in = _TOP_IN + heads_in + counts_in
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
    _columns(figure, columns, heads, xs, counts_in=counts_in, turned=turned)
    _rows(figure, style, rows, ys, left_in, corner)
    return figure


def _places(headings: Sequence[Heading]) -> list[float]:
    places, at, block = [], -1.0, headings[0].block
    for heading in headings:
        at += 1 + (GAP if heading.block != block else 0)
        block = heading.block
        places.append(at)
    return places


def _wrapped(name: str, width: int) -> str:
    """Break a name between words only."""
    return "<br>".join(textwrap.wrap(name, max(width, 1), break_long_words=False, break_on_hyphens=False))


def _columns(
    figure: go.Figure, columns: Sequence[Heading], heads: Sequence[str], xs: Sequence[float], *,
    counts_in: float, turned: bool,
) -> None:  # fmt: skip
    """Names above their columns, upright where every word fits, else turned; counts are always upright."""
    common = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "borderpad": 0}
    how = {"textangle": -90, "align": "left"} if turned else {"align": "center"}
    for head, text, x in zip(columns, heads, xs, strict=True):
        figure.add_annotation(text=text, x=x, yshift=3 + inches(counts_in), **how, **common)
        if head.small:
            figure.add_annotation(text=head.small, x=x, yshift=3, font={"color": MUTED}, **common)


def _rows(
    figure: go.Figure, style: Style, rows: Sequence[Heading], ys: Sequence[float], left_in: float, corner: str
) -> None:
    side = {"xref": "paper", "x": 0, "xshift": -5, "xanchor": "right", "align": "right"}
    plain = {"showarrow": False, "borderpad": 0}
    for head, y in zip(rows, ys, strict=True):
        text = _wrapped(style.name(head.name), int(left_in * 72 / (0.5 * style.points)))
        grey = f"<br><span style='color:{MUTED}'>{head.small}</span>" if head.small else ""
        figure.add_annotation(text=text + grey, y=y, **side, **plain)
    above = {"yref": "paper", "y": 1, "yshift": 3, "yanchor": "bottom", "font": {"color": MUTED}}
    figure.add_annotation(text=corner, **above, **side, **plain)


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
