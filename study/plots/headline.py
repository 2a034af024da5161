"""The headline figure: what the paper's Figure 8 shows, with everything needed to judge it beside it.

One block of rows for the source, one for each target, one for the controls. Every row is one design:
dot, interval, and a bar that starts at chance. The hollow dots are the paper's own way of counting
(best over the grid on the evaluated items); the tick beside them is what that way reaches by luck alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from probes.evaluation.kinds import ControlKind, Design, DomainRole
from probes.evaluation.results import ControlScore, Evaluation, Sample, TransferResult
from study.plots.rows import interval_mark
from study.plots.style import (
    AUROC_TICKS,
    BAND,
    CHANCE,
    DESIGNS,
    INK,
    MUTED,
    WITHOUT_ACTIVATIONS,
    Mark,
    Style,
    auroc_floor,
    chance_line,
    inches,
    interval,
    note,
    number,
    page,
    points,
    tint,
)

_ROW_IN, _GAP_IN = 0.165, 0.07
_MARGIN_IN = {"l": 1.5, "r": 0.34, "t": 0.04, "b": 0.68}
_DESIGNS_HERE = {
    DomainRole.SOURCE: (Design.SOURCE, Design.D3),
    DomainRole.TARGET: (Design.D1, Design.D2, Design.D3, Design.D4A, Design.D4B),
}


@dataclass(frozen=True, kw_only=True)
class _Row:
    label: str
    y: float
    color: str
    record: Evaluation | ControlScore | None = None
    mark: Mark | None = None


def headline_figure(result: TransferResult, style: Style | None = None) -> go.Figure:
    """Draw the AUROC of every design on source, targets and controls. Column width.

    Dots with intervals as saved; bars start at chance; the shaded band is the equivalence margin; hollow
    marks are optimistic by construction. Needs evaluations of `result.headline_probe`.
    """
    style = style or Style()
    rows, height_in = _rows(result, style)
    shown = [row for row in rows if row.record is not None]
    inverted = any(row.record.inverted for row in shown if row.record)
    margin_in = _MARGIN_IN | {"b": _MARGIN_IN["b"] + 0.1 * inverted}
    total_in = height_in + margin_in["t"] + margin_in["b"]
    figure = page(style, width_in=style.column_in, height_in=total_in, margin_in=margin_in)
    margin = next((e.equivalence.margin for e in result.evaluations if e.equivalence), 0.05)
    figure.add_vrect(x0=CHANCE - margin, x1=CHANCE + margin, fillcolor=BAND, line_width=0, layer="below")
    chance_line(figure, upright=True)
    for row in shown:
        _draw(figure, row)
    labels = [label for row in rows for label in _labels(row, style)]
    figure.update_layout(annotations=labels)  # at once: every add_annotation checks all before it again
    low = auroc_floor(row.record.auroc for row in shown if row.record)
    level = next((e.auroc.level for e in result.evaluations), 0.95)
    figure.update_xaxes(range=[low, 1.005], title_text=f"AUROC ({level:.0%} interval)", **AUROC_TICKS)
    figure.update_yaxes(range=[-height_in, 0], visible=False)
    optimistic = any(isinstance(row.record, Evaluation) and row.record.optimistic for row in shown)
    lines = [f"grey counts: wrong | right answers; band: within {number(margin)} of chance"]
    if optimistic:
        lines.append("* optimistic, chosen on the items it is scored on; tick: 95 % of its null")
    if inverted:
        lines.append("↓ inverted: the whole interval lies below chance")
    note(figure, style, "<br>".join(lines), left_in=_MARGIN_IN["l"] - 0.02, below_in=0.38)
    return figure


def _rows(result: TransferResult, style: Style) -> tuple[list[_Row], float]:
    """Place headings and rows from top (0) downwards, in inches; also give the total height."""
    rows: list[_Row] = []
    y = 0.0
    for heading, color, sample, entries in _blocks(result, style):
        if rows:
            y -= _GAP_IN
        y -= _ROW_IN
        counts = (
            f" <span style='color:{MUTED}'>{sample.n_positive} | {sample.n_negative}</span>" if sample else ""
        )
        rows.append(_Row(label=f"<b>{heading}</b>{counts}", y=y + _ROW_IN / 2, color=color))
        for label, record, mark, row_color in entries:
            y -= _ROW_IN
            rows.append(_Row(label=label, y=y + _ROW_IN / 2, color=row_color, record=record, mark=mark))
    return rows, -y


_Entry = tuple[str, Evaluation | ControlScore, Mark, str]


def _blocks(result: TransferResult, style: Style) -> Iterator[tuple[str, str, Sample | None, list[_Entry]]]:
    shown = [e for e in result.evaluations if e.design == Design.D3 or e.probe == result.headline_probe]
    by_key = {(e.design, e.scored_on): e for e in shown}
    for domain in style.domains(result, DomainRole.SOURCE, DomainRole.TARGET):
        color = style.color(result, domain.name)
        entries: list[_Entry] = []
        for design in _DESIGNS_HERE[domain.role]:
            if (design, domain.name) not in by_key:
                continue
            entries.append((DESIGNS[design].label, by_key[design, domain.name], DESIGNS[design], color))
            for kind, drawn in WITHOUT_ACTIVATIONS.items():
                control = best_control(result, domain.name, design, kind)
                if control:
                    entries.append((f"  {drawn.label} ({style.name(control.name)})", control, drawn, MUTED))
            if design == Design.D1:
                shared = _concepts(result, domain.name)
                entries += [(f"  {_concept(c)}", c, DESIGNS[design], MUTED) for c in shared]
        yield style.name(domain.name), color, domain.sample, entries
    controls: list[_Entry] = [
        (style.name(c.scored_on), c, DESIGNS[Design.D1], style.color(result, c.scored_on))
        for d in style.domains(result, DomainRole.CONTROL)
        for c in result.controls
        if c.kind == ControlKind.ORGANISM and c.scored_on == d.name
    ]
    if controls:
        yield "Source probe, frozen, on", INK, None, controls


def _concepts(result: TransferResult, target: str) -> list[ControlScore]:
    """Give the shared concepts that went through the frozen route to a target."""
    wanted = (ControlKind.SHARED_CONCEPT, Design.D1, target)
    return [c for c in result.controls if (c.kind, c.compared_with, c.scored_on) == wanted]


def _concept(control: ControlScore) -> str:
    return "shared: " + control.name.removeprefix("shared concept: ")


def best_control(
    result: TransferResult, domain: str, design: Design, kind: ControlKind = ControlKind.TEXT
) -> ControlScore | None:
    """Give the control of one kind that does best where `design` is scored (by saved AUROC), or None.

    A control fitted like the design: frozen from the source beside D1, fitted in the target beside D2.
    """
    same = [c for c in result.controls if c.kind == kind and c.compared_with == design]
    return max((c for c in same if c.scored_on == domain), key=lambda c: c.auroc.value or 0.0, default=None)


def _draw(figure: go.Figure, row: _Row) -> None:
    record, mark = row.record, row.mark
    assert record is not None
    assert mark is not None
    estimate, optimistic = record.auroc, isinstance(record, Evaluation) and record.optimistic
    if estimate.value is None:
        return
    filled = not mark.symbol.endswith("open")
    if filled:
        figure.add_bar(
            x=[estimate.value - CHANCE],
            base=[CHANCE],
            y=[row.y],
            width=_ROW_IN * 0.62,
            orientation="h",
            marker={
                "color": tint(row.color, 0.22) if row.color.startswith("#") else row.color,
                "line_width": 0,
            },
            hoverinfo="skip",
        )
    marker = {"symbol": mark.symbol.removesuffix("-open"), "size": mark.size}
    marker |= {
        "color": row.color if filled else "white",
        "line": {"width": 0 if filled else 1.1, "color": row.color},
    }
    interval_mark(
        figure, estimate.value, (estimate.low, estimate.high), row.y, color=row.color, width=1.1,
        marker=marker, label=row.label, hover=_hover(row, record),
    )  # fmt: skip
    if optimistic and isinstance(record, Evaluation) and record.null:
        x = record.null.quantile95
        tick = {"color": INK, "width": 1.25}
        figure.add_scatter(
            x=[x, x],
            y=[row.y - _ROW_IN * 0.36, row.y + _ROW_IN * 0.36],
            mode="lines",
            line=tick,
            hoverinfo="skip",
        )


def _hover(row: _Row, record: Evaluation | ControlScore) -> str:
    sample = record.sample
    lines = [f"{row.label}: AUROC {interval(record.auroc, 3)}"]
    lines.append(f"{sample.n_positive} misleading, {sample.n_negative} honest, {sample.n_groups} groups")
    if isinstance(record, Evaluation):
        lines.append(f"probe {record.probe}, layer {record.layer}, fitted on {record.fitted_on}")
        lines += [f"p = {record.p_value:.3g}"] if record.p_value is not None else []
        lines += ["INVERTED: interval below chance"] if record.inverted else []
    return "<br>".join(lines)


def _labels(row: _Row, style: Style) -> list[dict[str, Any]]:
    """Annotations beside a row: its name to the left, its number to the right."""
    heading = row.record is None
    shared = {"yref": "y", "y": row.y, "xref": "paper", "showarrow": False, "yanchor": "middle"}
    name = {
        "text": row.label,
        "x": 0,
        "xanchor": "left",
        "xshift": -inches(
            _MARGIN_IN["l"] - (0.02 if heading else 0.17 if row.label.startswith(" ") else 0.1)
        ),
        "font": {
            "color": row.color if heading else INK,
            "size": points(style.points - (0 if heading else 0.5)),
        },
    }
    if row.record is None:
        return [name | shared]
    text = number(row.record.auroc.value) + ("↓" if row.record.inverted else "")
    bold = isinstance(row.record, Evaluation) and row.label == DESIGNS[Design.D1].label
    value = {
        "text": f"<b>{text}</b>" if bold else text,
        "x": 1,
        "xanchor": "right",
        "xshift": inches(_MARGIN_IN["r"] - 0.03),
        "font": {"size": points(style.points - 0.5)},
    }
    return [name | shared, value | shared]
