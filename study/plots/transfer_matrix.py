"""The transfer matrix of a study, with the ceiling of every model; and the cosines of the directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go

from probes.evaluation.kinds import DomainRole
from study.matrix import MatrixResult, Model, ReadCell
from study.plots.grid import GridCell, Heading, grid_figure
from study.plots.style import CHANCE, Style, interval, number

__all__ = ["cosines_figure", "models_in_order", "transfer_matrix_figure"]

_BLOCKS = {DomainRole.SOURCE: 0, DomainRole.TARGET: 0, DomainRole.CONTROL: 2}
CEILING = "fitted there"


def transfer_matrix_figure(
    result: MatrixResult, style: Style | None = None, reading: tuple[str, str, str] | None = None
) -> go.Figure:
    """Draw AUROC and interval of the probe of every source (row) on every model (column).

    Blocks from left to right: models that answered, the same texts read by other weights, controls. A marked
    corner is the diagonal, cross-fitted; the row below is the same family fitted in the column's own model. A
    cell is outlined when its whole interval lies below chance. `reading` (probe, site, tokens) defaults to
    the headline.
    """
    style = style or Style()
    cells = {(c.fitted_on, c.scored_on): c for c in result.of_reading(*(reading or result.readings[0]))}
    models = models_in_order(result, style, [scored for _, scored in cells])
    sources = list(dict.fromkeys(fitted for fitted, _ in cells))
    drawn: dict[tuple[int, int], GridCell] = {}
    for j, model in enumerate(models):
        for i, source in enumerate(sources):
            if cell := cells.get((source, model.name)):
                drawn[i, j] = _cell(cell, style)
        own = _ceiling([c for c in cells.values() if c.scored_on == model.name])
        if own is not None and own.auroc.value is not None:
            drawn[len(sources), j] = own_cell(own, style)
    columns = [Heading(name=m.name, small=_counts(m), block=_block(m)) for m in models]
    rows = [Heading(name=source) for source in sources] + [Heading(name=CEILING, block=1)]
    return grid_figure(style, rows, columns, drawn, corner="scored on →<br>fitted on ↓")


def cosines_figure(
    result: MatrixResult, style: Style | None = None, reading: tuple[str, str, str] | None = None
) -> go.Figure:
    """Draw the cosine between every source's direction (row) and the one fitted in every target (column).

    At the layer that the source chose. Needs cells with a cosine.

    Raises:
        ValueError: no cell has one (probes without a direction).
    """
    style = style or Style()
    reading = reading or result.readings[0]
    found = {(c.fitted_on, c.scored_on): c for c in result.of_reading(*reading) if c.cosine is not None}
    if not found:
        raise ValueError(f"no cosines of {reading[0]}: its probes have no direction")
    models = models_in_order(result, style, [scored for _, scored in found])
    sources = list(dict.fromkeys(fitted for fitted, _ in found))
    drawn = {
        (i, j): GridCell(
            value=cell.cosine,
            text=number(cell.cosine),
            small=f"layer {cell.layer}",
            shade=cell.cosine or 0.0,
            hover=f"{style.name(source)} and {style.name(model.name)}, layer {cell.layer}: "
            f"cosine {number(cell.cosine, 3)}",
        )
        for i, source in enumerate(sources)
        for j, model in enumerate(models)
        if (cell := found.get((source, model.name)))
    }
    columns = [Heading(name=m.name, block=_block(m)) for m in models]
    rows = [Heading(name=source) for source in sources]
    return grid_figure(style, rows, columns, drawn, corner="fitted on →<br>fitted on ↓")


def models_in_order(result: MatrixResult, style: Style, names: Sequence[str]) -> list[Model]:
    """The named models in the style's order, then the result's, readers behind those who answered."""
    rank = {name: i for i, name in enumerate(style.order)}
    listed = [m for m in result.models if m.name in names]
    return sorted(listed, key=lambda m: (_block(m), rank.get(m.name, len(rank))))


def _block(model: Model) -> int:
    reads = model.reader != model.answers
    return 1 if reads and model.role != DomainRole.CONTROL else _BLOCKS[model.role]


def _counts(model: Model) -> str:
    return f"{model.sample.n_positive} | {model.sample.n_negative}"


def _cell(cell: ReadCell, style: Style) -> GridCell:
    value = cell.auroc.value
    sample = cell.sample
    lines = [
        f"fitted on {style.name(cell.fitted_on)}, scored on {style.name(cell.scored_on)}",
        f"AUROC {interval(cell.auroc, 3)}" + (", INVERTED" if cell.inverted else ""),
        f"{sample.n_positive} wrong, {sample.n_negative} right, {sample.n_groups} groups, layer {cell.layer}",
    ]
    lines += [f"fitted there {interval(cell.ceiling, 3)}"] if cell.ceiling else []
    lines += [f"verdict: {cell.verdict}"] if cell.verdict else []
    return GridCell(
        value=value,
        text=number(value),
        small=_span(cell),
        shade=0.0 if value is None else (value - CHANCE) / CHANCE,
        outlined=cell.inverted,
        cornered=cell.held_out,
        hover="<br>".join(lines),
    )


def _span(cell: ReadCell) -> str:
    low, high = cell.auroc.low, cell.auroc.high
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _ceiling(cells: Sequence[ReadCell]) -> ReadCell | None:
    """What is reached when fitted in the model itself: its diagonal, else the ceiling of the first row."""
    for cell in cells:
        if cell.held_out:
            return cell
    first = next((cell for cell in cells if cell.ceiling is not None), None)
    if first is None or first.ceiling is None:
        return None
    return replace(first, auroc=first.ceiling, inverted=False, held_out=False, ceiling=None)


def own_cell(cell: ReadCell, style: Style) -> GridCell:
    """The cell of the row of ceilings."""
    value = cell.auroc.value
    return GridCell(
        value=value,
        text=number(value),
        small=_span(cell),
        shade=0.0 if value is None else (value - CHANCE) / CHANCE,
        hover=f"fitted and scored on {style.name(cell.scored_on)}, cross-fitted: {interval(cell.auroc, 3)}",
    )
