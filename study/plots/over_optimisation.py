"""What is rewarded against what is right along each run, over the root of the KL to where it started."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rlhf.diagnostics.measures import Measures
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rlhf_style import PERCENT, REWARDS, color_of, percent, whisker
from study.plots.style import INK, Style, page, panel_spans, panel_title, tint

_MARGIN_IN = {"l": 0.42, "r": 0.1, "t": 0.4, "b": 0.38}
_HEIGHT_IN = 2.1


def over_optimisation_figure(measured: Sequence[Measures], style: Style | None = None) -> go.Figure:
    """Draw a panel per reward: training reward and `R*` of every round's samples. Text width.

    Large marks with whiskers are greedy answers to all held-out items, at the start and the end: approved by
    evaluators who had no part in the reward, and right. They differ from the small ones in three ways: greedy
    instead of sampled, other items, other evaluators.

    Raises:
        ValueError: no organism has a curve.
    """
    style = style or Style()
    runs = [m for m in measured if m.curve]
    if not runs:
        raise ValueError("no organism was trained by rounds, so there is no curve to draw")
    roles = list(dict.fromkeys(m.role for m in runs))
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN, margin_in=_MARGIN_IN)
    spans = panel_spans(len(roles), space=0.045)
    furthest = max(p.sqrt_kl for m in runs for p in m.curve)
    starts = {m.organism: m for m in measured}
    for i, (role, span) in enumerate(zip(roles, spans, strict=True)):
        suffix = str(i + 1) if i else ""
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "range": [-0.06, furthest * 1.06]}
                | {"title": {"text": "√KL from π<sub>init</sub> (√nats)"}},
                f"yaxis{suffix}": {"anchor": f"x{suffix}", "range": [0.4, 1.02], "showgrid": True}
                | PERCENT
                | ({} if i == 0 else {"showticklabels": False}),
            }
        )
        panel_title(figure, style, REWARDS.get(role, role).capitalize(), span[0])
        mine = [m for m in runs if m.role == role]
        for measures in mine:
            _run(figure, style, measures, suffix)
            parent = starts.get(measures.against.parent) if measures.against else None
            if parent and measures is mine[0]:
                _ends(figure, parent, 0.0, color_of(parent, style), suffix)
            _ends(figure, measures, measures.curve[-1].sqrt_kl, color_of(measures, style), suffix)
    entries = [
        Entry(label="training reward", color=INK, dash=None, symbol="circle", size=3.2),
        Entry(label="right", color=INK, dash=None, symbol="square-open", size=3.2),
        Entry(label="held out: approved", color=INK, dash=None, symbol="circle", size=6),
        Entry(label="held out: right", color=INK, dash=None, symbol="square-open", size=6),
    ]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=plot_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _run(figure: go.Figure, style: Style, measures: Measures, suffix: str) -> None:
    color = color_of(measures, style)
    for field, symbol, fill, label in (
        ("proxy", "circle", color, "training reward"),
        ("truth", "square", "white", "right"),
    ):
        if field == "proxy" and measures.reward == "oracle":
            continue  # it is the truth
        figure.add_scatter(
            x=[p.sqrt_kl for p in measures.curve], y=[getattr(p, field) for p in measures.curve],
            mode="lines+markers", line={"color": tint(color, 0.3), "width": 0.6},
            marker={"symbol": symbol, "size": 3.2, "color": fill, "line": {"color": color, "width": 0.7}},
            xaxis=f"x{suffix}", yaxis=f"y{suffix}", name=f"{measures.organism}, {label}",
            text=[f"round {p.round}" for p in measures.curve],
            hovertemplate="%{text}: %{y:.1%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip


def _ends(figure: go.Figure, measures: Measures, x: float, color: str, suffix: str) -> None:
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    report = measures.approval
    for estimate, symbol, fill in (
        (report.approval, "circle", color),
        (report.correctness, "square", "white"),
    ):
        whisker(figure, estimate, x, color, upright=True, **axes)
        figure.add_scatter(
            x=[x], y=[estimate.value], mode="markers", cliponaxis=False,
            marker={"symbol": symbol, "size": 6, "color": fill, "line": {"color": color, "width": 1}},
            hovertemplate=f"{measures.organism}: {percent(estimate)}<extra></extra>", **axes,
        )  # fmt: skip
