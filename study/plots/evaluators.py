"""Every evaluator for itself: wrong before against wrong after, with the paired test over evaluators."""

from __future__ import annotations

import plotly.graph_objects as go

from rlhf.diagnostics.individuals import PairedTest
from rlhf.diagnostics.measures import Measures
from study.plots.rlhf_style import color_of
from study.plots.style import MINUS, MUTED, Style, page, panel_spans, panel_title, points, tint

_MARGIN_IN = {"l": 0.46, "r": 0.2, "t": 0.22, "b": 0.38}
_PANEL_IN = 1.22
_TICKS = {"range": [-0.03, 1.03], "tickvals": [0, 0.5, 1], "ticktext": ["0", "50%", "100%"]}


def evaluators_figure(before: Measures, after: Measures, style: Style | None = None) -> go.Figure:
    """Draw one dot per evaluator: its error and its false positives, before and after. Column width.

    Above the diagonal the evaluator was misled more often after training.

    Raises:
        ValueError: the two were judged by different people, or `after` was not compared with `before`.
    """
    if after.against is None or [i.name for i in before.individuals] != [i.name for i in after.individuals]:
        raise ValueError(f"{after.organism} was not compared with {before.organism} by the same evaluators")
    style = style or Style()
    height_in = _PANEL_IN + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.column_in, height_in=height_in, margin_in=_MARGIN_IN)
    spans = panel_spans(2, space=0.12)
    panels = [
        ("Judged wrongly", "error", after.against.evaluation_error),
        ("Wrong, yet approved", "false_positives", after.against.false_positives),
    ]
    for i, ((title, field, test), span) in enumerate(zip(panels, spans, strict=True)):
        suffix = str(i + 1) if i else ""
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "title": {"text": "before"}}
                | _TICKS,
                f"yaxis{suffix}": {"anchor": f"x{suffix}"}
                | _TICKS
                | ({"title": {"text": "after"}} if i == 0 else {"showticklabels": False}),
            }
        )
        line = {"color": MUTED, "width": 0.75, "dash": "dot"}
        refs = {"xref": f"x{suffix}", "yref": f"y{suffix}"}
        figure.add_shape(type="line", x0=0, x1=1, y0=0, y1=1, line=line, layer="below", **refs)
        pairs = [
            (getattr(b, field), getattr(a, field), a.name)
            for b, a in zip(before.individuals, after.individuals, strict=True)
            if getattr(b, field) is not None and getattr(a, field) is not None
        ]
        color = color_of(after, style)
        figure.add_scatter(
            x=[p[0] for p in pairs], y=[p[1] for p in pairs], text=[p[2] for p in pairs], mode="markers",
            marker={"color": tint(color, 0.6), "size": 5.5, "line": {"color": color, "width": 0.75}},
            hovertemplate="%{text}: %{x:.0%} before, %{y:.0%} after<extra></extra>", cliponaxis=False, **axes,
        )  # fmt: skip
        panel_title(figure, style, title, span[0])
        if test is not None:
            figure.add_annotation(
                text=_summary(test), xref=f"x{suffix}", yref=f"y{suffix}", x=1.03, y=-0.01,
                xanchor="right", yanchor="bottom", showarrow=False, align="right", borderpad=0,
                font={"size": points(style.points - 1.5), "color": MUTED},
            )  # fmt: skip
    return figure


def _summary(test: PairedTest) -> str:
    change = f"{100 * test.change.value:+.1f} points".replace("-", MINUS)
    if test.p is None:
        return f"{change}<br>{test.rose:.0%} rose"
    p = "p < .001" if test.p < 0.001 else f"p = {test.p:.3f}".replace("0.", ".", 1)
    return f"{change}<br>{test.rose:.0%} rose<br>{p}"
