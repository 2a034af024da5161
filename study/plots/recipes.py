"""Ways of RLHF side by side: the approval they buy, the approved errors it costs, and what a probe sees."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from study.plots.legend import ROW_IN, Entry, add_legend, rows_needed
from study.plots.style import (
    AUROC_TICKS,
    INK,
    MUTED,
    OKABE_ITO,
    Style,
    chance_line,
    number,
    page,
    panel_title,
    points,
)
from study.recipe_cells import RecipeCell, RecipeCells

__all__ = ["recipes_figure"]

_MARGIN_IN = {"l": 0.5, "r": 0.1, "t": 0.24, "b": 0.4}
_HEIGHT_IN = 2.3
_LEFT, _RIGHT = (0.0, 0.44), (0.57, 1.0)
_COLORS = tuple(
    OKABE_ITO[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky", "black")
)
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "x")


def recipes_figure(found: RecipeCells, style: Style | None = None) -> go.Figure:
    """Draw approved errors against approval with an arrow per recipe, and the probe against approved errors.

    Text width. A colour is a recipe, a symbol a reward; small marks are seeds, arrows end at their mean.
    Right: every seed with its interval; hollow, the ceiling of the same probe fitted there.

    Raises:
        ValueError: no cell was trained, or none has wrong answers.
    """
    style = style or Style()
    trained = {key: [c for c in cells if c.fpr is not None] for key, cells in found.trained.items()}
    trained = {key: cells for key, cells in trained.items() if cells}
    if not trained:
        raise ValueError("no trained cell has wrong answers, so there are no approved errors to draw")
    legend = _legend(trained)
    plot_in = style.text_in - _MARGIN_IN["l"] - _MARGIN_IN["r"]
    legend_in = ROW_IN * rows_needed(legend, style, plot_in)
    margin_in = _MARGIN_IN | {"t": _MARGIN_IN["t"] + legend_in}
    figure = page(style, width_in=style.text_in, height_in=_HEIGHT_IN + legend_in, margin_in=margin_in)
    add_legend(figure, style, legend, width_in=plot_in, above_in=_MARGIN_IN["t"] + legend_in - ROW_IN / 2)
    _axes(figure, found)
    panel_title(figure, style, "What approval costs", _LEFT[0])
    panel_title(figure, style, "What the planted model's probe sees", _RIGHT[0])
    chance_line(figure, suffix="2")
    if found.start is not None and found.start.fpr is not None:
        _start(figure, style, found.start)
    for key, cells in trained.items():
        color, symbol = _look(trained, key)
        _arrow(figure, found.start, cells, color, symbol)
        for cell in cells:
            _probe(figure, cell, color, symbol)
    return figure


def _look(trained: dict[tuple[str, str], list[RecipeCell]], key: tuple[str, str]) -> tuple[str, str]:
    recipes = list(dict.fromkeys(recipe for recipe, _ in trained))
    rewards = list(dict.fromkeys(reward for _, reward in trained))
    color = _COLORS[recipes.index(key[0]) % len(_COLORS)]
    return color, _SYMBOLS[rewards.index(key[1]) % len(_SYMBOLS)]


def _legend(trained: dict[tuple[str, str], list[RecipeCell]]) -> list[Entry]:
    recipes, rewards = (dict.fromkeys(key[i] for key in trained) for i in (0, 1))
    entries = [
        Entry(label=recipe, color=_look(trained, next(k for k in trained if k[0] == recipe))[0], dash="solid")
        for recipe in recipes
    ]
    entries += [
        Entry(
            label=reward, color=INK, dash=None,
            symbol=_look(trained, next(k for k in trained if k[1] == reward))[1],
        )
        for reward in rewards
    ]  # fmt: skip
    return [*entries, Entry(label="ceiling", color=MUTED, dash=None, symbol="circle-open")]


def _axes(figure: go.Figure, found: RecipeCells) -> None:
    fprs = [c.fpr for c in found.cells if c.fpr is not None]
    approvals = [c.approval for c in found.cells]
    scores = [v for c in found.cells for v in (c.auroc, c.auroc_low, c.ceiling) if v is not None]
    low = min([0.4, *(int(v * 10) / 10 for v in scores)])
    figure.update_layout(
        xaxis={"domain": _LEFT, "title": {"text": "approved"}} | _percent(approvals),
        yaxis={"title": {"text": "wrong answers approved"}, "showgrid": True} | _percent(fprs),
        xaxis2={"domain": _RIGHT, "anchor": "y2", "title": {"text": "wrong answers approved"}}
        | _percent(fprs),
        yaxis2={"anchor": "x2", "title": {"text": "AUROC"}, "range": [low, 1.01], "showgrid": True}
        | AUROC_TICKS,
    )


def _percent(values: Sequence[float]) -> dict:
    low, high = min(values), max(values)
    step = 0.05 if high - low < 0.25 else 0.1 if high - low < 0.55 else 0.2
    first, last = int(low / step), -int(-(high + 1e-9) // step)
    ticks = [at * step for at in range(first, last + 1)]
    pad = 0.06 * (ticks[-1] - ticks[0])
    return {
        "range": [ticks[0] - pad, ticks[-1] + pad],
        "tickvals": ticks,
        "ticktext": [f"{tick:.0%}" for tick in ticks],
    }


def _start(figure: go.Figure, style: Style, start: RecipeCell) -> None:
    marker = {"symbol": "circle", "size": 6.5, "color": INK}
    figure.add_scatter(
        x=[start.approval], y=[start.fpr], mode="markers", marker=marker, cliponaxis=False, name="before",
        hovertemplate="before: approved %{x:.1%}, wrong ones approved %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.add_annotation(
        x=start.approval, y=start.fpr, text="before", showarrow=False, xanchor="right", yanchor="bottom",
        xshift=-5, yshift=1, font={"size": points(style.points - 0.5), "color": INK}, borderpad=0,
    )  # fmt: skip
    if start.auroc is not None:
        _probe(figure, start, INK, "circle")


def _arrow(
    figure: go.Figure, start: RecipeCell | None, cells: Sequence[RecipeCell], color: str, symbol: str
) -> None:
    x, y = fmean(c.approval for c in cells), fmean(c.fpr for c in cells if c.fpr is not None)
    name = f"{cells[0].recipe}, {cells[0].reward}"
    if start is not None and start.fpr is not None:
        figure.add_annotation(
            x=x, y=y, ax=start.approval, ay=start.fpr, xref="x", yref="y", axref="x", ayref="y", text="",
            showarrow=True, arrowhead=2, arrowsize=0.9, arrowwidth=1.2, arrowcolor=color, standoff=3,
            startstandoff=4,
        )  # fmt: skip
    figure.add_scatter(
        x=[c.approval for c in cells], y=[c.fpr for c in cells], mode="markers", cliponaxis=False, name=name,
        marker={"symbol": symbol, "size": 5, "color": color, "line": {"color": "white", "width": 0.6}},
        text=[f"seed {c.seed}" for c in cells],
        hovertemplate=f"{name}, %{{text}}: approved %{{x:.1%}}, wrong ones %{{y:.1%}}<extra></extra>",
    )  # fmt: skip


def _probe(figure: go.Figure, cell: RecipeCell, color: str, symbol: str) -> None:
    if cell.auroc is None or cell.fpr is None:
        return
    axes = {"xaxis": "x2", "yaxis": "y2"}
    name = f"{cell.recipe}, {cell.reward}, seed {cell.seed}"
    if cell.ceiling is not None:
        figure.add_scatter(
            x=[cell.fpr], y=[cell.ceiling], mode="markers", cliponaxis=False, name=f"{name}, ceiling",
            marker={"symbol": symbol, "size": 5.5, "color": "white", "line": {"color": color, "width": 1}},
            hovertemplate=f"{name}, fitted there: %{{y:.3f}}<extra></extra>", **axes,
        )  # fmt: skip
    if cell.auroc_low is not None and cell.auroc_high is not None:
        figure.add_scatter(
            x=[cell.fpr, cell.fpr], y=[cell.auroc_low, cell.auroc_high], mode="lines", hoverinfo="skip",
            line={"color": color, "width": 1}, **axes,
        )  # fmt: skip
    said = f"{number(cell.auroc, 3)} [{number(cell.auroc_low, 3)}, {number(cell.auroc_high, 3)}]"
    figure.add_scatter(
        x=[cell.fpr], y=[cell.auroc], mode="markers", cliponaxis=False, name=name,
        marker={"symbol": symbol, "size": 5.5, "color": color},
        hovertemplate=f"{name}: AUROC {said}<extra></extra>", **axes,
    )  # fmt: skip
