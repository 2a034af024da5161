"""Draw the figures of a finished run again, from its saved results.

    python experiments/figures.py runs/transfer-mini --style.names.qa-clean "clean control"
    python experiments/figures.py docs/results/rlhf

Nothing is computed here: every number in a figure stands in results.json
(or, of a folder of experiments/rlhf_report.py, in the measures NAME.json). In a notebook:

    result = TransferResult.from_json(Path("runs/transfer-mini/results.json").read_text())
    headline_figure(result, Style(names={"qa-clean": "clean control"})).show()
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from study.figures import (
    Style,
    draw_all,
    forest_figure,
    gap_figure,
    headline_figure,
    layers_figure,
    matrix_figure,
    nulls_figure,
    roc_figure,
    save_figures,
    scores_figure,
    verification_figure,
)
from study.rlhf_figures import draw_report

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


def main(argv: Sequence[str] | None = None) -> None:
    """Redraw the figures and the report of the run in the folder given first."""
    from experiments.config import load_preset, pair_words
    from experiments.transfer import TransferConfig
    from sophistry.records import ConfigError
    from study.report import Report, write_report

    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return
    folder = Path(words[0])
    if not (folder / "results.json").is_file() and any(folder.glob("*.json")):
        print(draw_report(folder) or f"Drew {folder}/figures.")  # measures of RLHF
        return
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
