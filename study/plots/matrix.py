"""The transfer matrix: fitted in one model (rows), scored in another (columns)."""

from __future__ import annotations

import textwrap

import plotly.graph_objects as go

from probes.evaluation.results import MatrixCell, TransferResult
from study.plots.style import CHANCE, INK, MUTED, Style, inches, number, page, points

_MARGIN_IN = {"l": 0.95, "r": 0.02, "t": 0.72, "b": 0.02}
_CELL_IN = 0.42
_BELOW, _ABOVE = (179, 88, 6), (84, 39, 136)  # the ends of ColorBrewer's PuOr


def matrix_figure(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw AUROC, interval and class counts of every pair of models. Column width, wider for many models.

    Colours diverge from chance; the diagonal is cross-fitted by group; cells whose whole interval lies
    below chance are outlined.
    """
    style = style or Style()
    cells = [c for c in result.matrix if c.probe == result.headline_probe]
    listed = style.source_first(result)
    rows = [d.name for d in listed if any(c.fitted_on == d.name for c in cells)]
    columns = [d.name for d in listed if any(c.scored_on == d.name for c in cells)]
    width_in = style.column_in if len(columns) <= 5 else style.text_in
    plot_in = width_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    height_in = _CELL_IN * len(rows) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=width_in, height_in=height_in, margin_in=_MARGIN_IN)
    at = {(c.fitted_on, c.scored_on): c for c in cells}
    grid = [[at.get((row, column)) for column in columns] for row in rows]
    figure.add_heatmap(  # carries the numbers and the hover text; the visible cells are crisp shapes
        z=[[c.auroc.value if c else None for c in line] for line in grid],
        customdata=[[_hover(c, style) if c else "" for c in line] for line in grid],
        opacity=0,
        showscale=False,
        hovertemplate="%{customdata}<extra></extra>",
    )
    for i, line in enumerate(grid):
        for j, cell in enumerate(line):
            if cell:
                _draw(figure, style, cell, j, i, cell_in=plot_in / len(columns))
    hidden = {"showline": False, "ticks": "", "showticklabels": False}
    figure.update_xaxes(range=[-0.5, len(columns) - 0.5], **hidden)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], **hidden)
    _headers(figure, result, style, rows, columns, upright=_fits(style, columns, plot_in))
    return figure


def _fits(style: Style, columns: list[str], plot_in: float) -> bool:
    """Say whether the wrapped column names fit above their cells without being turned."""
    longest = max(len(line) for name in columns for line in textwrap.wrap(style.name(name), 12))
    return longest * 0.5 * style.points / 72 < 0.95 * plot_in / len(columns)


def _headers(
    figure: go.Figure,
    result: TransferResult,
    style: Style,
    rows: list[str],
    columns: list[str],
    *,
    upright: bool,
) -> None:
    samples = {d.name: d.sample for d in result.domains}
    plain = {"showarrow": False, "borderpad": 0}
    for j, name in enumerate(columns):
        counts = f"{samples[name].n_positive} | {samples[name].n_negative}"
        text = (
            "<br>".join(textwrap.wrap(style.name(name), 12))
            + f"<br><span style='color:{MUTED}'>{counts}</span>"
        )
        figure.add_annotation(
            text=text,
            x=j,
            yref="paper",
            y=1,
            yshift=3,
            yanchor="bottom",
            textangle=0 if upright else -90,
            align="center" if upright else "left",
            **plain,
        )
    for i, name in enumerate(rows):
        text = "<br>".join(textwrap.wrap(style.name(name), 14))
        figure.add_annotation(
            text=text, y=i, xref="paper", x=0, xshift=-5, xanchor="right", align="right", **plain
        )
    figure.add_annotation(
        text="scored on →<br>fitted on ↓", xref="paper", yref="paper", x=0, y=1, xshift=-5, yshift=3,
        xanchor="right", yanchor="bottom", align="right", font={"color": MUTED}, **plain,
    )  # fmt: skip


def _shade(value: float | None) -> str:
    """Mix the colour of an AUROC: white at chance, full orange at 0, full purple at 1."""
    if value is None:
        return "white"
    end = _BELOW if value < CHANCE else _ABOVE
    weight = min(1.0, abs(value - CHANCE) / CHANCE)
    return "rgb(" + ",".join(f"{255 + (channel - 255) * weight:.0f}" for channel in end) + ")"


def _draw(figure: go.Figure, style: Style, cell: MatrixCell, x: int, y: int, *, cell_in: float) -> None:
    value = cell.auroc.value
    edge = {"color": INK, "width": 1.5} if cell.inverted else {"width": 0}
    box = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.47, "y1": y + 0.47, "fillcolor": _shade(value)}
    figure.add_shape(type="rect", line=edge, layer="below", **box)
    text = f"<b>{number(value)}</b>"
    if cell.auroc.low is not None and cell.auroc.high is not None:
        span = f"{number(cell.auroc.low)} to {number(cell.auroc.high)}"
        size = min(points(style.points - 2), inches(cell_in) / len(span) * 1.75)
        text += f"<br><span style='font-size:{size:.1f}px'>{span}</span>"
    font = {"size": points(style.points), "color": "white" if abs((value or 0.5) - 0.5) > 0.26 else INK}
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, font=font, borderpad=0)


def _hover(cell: MatrixCell, style: Style) -> str:
    sample = cell.sample
    counts = f"{sample.n_positive} wrong, {sample.n_negative} right, {sample.n_groups} groups"
    return (
        f"fitted on {style.name(cell.fitted_on)}, scored on {style.name(cell.scored_on)}<br>"
        f"AUROC {number(cell.auroc.value, 3)} [{number(cell.auroc.low, 3)}, {number(cell.auroc.high, 3)}]<br>"
        f"{counts}, layer {cell.layer}" + ("<br>INVERTED" if cell.inverted else "")
    )
