"""A row of a figure: its text in the left margin, its estimate as a mark on an interval."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from study.plots.style import Style, inches, points

__all__ = ["interval_mark", "row_text"]


def interval_mark(
    figure: go.Figure, value: float, ends: tuple[float | None, float | None], y: float, *,
    color: str, marker: dict[str, Any], label: str, hover: str, suffix: str = "", width: float = 1.0,
) -> None:  # fmt: skip
    """Draw a line between `ends`, if both are known, and a mark on it, on the axes that end in `suffix`."""
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    if None not in ends:
        line = {"color": color, "width": width}
        figure.add_scatter(x=ends, y=[y, y], mode="lines", line=line, hoverinfo="skip", **axes)
    figure.add_scatter(
        x=[value], y=[y], mode="markers", cliponaxis=False, marker=marker, name=label,
        hovertemplate=hover + "<extra></extra>", **axes,
    )  # fmt: skip


def row_text(
    figure: go.Figure, style: Style, text: str, y: float, *,
    left_in: float, anchor: str = "left", suffix: str = "", smaller: float = 0.5,
) -> None:  # fmt: skip
    """Write `text` in row `y`, `left_in` inches left of the plot, `smaller` points below the type size."""
    figure.add_annotation(
        text=text, xref="paper", x=0, xshift=-inches(left_in), xanchor=anchor, yref=f"y{suffix}", y=y,
        yanchor="middle", showarrow=False, font={"size": points(style.points - smaller)}, borderpad=0,
    )  # fmt: skip
