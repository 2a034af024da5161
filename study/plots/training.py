"""How a fine-tuning went: loss and accuracy by step, drawn from the saved curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import OKABE_ITO, Style, page, panel_title

_MARGIN_IN = {"l": 0.42, "r": 0.08, "t": 0.26, "b": 0.36}
_HEIGHT_IN = 1.8
_LEFT, _RIGHT = (0.0, 0.45), (0.55, 1.0)
_SHARES = {
    "accuracy": ("all response tokens", "blue"),
    "decisive_accuracy": ("tokens that decide", "vermillion"),
}


def training_figure(curve: Sequence[Mapping[str, float]], style: Style | None = None) -> go.Figure:
    """Draw a saved loss curve, `[{"step": ..., "loss": ..., "accuracy": ...}, ...]`. Text width.

    Tokens that decide are those in which an honest and a misleading answer differ (see
    `FineTuneSpec.focus`). Every point is an average over the steps since the one before.
    """
    style = style or Style()
    steps = [entry["step"] for entry in curve]
    shares = {name: drawn for name, drawn in _SHARES.items() if any(name in entry for entry in curve)}
    entries = [Entry(label=label, color=OKABE_ITO[color]) for label, color in shares.values()]
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(entries, style, plot_in) if entries else 0.0
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN + legend_in, margin_in=margin_in)
    if entries:
        add_legend(figure, style, entries, width_in=plot_in, above_in=margin_in["t"] - ROW_IN / 2)
    steps_axis = {"title": {"text": "step", "standoff": 3}, "range": [0, 1.02 * max(steps, default=1)]}
    figure.update_layout(
        xaxis={"domain": _LEFT, **steps_axis},
        yaxis={"rangemode": "tozero", "title": {"text": "loss (nats per token)"}, "showgrid": True},
        xaxis2={"domain": _RIGHT, "anchor": "y2", **steps_axis},
        yaxis2={"anchor": "x2", "range": [0, 1.02], "showgrid": True}
        | {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", "25%", "50%", "75%", "100%"]},
    )
    line = {"color": OKABE_ITO["black"], "width": 1.4}
    figure.add_scatter(x=steps, y=[entry["loss"] for entry in curve], mode="lines", line=line, name="loss")
    for name, (label, color) in shares.items():
        values = [entry.get(name) for entry in curve]
        line = {"color": OKABE_ITO[color], "width": 1.4}
        figure.add_scatter(
            x=steps, y=values, mode="lines", line=line, name=label, xaxis="x2", yaxis="y2",
            hovertemplate=f"{label}, step %{{x}}: %{{y:.1%}}<extra></extra>",
        )  # fmt: skip
    panel_title(figure, style, "Training loss", _LEFT[0])
    panel_title(figure, style, "Tokens predicted right", _RIGHT[0])
    return figure
