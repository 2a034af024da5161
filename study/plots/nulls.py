"""Null histograms: what chance alone reaches when one may search as widely as the reported number did."""

from __future__ import annotations

import plotly.graph_objects as go

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import NullSummary, TransferResult
from study.plots.style import AUROC_TICKS, INK, MUTED, Style, number, page, points, tint

_MARGIN_IN = {"l": 0.42, "r": 0.1, "t": 0.06, "b": 0.36}
_PANEL_IN, _TITLE_IN = 0.7, 0.44


def nulls_figure(result: TransferResult, style: Style | None = None, target: str | None = None) -> go.Figure:
    """Draw the null of the best-over-grid numbers and of random directions on `target`. Column width.

    The line is the observed value, the shaded tail what lies at or above it; p counts the observed value
    among the draws.
    """
    style = style or Style()
    target = target or style.domains(result, DomainRole.TARGET)[0].name
    color = style.color(result, target)
    nulls = _nulls(result, target)
    panels = len(nulls)
    height_in = panels * (_PANEL_IN + _TITLE_IN) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.column_in, height_in=height_in, margin_in=_MARGIN_IN)
    plot_in = panels * (_PANEL_IN + _TITLE_IN) or 1.0
    ends = [x for _, n in nulls for x in (n.edges[0], n.edges[-1], n.observed)] or [0.0, 1.0]
    pad = 0.04 * (max(ends) - min(ends))
    for i, (title, null) in enumerate(nulls):
        suffix = str(i + 1) if i else ""
        top = 1 - (i * (_PANEL_IN + _TITLE_IN) + _TITLE_IN) / plot_in
        domain = [max(0.0, top - _PANEL_IN / plot_in), top]
        x_axis = {"anchor": f"y{suffix}", "range": [min(ends) - pad, max(ends) + pad], **AUROC_TICKS}
        x_axis |= {"showticklabels": i == panels - 1, "title": {"text": "AUROC" if i == panels - 1 else ""}}
        figure.update_layout(
            {
                f"xaxis{suffix}": x_axis,
                f"yaxis{suffix}": {
                    "domain": domain,
                    "anchor": f"x{suffix}",
                    "nticks": 3,
                    "rangemode": "tozero",
                },
            }
        )
        _panel(figure, style, null, title, color, suffix, top)
    return figure


def _nulls(result: TransferResult, target: str) -> list[tuple[str, NullSummary]]:
    words = {Design.D4A: "source probe, best cell here", Design.D4B: "fitted here, best cell here"}
    found = [
        (words.get(e.design, e.design), e.null)
        for e in result.evaluations
        if e.scored_on == target and e.probe == result.headline_probe and e.null
    ]
    controls = [c for c in result.controls if c.scored_on == target and c.null]
    return found + [(f"frozen probe, {c.name}", c.null) for c in controls if c.null]


def _panel(
    figure: go.Figure, style: Style, null: NullSummary, title: str, color: str, suffix: str, top: float
) -> None:
    middles = [(a + b) / 2 for a, b in zip(null.edges, null.edges[1:], strict=False)]
    widths = [b - a for a, b in zip(null.edges, null.edges[1:], strict=False)]
    shades = [tint(color, 0.9 if middle >= null.observed else 0.3) for middle in middles]
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    figure.add_bar(
        x=middles, y=null.counts, width=widths, marker={"color": shades, "line": {"width": 0}}, name=title,
        hovertemplate="AUROC %{x:.3f}: %{y} draws<extra></extra>", **axes,
    )  # fmt: skip
    refs = {"xref": f"x{suffix}", "yref": f"y{suffix} domain"}
    line = {"color": INK, "width": 1.25}
    figure.add_shape(type="line", x0=null.observed, x1=null.observed, y0=0, y1=1, line=line, **refs)
    p = "" if null.p_value is None else f", p {_p(null.p_value)}"
    words = f"<b>{title}</b> {number(null.observed)}{p}"
    small = f"<span style='font-size:{points(style.points - 1.5):.1f}px;color:{MUTED}'>"
    words += f"<br>{small}{null.n_draws} draws: {null.name}</span>"
    figure.add_annotation(
        text=words, xref="paper", yref="paper", x=0, y=top, xanchor="left", yanchor="bottom", yshift=1,
        align="left", showarrow=False, borderpad=0,
    )  # fmt: skip


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"= {number(value, 3)}"
