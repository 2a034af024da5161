"""Asked again out of role: does the model know what it answered wrongly?"""

from __future__ import annotations

import plotly.graph_objects as go

from rlhf.diagnostics.estimates import Estimate
from rlhf.diagnostics.knowledge import COIN, KnowledgeReport, Known
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rlhf_style import PERCENT, percent, solid
from study.plots.style import INK, OKABE_ITO, Style, inches, page, points

_MARGIN_IN = {"l": 1.62, "r": 0.22, "t": 0.3, "b": 0.36}
_ROW_IN = 0.22
_PARTS = {
    "right": ("right option, both orders", solid(OKABE_ITO["green"], 0.75)),
    "by_place": ("same place", solid("#555555", 0.3)),
    "wrong": ("wrong option, both orders", solid(OKABE_ITO["vermillion"], 0.75)),
}


def knowledge_figure(report: KnowledgeReport, style: Style | None = None) -> go.Figure:
    """Draw what the model and the one before pick when asked out of role, and what a coin picks. Text width.

    Whiskers are 95 % intervals of the share that is known.
    """
    style = style or Style()
    after, before = "π<sub>rlhf</sub>", "π<sub>init</sub>"
    rows: list[tuple[str, Known | None]] = [
        (f"{after}, wrong in role", report.wrong),
        (f"{before}, the same items", report.wrong_parent),
        (f"{after}, right in role", report.right),
        (f"{before}, the same items", report.right_parent),
    ]
    shown = [(name, known) for name, known in rows if known is not None]
    height_in = _ROW_IN * (len(shown) + 1) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.text_in, height_in=height_in, margin_in=_MARGIN_IN)
    figure.update_layout(
        barmode="overlay",
        xaxis={"range": [0, 1], "title": {"text": "share of items"}} | PERCENT,
        yaxis={"range": [len(shown) + 0.5, -0.5], "visible": False},
    )
    for row, (name, known) in enumerate(shown):
        parts = {part: getattr(known, part) for part in _PARTS}
        _bar(figure, style, f"{name} ({known.items})", row, parts)
    _bar(figure, style, "a coin", len(shown), COIN)
    entries = [Entry(label=label, color=c, dash=None, symbol="box", size=8.0) for label, c in _PARTS.values()]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=plot_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _bar(
    figure: go.Figure, style: Style, name: str, row: int, parts: dict[str, Estimate] | dict[str, float]
) -> None:
    start = 0.0
    for part, (label, color) in _PARTS.items():
        found = parts[part]
        value = found.value if isinstance(found, Estimate) else found
        said = percent(found) if isinstance(found, Estimate) else f"{value:.0%}"
        figure.add_bar(
            x=[value], base=[start], y=[row], orientation="h", width=0.66, marker={"color": color},
            hovertemplate=f"{name}, {label}: {said}<extra></extra>",
        )  # fmt: skip
        start += value
    known = parts["right"]
    if isinstance(known, Estimate):
        line = {"color": INK, "width": 1}
        figure.add_scatter(x=[known.low, known.high], y=[row, row], mode="lines", line=line, hoverinfo="skip")
    figure.add_annotation(
        text=name, xref="paper", x=0, xshift=-inches(_MARGIN_IN["l"] - 0.04), xanchor="left", yref="y", y=row,
        yanchor="middle", showarrow=False, borderpad=0, font={"size": points(style.points)},
    )  # fmt: skip
