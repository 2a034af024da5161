"""The paper's Figure 8 in our numbers: a probe finds planted sophistry; does it find what RLHF taught?

The paper shows two bars, each the best AUROC of a whole search on the answers it is reported for. They are
drawn hollow, and each stands beside the number that was chosen without those answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import Estimate, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    CHANCE,
    INK,
    MUTED,
    OKABE_ITO,
    Style,
    interval,
    note,
    number,
    page,
    points,
)

__all__ = ["figure8"]

_MARGIN_IN = {"l": 0.44, "r": 0.06, "t": 0.08, "b": 0.58}
_HEIGHT_IN = 1.75
_SEARCH = "best of the search on these answers"
_COLORS = {
    _SEARCH: MUTED,
    "held-out": OKABE_ITO["vermillion"],
    "source probe, frozen": OKABE_ITO["blue"],
    "fitted here, held-out": OKABE_ITO["green"],
}


@dataclass(frozen=True, kw_only=True)
class _Bar:
    label: str
    auroc: Estimate
    chance: float | None = None
    """What the best of such a search reaches by luck, in 95 of 100 cases."""


def figure8(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw AUROC bars for the source and every target, from one half. Column width.

    Hollow bars are the best cell of the grid on the very answers that are shown, as in the paper; their ticks
    are what luck reaches. Needs evaluations of `result.headline_probe`.
    """
    style = style or Style()
    groups = [(d.name, _bars(result, d.name)) for d in _shown(result, style)]
    labels = dict.fromkeys(bar.label for _, bars in groups for bar in bars)
    legend = [
        Entry(label=label, color=_COLORS[label], dash=None, symbol="box", size=7.0)
        if label != _SEARCH
        else Entry(label=label, color=_COLORS[label], dash=None, symbol="square-open", size=7.0)
        for label in labels
    ]
    width_in = style.column_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(legend, style, width_in) + 0.04
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    height_in = _HEIGHT_IN + margin_in["t"] + margin_in["b"]
    figure = page(style, width_in=style.column_in, height_in=height_in, margin_in=margin_in)
    add_legend(figure, style, legend, width_in=width_in, above_in=legend_in + 0.04 - ROW_IN / 2)
    x, ticks = 0.0, []
    low = 1.0
    for name, bars in groups:
        ticks.append((x + (len(bars) - 1) / 2, _name(result, style, name)))
        for at, bar in enumerate(bars):
            _draw(figure, style, bar, x + at)
            low = min(low, bar.auroc.low or bar.auroc.value or 1.0)
        x += len(bars) + 0.8
    figure.update_xaxes(
        range=[-0.7, x - 1.1], tickvals=[at for at, _ in ticks], ticktext=[t for _, t in ticks], ticks=""
    )
    ticks_at = [i / 10 for i in range(11)]
    figure.update_yaxes(
        range=[min(0.4, int(low * 10) / 10), 1.06], title_text="AUROC", showgrid=True, tickvals=ticks_at,
        ticktext=[number(t, 1) if 0 < t < 1 else str(int(t)) for t in ticks_at],
    )  # fmt: skip
    line = {"color": INK, "width": 0.75}
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=CHANCE, y1=CHANCE, line=line)
    text = "hollow: chosen on the answers shown, as in the paper;<br>tick: 95 % of what luck reaches so"
    note(figure, style, text, left_in=_MARGIN_IN["l"] - 0.02, below_in=0.34)
    return figure


def _shown(result: TransferResult, style: Style) -> Sequence:
    return style.domains(result, DomainRole.SOURCE) + style.domains(result, DomainRole.TARGET)


def _name(result: TransferResult, style: Style, name: str) -> str:
    sample = next(d.sample for d in result.domains if d.name == name)
    counts = f"{sample.n_positive} | {sample.n_negative}"
    return f"{style.name(name)}<br><span style='color:{MUTED}'>{counts}</span>"


def _bars(result: TransferResult, name: str) -> list[_Bar]:
    here = {
        e.design: e for e in result.evaluations if e.scored_on == name and e.probe == result.headline_probe
    }
    bars = []
    if name == result.source:
        chosen = next((s for s in result.selection if s["probe"] == result.headline_probe), None)
        if chosen is not None:
            bars.append(_Bar(label=_SEARCH, auroc=Estimate(value=float(chosen["auroc"]))))
        bars.append(_Bar(label="held-out", auroc=here[Design.SOURCE].auroc))
        return bars
    for design in (Design.D4A,):
        if (best := here.get(design)) is not None:
            chance = best.null.quantile95 if best.null else None
            bars.append(_Bar(label=_SEARCH, auroc=best.auroc, chance=chance))
    for design, label in ((Design.D1, "source probe, frozen"), (Design.D2, "fitted here, held-out")):
        if design in here:
            bars.append(_Bar(label=label, auroc=here[design].auroc))
    return bars


def _draw(figure: go.Figure, style: Style, bar: _Bar, x: float) -> None:
    value, color = bar.auroc.value, _COLORS[bar.label]
    if value is None:
        return
    hollow = bar.label == _SEARCH
    figure.add_bar(
        x=[x], y=[value - CHANCE], base=[CHANCE], width=[0.82], name=bar.label,
        marker={"color": "white" if hollow else color, "line": {"color": color, "width": 1.1 * hollow}},
        hovertemplate=f"{bar.label}: {interval(bar.auroc, 3)}<extra></extra>",
    )  # fmt: skip
    top = value
    if bar.auroc.low is not None and bar.auroc.high is not None:
        line = {"color": INK, "width": 1}
        ends = [bar.auroc.low, bar.auroc.high]
        figure.add_scatter(x=[x, x], y=ends, mode="lines", line=line, hoverinfo="skip")
        top = max(top, bar.auroc.high)
    if bar.chance is not None:
        line = {"color": INK, "width": 1.25}
        level = [bar.chance, bar.chance]
        figure.add_scatter(x=[x - 0.3, x + 0.3], y=level, mode="lines", line=line, hoverinfo="skip")
        top = max(top, bar.chance)
    figure.add_annotation(
        x=x, y=top, text=number(value), showarrow=False, yanchor="bottom", yshift=1, borderpad=0,
        font={"size": points(style.points - 0.5)},
    )  # fmt: skip
