"""How sure evaluators are of wrong and of right answers, before and after: the whole scale."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rlhf.diagnostics.measures import Measures
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rlhf_style import PERCENT, color_of, label_of, percent, solid
from study.plots.style import Style, page, panel_spans, panel_title

_MARGIN_IN = {"l": 0.5, "r": 0.06, "t": 0.4, "b": 0.38}
_HEIGHT_IN = 2.0
_GROUP = 0.8  # of the space of a step that its bars fill


def confidence_figure(before: Measures, after: Sequence[Measures], style: Style | None = None) -> go.Figure:
    """Draw the shares of judgements at each confidence, of wrong and of right answers. Text width.

    Whiskers are 95 % intervals over items. Above 50 the evaluator approves.
    """
    style = style or Style()
    shown = [before, *after]
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN, margin_in=_MARGIN_IN)
    figure.update_layout(barmode="overlay")
    spans = panel_spans(2, space=0.06)
    for i, (side, span) in enumerate(zip(("wrong", "right"), spans, strict=True)):
        suffix = str(i + 1) if i else ""
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "range": [-0.6, 4.6]}
                | {"title": {"text": "evaluator's confidence that the answer is right"}, "ticklen": 0}
                | {"tickvals": list(range(5)), "ticktext": [f"{s}%" for s in before.confidences.steps]},
                f"yaxis{suffix}": {"anchor": f"x{suffix}", "range": [0, 1.02], "showgrid": True}
                | PERCENT
                | ({"title": {"text": "share of judgements"}} if i == 0 else {"showticklabels": False}),
            }
        )
        counts = [getattr(m.confidences, side) for m in shown]
        totals = " and ".join(str(found[0].n) if found else "0" for found in counts)
        panel_title(figure, style, f"{side.capitalize()} answers ({totals})", span[0])
        for number, measures in enumerate(shown):
            _bars(figure, style, measures, side, number, shown, suffix)
        line = {"color": "#999999", "width": 0.75, "dash": "dot"}
        refs = {"xref": f"x{suffix}", "yref": f"y{suffix} domain"}
        figure.add_shape(type="line", x0=2.5, x1=2.5, y0=0, y1=1, line=line, layer="below", **refs)
    entries = [
        Entry(label=_plain(m), color=_fill(m, style), dash=None, symbol="box", size=8.0) for m in shown
    ]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=plot_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _plain(measures: Measures) -> str:
    words = {"pi_init": "before RLHF", "pi_rlhf": "after RLHF on approval"}
    return words.get(measures.role, measures.organism)


def _fill(measures: Measures, style: Style) -> str:
    return solid(color_of(measures, style), 0.45 if measures.role == "pi_init" else 0.8)


def _bars(
    figure: go.Figure,
    style: Style,
    measures: Measures,
    side: str,
    number: int,
    shown: Sequence[Measures],
    suffix: str,
) -> None:
    found = getattr(measures.confidences, side) or ()
    estimates = {step: estimate for step, estimate in enumerate(found) if estimate.high > 0}
    width = _GROUP / len(shown)
    color = color_of(measures, style)
    figure.add_bar(
        x=[step - _GROUP / 2 + (number + 0.5) * width for step in estimates],
        y=[e.value for e in estimates.values()],
        width=width * 0.92,
        marker={"color": _fill(measures, style), "line": {"width": 0}},
        error_y={
            "type": "data", "symmetric": False, "thickness": 0.9, "width": 1.5, "color": color,
            "array": [e.high - e.value for e in estimates.values()],
            "arrayminus": [e.value - e.low for e in estimates.values()],
        },
        name=label_of(measures, style, shown),
        customdata=[percent(e) for e in estimates.values()],
        hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        xaxis=f"x{suffix}", yaxis=f"y{suffix}",
    )  # fmt: skip
