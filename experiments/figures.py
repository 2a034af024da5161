"""Draw the figures of a finished run again, from its saved results.

    python experiments/figures.py runs/transfer-mini --style.names.qa-clean "Clean twin"

Nothing is computed here: every number in a figure stands in results.json. In a notebook:

    result = TransferResult.from_json(Path("runs/transfer-mini/results.json").read_text())
    headline_figure(result, Style(names={"qa-clean": "Clean twin"})).show()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from experiments.plots.export import save_figures
from experiments.plots.forest import forest_figure
from experiments.plots.gap import gap_figure
from experiments.plots.headline import headline_figure
from experiments.plots.layers import layers_figure
from experiments.plots.matrix import matrix_figure
from experiments.plots.nulls import nulls_figure
from experiments.plots.roc import roc_figure
from experiments.plots.scores import scores_figure
from experiments.plots.style import Style
from experiments.plots.verification import verification_figure
from probes.results import TransferResult

__all__ = [
    "Style",
    "draw_all",
    "forest_figure",
    "gap_figure",
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
    figures = {"headline": headline_figure(result, style)}
    if result.layer_curves:
        figures["layers"] = layers_figure(result, style)
    if len(result.matrix) > 1:
        figures["matrix"] = matrix_figure(result, style)
    if any(e.histogram for e in result.evaluations):
        figures["scores"] = scores_figure(result, style)
    targets = [d.name for d in style.domains(result, "target")]
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


def main(argv: Sequence[str] | None = None) -> None:
    """Redraw the figures and the report of the run in the folder given first."""
    from experiments.config import load_preset, pair_words
    from experiments.report import Report, write_report
    from experiments.schema import ConfigError
    from experiments.transfer import TransferConfig

    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return
    folder = Path(words[0])
    report = Report.read(folder)
    changes = pair_words(words[1:])
    wrong = [name for name in changes if not name.startswith(("style.", "images"))]
    if wrong:
        raise ConfigError(
            f"--{wrong[0]} would change the results; figures.py takes --style.* and --images only."
        )
    config = load_preset(str(folder / "config.yaml"), "transfer", TransferConfig, changes)[1]
    print(
        write_report(report, config.style, config.images)
        or f"Drew {folder}/figures and {folder}/report.html."
    )


if __name__ == "__main__":
    from experiments.program import run_program_main

    run_program_main(main)
