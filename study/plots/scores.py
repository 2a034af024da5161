"""Score histograms by class in the source and in each target, and how probabilities hold up.

The dashed line is the threshold frozen on the source. AUROC compares the two colours' order only; this
figure shows what it hides: shifts that move a threshold, and scores that pile up.
"""

from __future__ import annotations

import plotly.graph_objects as go

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import Evaluation, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.style import (
    BROKEN,
    DESIGNS,
    INK,
    MUTED,
    Style,
    number,
    page,
    panel_spans,
    panel_title,
    points,
    tint,
)

_MARGIN_IN = {"l": 0.5, "r": 0.06, "t": 0.4, "b": 0.36}
_HEIGHT_IN = 2.05


def scores_figure(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw held-out scores on the source, frozen scores on each target, and calibration. Text width.

    Each class is shown as a share of its own rows, so that unequal classes compare. The last panel holds
    the source's Platt probabilities against what happened; the diagonal is perfect.
    """
    style = style or Style()
    shown = _shown(result, style)
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN, margin_in=_MARGIN_IN)
    spans = panel_spans(len(shown) + 1, space=0.055)
    top = max((max(_shares(e, "positive") + _shares(e, "negative")) for e in shown), default=1.0)
    for i, (evaluation, span) in enumerate(zip(shown, spans, strict=False)):
        suffix = str(i + 1) if i else ""
        figure.update_layout(
            {
                f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "title": {"text": "probe score"}},
                f"yaxis{suffix}": {
                    "anchor": f"x{suffix}",
                    "range": [0, top * 1.05],
                    "nticks": 5,
                    "tickformat": ".0%",
                }
                | ({"title": {"text": "share of class"}} if i == 0 else {"showticklabels": False}),
            }
        )
        _histogram(figure, result, style, evaluation, suffix)
        panel_title(figure, style, _title(style, evaluation), span[0])
    _reliability(figure, result, style, shown, spans[-1], str(len(shown) + 1))
    entries = [
        Entry(label="wrong answers", color=tint(INK, 0.55), dash=None, symbol="box", size=8.0),
        Entry(label="right answers", color=tint(INK, 0.18), dash=None, symbol="box", size=8.0),
        Entry(label="threshold frozen on the source (5% false positives)", color=INK, dash=BROKEN[0]),
    ]
    width_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    add_legend(figure, style, entries, width_in=width_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _shown(result: TransferResult, style: Style) -> list[Evaluation]:
    """Pick the source's held-out evaluation and the frozen one of up to two targets."""
    found = {(e.design, e.scored_on): e for e in result.evaluations if e.probe == result.headline_probe}
    keys = [(Design.SOURCE, result.source)]
    keys += [(Design.D1, d.name) for d in style.domains(result, DomainRole.TARGET)[:2]]
    return [found[key] for key in keys if key in found and found[key].histogram]


def _title(style: Style, evaluation: Evaluation) -> str:
    kind = "held-out" if evaluation.design == Design.SOURCE else "frozen"
    return f"{style.name(evaluation.scored_on)}, {kind}"


def _shares(evaluation: Evaluation, side: str) -> list[float]:
    assert evaluation.histogram is not None
    counts = getattr(evaluation.histogram, side)
    total = sum(counts) or 1
    return [count / total for count in counts]


def _histogram(
    figure: go.Figure, result: TransferResult, style: Style, evaluation: Evaluation, suffix: str
) -> None:
    histogram = evaluation.histogram
    assert histogram is not None
    color = style.color(result, evaluation.scored_on)
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    for side, alpha, line in (("negative", 0.2, 0.75), ("positive", 0.55, 0.75)):
        shares = _shares(evaluation, side)
        figure.add_scatter(
            x=[edge for edge in histogram.edges for _ in (0, 1)],
            y=[0.0, *(share for share in shares for _ in (0, 1)), 0.0],
            fill="tozeroy",
            fillcolor=tint(color, alpha),
            line={"color": color, "width": line, "dash": "solid" if side == "positive" else BROKEN[1]},
            mode="lines",
            name={"positive": "wrong answers", "negative": "right answers"}[side],
            hovertemplate="score %{x:.2f}: %{y:.3f}<extra>%{fullData.name}</extra>",
            **axes,
        )
    for point in evaluation.operating_points:
        if abs(point.alpha - 0.05) < 1e-9:
            line = {"color": INK, "width": 1, "dash": BROKEN[0]}
            refs = {"xref": f"x{suffix}", "yref": f"y{suffix} domain"}
            figure.add_shape(
                type="line", x0=point.threshold, x1=point.threshold, y0=0, y1=1, line=line, **refs
            )
            text = f"FPR {number(point.fpr.value)}<br>TPR {number(point.tpr.value)}"
            figure.add_annotation(
                text=text, x=point.threshold, y=1, xanchor="left", yanchor="top", xshift=2, align="left",
                showarrow=False, font={"size": points(style.points - 1.5)}, **refs,
            )  # fmt: skip


def _reliability(
    figure: go.Figure, result: TransferResult, style: Style, shown: list[Evaluation],
    span: tuple[float, float], suffix: str,
) -> None:  # fmt: skip
    ticks = {"range": [-0.02, 1.02], "tickvals": [0, 0.5, 1], "ticktext": ["0", ".5", "1"]}
    figure.update_layout(
        {
            f"xaxis{suffix}": {"domain": span, "anchor": f"y{suffix}", "title": {"text": "predicted"}}
            | ticks,
            f"yaxis{suffix}": {"anchor": f"x{suffix}"} | ticks,
        }
    )
    refs = {"xref": f"x{suffix}", "yref": f"y{suffix}"}
    line = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line=line, **refs)
    for evaluation in shown:
        calibration = evaluation.calibration
        if calibration is None:
            continue
        color = style.color(result, evaluation.scored_on)
        figure.add_scatter(
            x=calibration.predicted,
            y=calibration.observed,
            customdata=calibration.counts,
            mode="lines+markers",
            line={"color": color, "width": 1},
            marker={"color": color, "symbol": DESIGNS[evaluation.design].symbol, "size": 4.5},
            name=_title(style, evaluation),
            hovertemplate="predicted %{x:.2f}, observed %{y:.2f} (n = %{customdata})"
            f"<extra>{_title(style, evaluation)}</extra>",
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
        )
    panel_title(figure, style, "P(wrong): said and seen", span[0])
