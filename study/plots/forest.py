"""The forest plot: does the number hold in every subset, and is it more than the text already gives away?

Left, the AUROC of the frozen probe and of the ceiling within the levels of each confound (answer letter,
length, difficulty, ...). Right, each of them minus every baseline that was fitted on the same rows, paired.
"""

from __future__ import annotations

import plotly.graph_objects as go

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import ControlScore, Estimate, Sample, StratumScore, TransferResult
from study.plots.legend import ROW_IN, Entry, add_legend
from study.plots.rows import interval_mark, row_text
from study.plots.style import (
    AUROC_TICKS,
    DESIGNS,
    FAINT,
    MUTED,
    Style,
    auroc_floor,
    chance_line,
    interval,
    number,
    page,
    panel_title,
    points,
)

_MARGIN_IN = {"l": 2.12, "r": 0.08, "t": 0.4, "b": 0.36}
_LINE_IN = 0.16
_LEVELS_IN_ORDER = ("easy", "medium", "hard", "unseen", "short", "middle", "long")
_SHOWN = {
    Design.D1: +0.16,
    Design.D2: -0.16,
}  # designs, and how far (in rows) each stands above its row's middle
_LEFT, _RIGHT = (0.0, 0.42), (0.7, 1.0)


def forest_figure(result: TransferResult, style: Style | None = None, target: str | None = None) -> go.Figure:
    """Draw strata and paired differences to the baselines on `target` (default: the first). Text width.

    Rows that rest on fewer than 10 answers of a class are grey. Right: intervals right of zero mean the
    probe holds more than the baseline does.
    """
    style = style or Style()
    target = target or style.domains(result, DomainRole.TARGET)[0].name
    strata = [s for s in result.strata if s.scored_on == target and s.design in _SHOWN]
    strata = [s for s in strata if s.probe == result.headline_probe]
    controls = _control_rows([c for c in result.controls if c.scored_on == target and c.delta is not None])
    rows = _strata_rows(strata)
    height_in = _LINE_IN * max(len(rows), len(controls), 3) + _MARGIN_IN["t"] + _MARGIN_IN["b"]
    figure = page(style, width_in=style.text_in, height_in=height_in, margin_in=_MARGIN_IN)
    bottom = max(len(rows), len(controls), 3) - 0.5
    low = auroc_floor((s.auroc for s in strata), floor=0.3)
    figure.update_layout(
        xaxis={"domain": _LEFT, "range": [low, 1.0], "title": {"text": "AUROC"}, "anchor": "y"} | AUROC_TICKS,
        yaxis={"range": [bottom, -0.5], "visible": False},
        xaxis2={"domain": _RIGHT, "anchor": "y2", "title": {"text": "AUROC difference, paired"}}
        | _difference_ticks([c for designs in controls.values() for c in designs.values()]),
        yaxis2={"range": [len(controls) - 0.5, -0.5], "visible": False, "anchor": "x2"}
        | {"domain": [max(0.0, 1 - (len(controls) or 1) / (bottom + 0.5)), 1]},
    )
    chance_line(figure, upright=True)
    for y, (variable, level, designs) in enumerate(rows):
        _stratum(figure, result, style, y, variable, level, designs)
    zero = {"color": MUTED, "width": 0.75, "dash": "dot"}
    figure.add_shape(type="line", x0=0, x1=0, xref="x2", yref="y2 domain", y0=0, y1=1, line=zero)
    for y, (name, designs) in enumerate(controls.items()):
        _control(figure, result, style, y, name, designs)
    panel_title(figure, style, "Within strata", _LEFT[0])
    panel_title(figure, style, "Probe minus baseline (its AUROC)", _RIGHT[0] - 0.2)
    color = style.color(result, target)
    entries = [Entry(label=DESIGNS[d].label, color=color, symbol=DESIGNS[d].symbol) for d in _SHOWN]
    above_in = _MARGIN_IN["t"] - ROW_IN / 2
    add_legend(figure, style, entries, width_in=style.text_in, above_in=above_in)
    return figure


def _difference_ticks(controls: list[ControlScore]) -> dict[str, object]:
    """Choose a range that holds every interval and zero, with about four ticks."""
    ends = [
        e for c in controls if c.delta for e in (c.delta.low, c.delta.value, c.delta.high) if e is not None
    ]
    low, high = min([*ends, -0.02]), max([*ends, 0.02])
    step = next((s for s in (0.05, 0.1, 0.2) if (high - low) / s <= 4.5), 0.25)
    ticks = [i * step for i in range(-20, 21) if low - step / 4 <= i * step <= high + step / 4]
    pad = (high - low) * 0.06
    return {
        "range": [low - pad, high + pad],
        "tickvals": ticks,
        "ticktext": [number(t) if t else "0" for t in ticks],
    }


def _strata_rows(strata: list[StratumScore]) -> list[tuple[str, str, dict[Design, StratumScore]]]:
    """Gather the designs of each stratum in one row; the variable is named on its first row only."""
    rows: dict[tuple[str, str], dict[Design, StratumScore]] = {}
    for score in strata:
        rows.setdefault((score.variable, score.level), {})[score.design] = score
    named: set[str] = set()
    listed = []
    variables = list(dict.fromkeys(variable for variable, _ in rows))
    for (variable, level), designs in sorted(
        rows.items(), key=lambda row: (variables.index(row[0][0]), _place(row[0][1]))
    ):
        listed.append(("" if variable in named else variable, level, designs))
        named.add(variable)
    return listed


def _place(level: str) -> tuple[int, str]:
    """Where a level stands among those of its variable: in the order it is thought of, else by name."""
    known = level in _LEVELS_IN_ORDER
    return (_LEVELS_IN_ORDER.index(level) if known else 0, level)


def _stratum(
    figure: go.Figure, result: TransferResult, style: Style, y: int, variable: str, level: str,
    designs: dict[Design, StratumScore],
) -> None:  # fmt: skip
    sample = next(iter(designs.values())).sample
    counts = f"<span style='color:{MUTED}'>{sample.n_positive} | {sample.n_negative}</span>"
    if variable:
        row_text(figure, style, f"<b>{variable}</b>", y, left_in=_MARGIN_IN["l"] - 0.02)
        if y:
            line = {"color": FAINT, "width": 0.5}
            x0 = -(_MARGIN_IN["l"] - 0.02) / (style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"])
            figure.add_shape(
                type="line", xref="paper", yref="y", x0=x0, x1=_LEFT[1], y0=y - 0.5, y1=y - 0.5, line=line
            )
    row_text(figure, style, level, y, left_in=1.08, anchor="left")
    row_text(figure, style, counts, y, left_in=0.06, anchor="right")
    for design, score in designs.items():
        thin = min(score.sample.n_positive, score.sample.n_negative) < 10
        color = MUTED if thin else style.color(result, score.scored_on)
        label = f"{score.variable} {level}, {DESIGNS[design].label}"
        at = y - (_SHOWN[design] if len(designs) > 1 else 0)
        _dot(figure, score.auroc, at, color, DESIGNS[design].symbol, label, score.sample)
    if not any(score.auroc.value is not None for score in designs.values()):
        figure.add_annotation(
            text=next(iter(designs.values())).note or "one class only", xref="x domain", x=0.5, y=y,
            showarrow=False,
            font={"size": points(style.points - 1.5), "color": MUTED},
        )  # fmt: skip


def _control_rows(controls: list[ControlScore]) -> dict[str, dict[Design, ControlScore]]:
    """Gather what each baseline is compared with: {baseline: {design: score}}."""
    rows: dict[str, dict[Design, ControlScore]] = {}
    for control in controls:
        design = control.compared_with
        if design is not None and design in _SHOWN:
            rows.setdefault(control.name, {})[design] = control
    return rows


def _control(
    figure: go.Figure,
    result: TransferResult,
    style: Style,
    y: int,
    name: str,
    designs: dict[Design, ControlScore],
) -> None:
    values = " | ".join(number(designs[d].auroc.value) for d in _SHOWN if d in designs)
    label = f"{style.name(name)} <span style='color:{MUTED}'>{values}</span>"
    right_in = (style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]) * _RIGHT[0]
    row_text(figure, style, label, y, left_in=-right_in + 0.06, anchor="right", suffix="2")
    for design, control in designs.items():
        assert control.delta is not None
        color, at = style.color(result, control.scored_on), y - (_SHOWN[design] if len(designs) > 1 else 0)
        hover = f"{DESIGNS[design].label} minus {name}"
        _dot(figure, control.delta, at, color, DESIGNS[design].symbol, hover, control.sample, "2")


def _dot(
    figure: go.Figure, estimate: Estimate, y: float, color: str, symbol: str, label: str, sample: Sample,
    suffix: str = "",
) -> None:  # fmt: skip
    if estimate.value is None:
        return
    interval_mark(
        figure, estimate.value, (estimate.low, estimate.high), y, color=color, label=label, suffix=suffix,
        marker={"color": color, "symbol": symbol, "size": 5},
        hover=f"{label}<br>{interval(estimate, 3)}<br>{sample.n_positive} wrong, {sample.n_negative} right",
    )  # fmt: skip
