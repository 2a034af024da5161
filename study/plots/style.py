"""How figures look: widths, type, colours, marks. One place, so that all figures of a paper agree.

A colour always means a model (by its role), a mark and a line style always mean a design, so a figure
also works in grey. Sizes are those of a paper's page: 82.55 mm (3.25 in) for a column, 174.6 mm (6.875 in)
for the full text width, 8 pt type; nothing needs rescaling in LaTeX. Names, colours and order come from the
caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import plotly.graph_objects as go

from probes.evaluation.kinds import ControlKind, Design, DomainRole
from probes.evaluation.results import DomainSummary, Estimate, TransferResult

OKABE_ITO = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "black": "#000000",
    "grey": "#999999",
}
ROLE_COLORS = {
    DomainRole.SOURCE: ("vermillion",),
    DomainRole.TARGET: ("blue", "purple", "black"),
    DomainRole.CONTROL: ("green", "orange", "sky", "black", "grey"),
}
INK, MUTED, FAINT, BAND = "#222222", "#6b6b6b", "#d9d9d9", "#efefef"
CHANCE = 0.5
BROKEN = ("4px,2px", "1.5px,1.5px", "5px,1.5px,1.5px,1.5px")
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How one evaluation design is called and marked."""

    label: str
    symbol: str
    dash: str
    size: float = 6.5  # px; symbols of equal size do not look equally large


DESIGNS = {
    Design.SOURCE: Mark(label="held-out (cross-fitted)", symbol="circle", dash="solid"),
    Design.D1: Mark(label="source probe, frozen", symbol="square", dash="solid", size=6.0),
    Design.D2: Mark(label="fitted here (ceiling)", symbol="triangle-up", dash="dash", size=7.5),
    Design.D3: Mark(label="contrast pair, no labels", symbol="x", dash="dot", size=6.0),
    Design.D4A: Mark(label="source probe, best here*", symbol="circle-open", dash="dashdot"),
    Design.D4B: Mark(label="fitted here, best here*", symbol="circle-open", dash="dashdot"),
}
TEXT_ONLY = Mark(label="text alone", symbol="diamond-open", dash="dot", size=7.0)
WITHOUT_ACTIVATIONS = {
    ControlKind.TEXT: TEXT_ONLY,
    ControlKind.PROMPT: Mark(label="prompt alone", symbol="diamond-wide-open", dash="dot", size=7.0),
    ControlKind.COLUMN: Mark(label="likelihood", symbol="diamond-tall-open", dash="dot", size=7.0),
}
"""Kinds of control that read no activations: the words, the trigger, what the model thought of its words."""

_NAMES = {"tf-idf": "TF-IDF", "log-probability": "log-prob."}


@dataclass(frozen=True, kw_only=True)
class Style:
    """Names, colours and order of the models, and the sizes of the page."""

    names: dict[str, str] = field(default_factory=dict)
    """Shown instead of a domain's name."""
    colors: dict[str, str] = field(default_factory=dict)
    """Colour of a domain; the rest get Okabe-Ito colours by their role."""
    order: tuple[str, ...] = ()
    """Domains in the order in which figures list them; the rest follow as the result has them."""
    kind: Literal["paper", "slides"] = "paper"
    """paper: files of the exact width of a column or of the text. slides: each enlarged to a 16:9 page. On a
    command line `--style slides` is enough."""
    column_mm: float = 82.55
    """Width of a single column in millimetres."""
    text_mm: float = 174.625
    """Width of the text, the double column, in millimetres."""
    points: float = 8.0
    """Type size in points."""
    font: str = "Arial, Helvetica, Liberation Sans, sans-serif"
    """Typeface."""

    @property
    def column_in(self) -> float:
        """Width of a column in inches."""
        return round(self.column_mm / 25.4, 4)

    @property
    def text_in(self) -> float:
        """Width of the text in inches."""
        return round(self.text_mm / 25.4, 4)

    def name(self, domain: str) -> str:
        """Give the name a domain, control or probe is shown under."""
        plain = domain.rpartition(": ")[2]
        return self.names.get(plain, _NAMES.get(plain, plain))

    def domains(self, result: TransferResult, *roles: DomainRole) -> list[DomainSummary]:
        """List the domains of a result in this style's order, all or those with one of `roles`."""
        rank = {name: i for i, name in enumerate(self.order)}
        listed = sorted(result.domains, key=lambda d: rank.get(d.name, len(rank)))
        return [d for d in listed if not roles or d.role in roles]

    def source_first(self, result: TransferResult) -> list[DomainSummary]:
        """List the source, then targets and controls in this style's order."""
        others = self.domains(result, DomainRole.TARGET, DomainRole.CONTROL)
        return self.domains(result, DomainRole.SOURCE) + others

    def dash(self, result: TransferResult, domain: str) -> str:
        """Give the line style of a domain: full for source and targets, broken for controls."""
        controls = [d.name for d in result.domains if d.role == DomainRole.CONTROL]
        return BROKEN[controls.index(domain) % 3] if domain in controls else "solid"

    def color(self, result: TransferResult, domain: str) -> str:
        """Give the colour of a domain: the caller's, else the next one of its role."""
        if domain in self.colors:
            return self.colors[domain]
        role = next((d.role for d in result.domains if d.name == domain), DomainRole.CONTROL)
        same = [d.name for d in result.domains if d.role == role]
        names = ROLE_COLORS[role]
        return OKABE_ITO[names[same.index(domain) % len(names)] if domain in same else "black"]


def inches(value: float) -> float:
    """Convert inches to CSS pixels (96 to the inch), the unit of plotly and of the PDF writer."""
    return value * 96


def points(value: float) -> float:
    """Convert points (72 to the inch) to CSS pixels."""
    return value * 96 / 72


def tint(color: str, alpha: float) -> str:
    """Make a hex colour transparent.

    >>> tint("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def number(value: float | None, digits: int = 2) -> str:
    r"""Write a number between -1 and 1 the way a table does.

    >>> number(0.5), number(1.0), number(None), number(-0.031) == "\u2212.03"
    ('.50', '1.00', 'n/a', True)
    """
    if value is None:
        return "n/a"
    rounded = round(value, digits) or 0.0  # no minus before a zero
    return f"{rounded:.{digits}f}".replace("0.", ".", 1).replace("-", MINUS)


def interval(estimate: Estimate, digits: int = 2) -> str:
    """Write an estimate with its interval.

    >>> interval(Estimate(value=0.583, low=0.541, high=0.622))
    '.58 [.54, .62]'
    """
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, digits)
    return (
        f"{number(estimate.value, digits)} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"
    )


def page(style: Style, *, width_in: float, height_in: float, margin_in: Mapping[str, float]) -> go.Figure:
    """Start an empty figure of exact size in the project's look; `margin_in` has l, r, t and b in inches."""
    size = points(style.points)
    axis = {"showgrid": False, "zeroline": False, "showline": True, "linecolor": MUTED, "linewidth": 0.75}
    axis |= {"ticks": "outside", "ticklen": 3, "tickwidth": 0.75, "tickcolor": MUTED, "gridcolor": FAINT}
    axis |= {"gridwidth": 0.5, "title": {"standoff": 4, "font": {"size": size}}}
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "bottom", "font": {"size": size}}
    legend |= {"itemwidth": 30, "tracegroupgap": 0, "bgcolor": "rgba(0,0,0,0)"}
    template = go.layout.Template(layout={"xaxis": axis, "yaxis": axis, "legend": legend})
    figure = go.Figure()
    figure.update_layout(
        template=template,
        width=inches(width_in),
        height=inches(height_in),
        margin={side: inches(margin_in[side]) for side in "lrtb"} | {"pad": 0, "autoexpand": False},
        font={"family": style.font, "size": size, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        showlegend=False,
        hovermode="closest",
        hoverlabel={"font": {"family": style.font, "size": 12}},
        bargap=0,
    )
    return figure


AUROC_TICKS: dict[str, Any] = {
    "tickvals": [i / 10 for i in range(11)],
    "ticktext": [number(i / 10, 1) if 0 < i < 10 else str(i // 10) for i in range(11)],
}


def auroc_floor(estimates: Iterable[Estimate], floor: float = 0.3) -> float:
    """Choose where a shown AUROC range starts: at `floor`, or lower when an interval reaches there.

    >>> auroc_floor([Estimate(value=0.4, low=0.27, high=0.5)]), auroc_floor([])
    (0.2, 0.3)
    """
    lows = [e.low if e.low is not None else e.value for e in estimates]
    return min([floor] + [int(low * 10) / 10 for low in lows if low is not None])


def panel_spans(count: int, *, space: float) -> list[tuple[float, float]]:
    """Split the width of a plot into `count` equal panels with `space` (a share of the width) between.

    >>> panel_spans(2, space=0.2)
    [(0.0, 0.4), (0.6, 1.0)]
    """
    share = (1 - space * (count - 1)) / count
    return [(round(i * (share + space), 6), round(i * (share + space) + share, 6)) for i in range(count)]


def panel_title(figure: go.Figure, style: Style, text: str, x: float) -> None:
    """Write a bold title above a panel that starts at `x` (paper coordinates)."""
    figure.add_annotation(
        text=f"<b>{text}</b>",
        xref="paper",
        yref="paper",
        x=x,
        y=1,
        xanchor="left",
        yanchor="bottom",
        yshift=1,
        showarrow=False,
        font={"size": points(style.points)},
    )


def chance_line(figure: go.Figure, *, suffix: str = "", upright: bool = False) -> None:
    """Draw the dotted line of an AUROC of one half through one panel."""
    span, level = ("y", "x") if upright else ("x", "y")
    figure.add_shape(
        type="line",
        line={"color": MUTED, "width": 0.75, "dash": "dot"},
        layer="below",
        **{f"{level}ref": f"{level}{suffix}", f"{level}0": CHANCE, f"{level}1": CHANCE},
        **{f"{span}ref": f"{span}{suffix} domain", f"{span}0": 0, f"{span}1": 1},
    )


def note(figure: go.Figure, style: Style, text: str, *, left_in: float, below_in: float) -> None:
    """Write a small line under the plot: what a mark means that the axes do not say."""
    figure.add_annotation(
        text=text,
        xref="paper",
        yref="paper",
        x=0,
        y=0,
        xshift=-inches(left_in),
        yshift=-inches(below_in),
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        font={"size": points(style.points - 1.5), "color": MUTED},
    )
