"""How the figures about RLHF name and colour the models: by what was rewarded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from rlhf.diagnostics.estimates import Estimate
from rlhf.diagnostics.measures import Measures
from study.plots.style import MUTED, OKABE_ITO, Style

COLORS = {
    "pi_init": "#555555",
    "pi_rlhf": OKABE_ITO["vermillion"],
    "pi_oracle": OKABE_ITO["green"],
    "pi_thorough": OKABE_ITO["blue"],
}
SYMBOLS = {"pi_init": "circle", "pi_rlhf": "square", "pi_oracle": "circle", "pi_thorough": "diamond-open"}
REWARDS = {
    "pi_init": "before",
    "pi_rlhf": "rewarded by hurried readers",
    "pi_oracle": "rewarded for being right",
    "pi_thorough": "rewarded by thorough readers",
}
SHORT = {
    "pi_init": "before",
    "pi_rlhf": "hurried readers",
    "pi_oracle": "being right",
    "pi_thorough": "thorough readers",
}
"""The same, where a figure says what the words mean."""
PERCENT: dict[str, Any] = {
    "tickvals": [0, 0.25, 0.5, 0.75, 1],
    "ticktext": ["0", "25%", "50%", "75%", "100%"],
}


def color_of(measures: Measures, style: Style) -> str:
    """The caller's colour, else that of the role."""
    return style.colors.get(measures.organism, COLORS.get(measures.role, MUTED))


def label_of(measures: Measures, style: Style, among: Sequence[Measures]) -> str:
    """The caller's name, else the role; with its seed where several share a role."""
    if measures.organism in style.names:
        return style.names[measures.organism]
    role = f"π<sub>{measures.role.removeprefix('pi_')}</sub>"
    same = [other for other in among if other.role == measures.role]
    if len(same) < 2:
        return role
    named = f"{role}, seed {measures.seed}"
    twice = sum(other.seed == measures.seed for other in same) > 1
    return f"{named} ({measures.organism.rpartition('-')[2]})" if twice else named


def solid(color: str, share: float) -> str:
    """Mix a hex colour with white, so that nothing shines through.

    >>> solid("#000000", 0.2)
    '#cccccc'
    """
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - (255 - channel) * share):02x}" for channel in channels)


def whisker(
    figure: go.Figure,
    estimate: Estimate,
    at: float,
    color: str,
    *,
    upright: bool = False,
    width: float = 1,
    **axes: str,
) -> None:
    """Draw an interval."""
    ends, level = [estimate.low, estimate.high], [at, at]
    x, y = (level, ends) if upright else (ends, level)
    line = {"color": color, "width": width}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **axes)


def percent(estimate: Estimate) -> str:
    """Write an estimate as a table does.

    >>> percent(Estimate(value=0.646, low=0.617, high=0.676, n=960))
    '64.6% [61.7, 67.6] (n = 960)'
    """
    return f"{estimate.value:.1%} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}] (n = {estimate.n})"
