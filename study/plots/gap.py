"""The transfer gap taken apart: what adapting the frozen probe a little to the target repairs.

Left, AUROC after each step of adaptation; right, the false positive rate that the threshold really has,
against the rate it was set for. A shift of the scores can only move the right panel.
"""

from __future__ import annotations

import plotly.graph_objects as go

from probes.evaluation.kinds import DomainRole, RepairStep
from probes.evaluation.results import Estimate, Repair, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rows import interval_mark, row_text
from study.plots.style import (
    AUROC_TICKS,
    MUTED,
    Style,
    auroc_floor,
    chance_line,
    interval,
    number,
    page,
    panel_title,
)

_MARGIN_IN = {"l": 1.3, "r": 0.1, "t": 0.4, "b": 0.36}
_LINE_IN = 0.2
_LEFT, _RIGHT = (0.0, 0.47), (0.56, 1.0)


def gap_figure(result: TransferResult, style: Style | None = None, target: str | None = None) -> go.Figure:
    """Draw AUROC and achieved false positive rate after each repair step on `target`. Text width.

    Hollow marks are steps that saw labels of the target: they describe the gap, they are not detectors.
    A mark is grey where the step cannot change the number at all.
    """
    style = style or Style()
    target = target or style.domains(result, DomainRole.TARGET)[0].name
    steps = [r for r in result.repairs if r.target == target and r.probe == result.headline_probe]
    height_in = _LINE_IN * max(len(steps), 2) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.text_in, height_in=height_in, margin_in=_MARGIN_IN)
    low = auroc_floor((r.auroc for r in steps), floor=0.4)
    top = max([0.1, *(r.achieved_fpr.high or r.achieved_fpr.value or 0.0 for r in steps)])
    rows = {"range": [max(len(steps), 2) - 0.5, -0.5], "visible": False}
    step = 0.05 if top <= 0.3 else 0.2
    ticks = [i * step for i in range(21) if i * step <= top * 1.05]
    figure.update_layout(
        xaxis={"domain": _LEFT, "range": [low, 1.0], "title": {"text": "AUROC"}} | AUROC_TICKS,
        yaxis=rows,
        xaxis2={"domain": _RIGHT, "anchor": "y2", "range": [0, top * 1.08], "tickvals": ticks}
        | {"ticktext": [number(t) if t else "0" for t in ticks], "title": {"text": "false positive rate"}},
        yaxis2=rows | {"anchor": "x2"},
    )
    chance_line(figure, upright=True)
    if steps:
        line = {"color": MUTED, "width": 0.75, "dash": "dot"}
        goal = {
            "x0": steps[0].alpha,
            "x1": steps[0].alpha,
            "xref": "x2",
            "yref": "y2 domain",
            "y0": 0,
            "y1": 1,
        }
        figure.add_shape(type="line", line=line, **goal)
    color = style.color(result, target)
    for y, repair in enumerate(steps):
        _row(figure, style, repair, y, color)
    panel_title(figure, style, "Order of the answers", _LEFT[0])
    panel_title(figure, style, f"Threshold set for {number(steps[0].alpha) if steps else '.05'}", _RIGHT[0])
    entries = [
        Entry(label="uses no labels of the target", color=color, dash=None, symbol="square"),
        Entry(label="uses its labels", color=color, dash=None, symbol="square-open"),
        Entry(label="cannot change by this step", color=MUTED, dash=None, symbol="square"),
    ]
    add_legend(figure, style, entries, width_in=style.text_in, above_in=_MARGIN_IN["t"] - ROW_IN / 2)
    return figure


def _row(figure: go.Figure, style: Style, repair: Repair, y: int, color: str) -> None:
    row_text(figure, style, repair.step, y, left_in=_MARGIN_IN["l"] - 0.02, smaller=0)
    for estimate, kind, suffix in ((repair.auroc, "auroc", ""), (repair.achieved_fpr, "threshold", "2")):
        can = kind in repair.can_change or repair.step == RepairStep.FROZEN
        _dot(figure, estimate, repair, y, color if can else MUTED, suffix)


def _dot(figure: go.Figure, estimate: Estimate, repair: Repair, y: int, color: str, suffix: str) -> None:
    if estimate.value is None:
        return
    marker = {"symbol": "square", "size": 6, "color": "white" if repair.labels else color}
    interval_mark(
        figure, estimate.value, (estimate.low, estimate.high), y, color=color, label=repair.step,
        marker=marker | {"line": {"width": 1.1, "color": color}},
        hover=f"{repair.step}: {interval(estimate, 3)}", suffix=suffix,
    )  # fmt: skip
