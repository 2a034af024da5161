"""All figures of a finished run, from its saved results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go

from probes.evaluation.kinds import DomainRole
from probes.evaluation.results import TransferResult
from study.plots.export import save_figures
from study.plots.figure8 import figure8
from study.plots.forest import forest_figure
from study.plots.gap import gap_figure
from study.plots.geometry import geometry_figure
from study.plots.headline import headline_figure
from study.plots.layers import layers_figure
from study.plots.matrix import matrix_figure
from study.plots.nulls import nulls_figure
from study.plots.roc import roc_figure
from study.plots.scores import scores_figure
from study.plots.style import Style
from study.plots.verification import verification_figure

__all__ = [
    "Style",
    "draw_all",
    "figure8",
    "forest_figure",
    "gap_figure",
    "geometry_figure",
    "headline_figure",
    "layers_figure",
    "matrix_figure",
    "nulls_figure",
    "roc_figure",
    "save_figures",
    "scores_figure",
    "verification_figure",
]


def draw_all(
    result: TransferResult,
    style: Style | None = None,
    verifications: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, go.Figure]:
    """Draw every figure that the result and the verification records hold material for, by file name.

    Figures about one target are drawn for each; with several targets the name ends in the target's.
    """
    style = style or Style()
    figures = {"headline": headline_figure(result, style), "figure8": figure8(result, style)}
    if result.layer_curves:
        figures["layers"] = layers_figure(result, style)
    if len(result.matrix) > 1:
        figures["matrix"] = matrix_figure(result, style)
    if any(g.probe == result.headline_probe for g in result.geometry):
        figures["geometry"] = geometry_figure(result, style)
    if any(e.histogram for e in result.evaluations):
        figures["scores"] = scores_figure(result, style)
    targets = [d.name for d in style.domains(result, DomainRole.TARGET)]
    for target in targets:
        ending = f"-{target}" if len(targets) > 1 else ""
        for name, draw in _per_target(result, target).items():
            figures[name + ending] = draw(result, style, target)
    if verifications:
        figures["verification"] = verification_figure(verifications, style)
    return figures


def _per_target(
    result: TransferResult, target: str
) -> dict[str, Callable[[TransferResult, Style, str], go.Figure]]:
    here = [e for e in result.evaluations if e.scored_on == target]
    controls = [c for c in result.controls if c.scored_on == target]
    material = {
        "roc": (roc_figure, any(e.roc for e in here)),
        "forest": (forest_figure, bool(controls) or any(s.scored_on == target for s in result.strata)),
        "nulls": (nulls_figure, any(e.null for e in here) or any(c.null for c in controls)),
        "gap": (gap_figure, any(r.target == target for r in result.repairs)),
    }
    return {name: draw for name, (draw, there) in material.items() if there}
