"""Draw the figures of a finished run again, from its saved results.

    python experiments/figures.py runs/transfer-mini --style.names.qa-clean "clean control"
    python experiments/figures.py runs/matrix-mini-matrix --style slides
    python experiments/figures.py docs/results/rlhf
    python experiments/figures.py recipes.json

Nothing is computed here: every number in a figure stands in results.json (or, of a folder of
experiments/rlhf_report.py, in the measures NAME.json; of a comparison of recipes, in the file that
study/recipe_cells.py describes). `--style paper` (the default) gives files of the exact width of a column or
of the text, `--style slides` a 16:9 page each. In a notebook:

    from study.figures import Style, headline_figure
    result = TransferResult.from_json(Path("runs/transfer-mini/results.json").read_text())
    headline_figure(result, Style(names={"qa-clean": "clean control"})).show()
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from study.figures import *  # noqa: F403  what notebooks import from here
from study.plots.export import IMAGE_FORMATS
from study.plots.style import Style
from study.rlhf_figures import draw_report


@dataclass(frozen=True, kw_only=True)
class Look:
    """How figures of a folder without config.yaml are drawn."""

    style: Style = field(default_factory=Style)
    """Names, colours and sizes in figures."""
    images: tuple[str, ...] = IMAGE_FORMATS
    """Image files beside the HTML figures."""


def main(argv: Sequence[str] | None = None) -> None:
    """Redraw the figures and the report of the run in the folder given first."""
    from experiments.config import pair_words
    from sophistry.records import ConfigError

    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return
    folder = Path(words[0])
    changes = pair_words(words[1:])
    wrong = [name for name in changes if not name.startswith(("style", "images"))]
    if wrong:
        raise ConfigError(
            f"--{wrong[0]} would change the results; figures.py takes --style and --images only."
        )
    if folder.is_file():
        print(_draw_recipes(folder, changes))
    elif not (folder / "results.json").is_file() and any(folder.glob("*.json")):
        style, images = _look(changes)
        print(draw_report(folder, style, images) or f"Drew {folder}/figures.")  # measures of RLHF
    else:
        print(_draw_run(folder, changes) or f"Drew {folder}/figures and {folder}/report.html.")


def _draw_run(folder: Path, changes: Mapping[str, str]) -> str | None:
    """Redraw a run of transfer.py or matrix.py; gives a message when there are no images."""
    from experiments.config import load_preset
    from experiments.matrix import MatrixConfig
    from experiments.transfer import TransferConfig
    from study.matrix import SCHEMA
    from study.matrix_report import MatrixReport, write_matrix_report
    from study.report import Report, write_report

    results, config = folder / "results.json", str(folder / "config.yaml")
    if results.is_file() and json.loads(results.read_text(encoding="utf-8")).get("schema") == SCHEMA:
        matrix = load_preset(config, "matrix", MatrixConfig, changes)[1]
        return write_matrix_report(MatrixReport.read(folder), matrix.style, matrix.images)
    report = Report.read(folder)
    transfer = load_preset(config, "transfer", TransferConfig, changes)[1]
    return write_report(report, transfer.style, transfer.images)


def _draw_recipes(path: Path, changes: Mapping[str, str]) -> str:
    """Draw a comparison of recipes beside its file."""
    from study.captions import recipe_caption
    from study.plots.export import save_figures
    from study.plots.recipes import recipes_figure
    from study.plots.slides import for_style
    from study.recipe_cells import RecipeCells

    style, images = _look(changes)
    found = RecipeCells.read(path)
    drawn = for_style({"recipes": recipes_figure(found, style)}, style)
    message = save_figures(
        drawn, path.parent / "figures", formats=images, captions={"recipes": recipe_caption(found)}
    )
    return message or f"Drew {path.parent}/figures/recipes."


def _look(changes: Mapping[str, str]) -> tuple[Style, tuple[str, ...]]:
    """Style and image files of a folder that has no config.yaml."""
    from experiments.config import overlay

    look = overlay(Look, {}, changes)
    return look.style, look.images


if __name__ == "__main__":
    from experiments.program import run_program_main

    run_program_main(main)
