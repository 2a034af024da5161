"""All figures of a study, from its saved results: the matrix and what belongs to single sources."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from probes.evaluation.results import TransferResult
from study.matrix import MatrixResult
from study.plots.figure8 import figure8
from study.plots.geometry import geometry_figure
from study.plots.headline import headline_figure
from study.plots.layers import layers_figure
from study.plots.learning import learning_figure
from study.plots.same_text import crossings, same_text_figure
from study.plots.style import Style
from study.plots.transfer_matrix import cosines_figure, transfer_matrix_figure

__all__ = ["draw_matrix", "reading_name"]


def draw_matrix(
    result: MatrixResult, rows: Mapping[str, TransferResult], style: Style | None = None
) -> dict[str, go.Figure]:
    """Draw every figure that a study holds material for, by file name.

    `rows` are the results of the headline reading by source; figures about one end in its name.
    """
    style = style or Style()
    figures = {"transfer-matrix": transfer_matrix_figure(result, style)}
    if crossings(result):
        figures["same-text"] = same_text_figure(result, style)
    if any(curve.points for curve in result.learning):
        figures["learning"] = learning_figure(result, style)
    if any(cell.cosine is not None for cell in result.of_reading(*result.readings[0])):
        figures["cosines"] = cosines_figure(result, style)
    for reading in result.readings[1:]:
        figures[f"transfer-matrix-{reading_name(reading)}"] = transfer_matrix_figure(result, style, reading)
    for source, row in rows.items():
        figures[f"headline-{source}"] = headline_figure(row, style)
        figures[f"figure8-{source}"] = figure8(row, style)
        if row.layer_curves:
            figures[f"layers-{source}"] = layers_figure(row, style)
        if any(geometry.probe == row.headline_probe for geometry in row.geometry):
            figures[f"geometry-{source}"] = geometry_figure(row, style)
    return figures


def reading_name(reading: tuple[str, str, str]) -> str:
    """Name a reading (probe, site, tokens) for a file.

    >>> reading_name(("mlp", "resid_post", "response_mean"))
    'mlp-resid_post-response_mean'
    """
    return "-".join(reading)
