"""Text and weights apart: a probe at home, and where only the weights, only the text, or both change."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from study.matrix import MatrixResult, ReadCell
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rows import interval_mark, row_text
from study.plots.style import (
    AUROC_TICKS,
    INK,
    MUTED,
    OKABE_ITO,
    Style,
    auroc_floor,
    chance_line,
    inches,
    interval,
    number,
    page,
)

__all__ = ["Crossing", "crossings", "same_text_figure"]

_MARGIN_IN = {"l": 1.5, "r": 0.34, "t": 0.24, "b": 0.38}
_ROW_IN, _GAP_IN = 0.18, 0.08


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A source and a target of which at least one reads the other's answers."""

    source: str
    target: str
    rows: tuple[tuple[str, ReadCell], ...]
    """What is changed, in words -> the cell."""


def crossings(result: MatrixResult) -> list[Crossing]:
    """List pairs of models: probes are fitted on the first, and one of the two reads the other's answers."""
    cells = {(c.fitted_on, c.scored_on): c for c in result.of_reading(*result.readings[0])}
    by_parts = {(m.reader, m.answers): m.name for m in result.models}
    found = []
    for source in dict.fromkeys(fitted for fitted, _ in cells):
        others = {m.reader for m in result.models if m.answers == source}
        others |= {m.answers for m in result.models if m.reader == source}
        for target in [m.name for m in result.models if m.name in others - {source}]:
            ways = {
                "nothing": (source, source),
                "the weights": (target, source),
                "the text": (source, target),
                "both": (target, target),
            }
            rows = [
                (words, cells[source, by_parts[parts]])
                for words, parts in ways.items()
                if parts in by_parts and (source, by_parts[parts]) in cells
            ]
            if len(rows) > 2:
                found.append(Crossing(source=source, target=target, rows=tuple(rows)))
    return found


def same_text_figure(result: MatrixResult, style: Style | None = None) -> go.Figure:
    """Draw the source's probe on the four combinations of weights and text. Column width.

    Hollow: the same family fitted in that combination itself. Needs a crossing (`crossings`).

    Raises:
        ValueError: no model reads another's answers.
    """
    style = style or Style()
    found = crossings(result)
    if not found:
        raise ValueError("no model of this study reads another's answers")
    height_in = sum(_ROW_IN * (len(c.rows) + 1) + _GAP_IN for c in found) - _GAP_IN
    total_in = height_in + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.column_in, height_in=total_in, margin_in=_MARGIN_IN)
    chance_line(figure, upright=True)
    y, shown = 0.0, []
    for crossing in found:
        y -= _ROW_IN
        title = f"<b>{style.name(crossing.source)}</b> → <b>{style.name(crossing.target)}</b>"
        left = -inches(_MARGIN_IN["l"] - 0.02)
        figure.add_annotation(  # on white, over the line of chance
            text=title, xref="paper", x=0, xshift=left, xanchor="left", y=y + _ROW_IN / 2, yanchor="middle",
            showarrow=False, bgcolor="white", borderpad=0,
        )  # fmt: skip
        for words, cell in crossing.rows:
            y -= _ROW_IN
            shown += [cell.auroc, *([cell.ceiling] if cell.ceiling else [])]
            _row(figure, style, words, cell, y + _ROW_IN / 2)
        y -= _GAP_IN
    low = auroc_floor(shown, floor=0.4)
    figure.update_xaxes(range=[low, 1.005], title_text="AUROC of the source's probe", **AUROC_TICKS)
    figure.update_yaxes(range=[-height_in, 0], visible=False)
    entries = [
        Entry(label="source probe, frozen", color=OKABE_ITO["blue"], dash=None, symbol="square"),
        Entry(label="fitted there", color=MUTED, dash=None, symbol="triangle-up-open"),
    ]
    left_in = 0.2 - _MARGIN_IN["l"]
    add_legend(
        figure, style, entries, width_in=style.column_in, left_in=left_in,
        above_in=_MARGIN_IN["t"] - ROW_IN / 2,
    )  # fmt: skip
    return figure


def _row(figure: go.Figure, style: Style, words: str, cell: ReadCell, y: float) -> None:
    text = "held-out, nothing changes" if words == "nothing" else f"changes {words}"
    row_text(figure, style, text, y, left_in=_MARGIN_IN["l"] - 0.12)
    color = OKABE_ITO["vermillion"] if cell.held_out else OKABE_ITO["blue"]
    if cell.ceiling is not None and cell.ceiling.value is not None:
        marker = {"symbol": "triangle-up", "size": 6.5, "color": "white"}
        marker |= {"line": {"width": 1, "color": MUTED}}
        interval_mark(
            figure, cell.ceiling.value, (None, None), y, color=MUTED, marker=marker, label="fitted there",
            hover=f"fitted there {interval(cell.ceiling, 3)}",
        )  # fmt: skip
    if cell.auroc.value is None:
        return
    interval_mark(
        figure, cell.auroc.value, (cell.auroc.low, cell.auroc.high), y, color=color, width=1.1,
        marker={"symbol": "square", "size": 6, "color": color}, label=text,
        hover=f"{text}: {interval(cell.auroc, 3)}",
    )  # fmt: skip
    figure.add_annotation(
        text=number(cell.auroc.value), x=1, xref="paper", xanchor="right", xshift=30, y=y, yanchor="middle",
        showarrow=False, font={"color": INK}, borderpad=0,
    )  # fmt: skip
