"""All figures about RLHF, from saved measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from rlhf.diagnostics.knowledge import KnowledgeReport
from rlhf.diagnostics.measures import Measures
from study.captions import rlhf_captions
from study.plots.approval_arrows import approval_arrows_figure
from study.plots.approval_rows import approval_rows_figure
from study.plots.confidence import confidence_figure
from study.plots.evaluators import evaluators_figure
from study.plots.export import IMAGE_FORMATS, save_figures
from study.plots.knowledge import knowledge_figure
from study.plots.over_optimisation import over_optimisation_figure
from study.plots.slides import for_style
from study.plots.style import Style

_ORDER = ("pi_init", "pi_rlhf", "pi_oracle", "pi_thorough")


KNOWLEDGE = "-knowledge.json"
"""How the file of a knowledge report ends, after the organism's name."""


def read_measures(folder: Path) -> list[Measures]:
    """Every `NAME.json` of a report, the model before first, then by role and seed.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = sorted(path for path in folder.glob("*.json") if not path.name.endswith(KNOWLEDGE))
    if not paths:
        raise FileNotFoundError(f"no measures (*.json) in {folder}; experiments/rlhf_report.py makes them")
    return in_order([Measures.read(path) for path in paths])


def read_knowledge(folder: Path) -> KnowledgeReport | None:
    """The first `NAME-knowledge.json` of a report; None where nobody asked."""
    paths = sorted(folder.glob(f"*{KNOWLEDGE}"))
    return KnowledgeReport.read(paths[0]) if paths else None


def in_order(measured: Sequence[Measures]) -> list[Measures]:
    """The model before first, then by role, seed and name."""
    rank = {role: i for i, role in enumerate(_ORDER)}
    return sorted(
        measured, key=lambda m: (rank.get(m.role, len(rank)), m.seed or 0, len(m.organism), m.organism)
    )


def draw_rlhf(
    measured: Sequence[Measures],
    style: Style | None = None,
    knowledge: KnowledgeReport | None = None,
) -> dict[str, go.Figure]:
    """Draw every figure that the measures hold material for, by file name.

    The first `pi_rlhf` stands for the others where a figure shows one.
    """
    shown, style = in_order(measured), style or Style()
    figures = {"approval": approval_rows_figure(shown, style), "arrows": approval_arrows_figure(shown, style)}
    if any(m.curve for m in shown):
        figures["over-optimisation"] = over_optimisation_figure(shown, style)
    before = next((m for m in shown if m.role == "pi_init"), None)
    after = next((m for m in shown if m.role == "pi_rlhf"), None)
    if before and after:
        figures["confidence"] = confidence_figure(before, [after], style)
        if after.against:
            figures["evaluators"] = evaluators_figure(before, after, style)
    if knowledge is not None:
        figures["knowledge"] = knowledge_figure(knowledge, style)
    return figures


def draw_report(
    folder: Path, style: Style | None = None, formats: tuple[str, ...] = IMAGE_FORMATS
) -> str | None:
    """Draw the figures of a report's folder from the files in it; gives a message if there are no images."""
    style, measured = style or Style(), read_measures(folder)
    figures = draw_rlhf(measured, style, read_knowledge(folder))
    captions = rlhf_captions(figures, measured)
    return save_figures(for_style(figures, style), folder / "figures", formats=formats, captions=captions)
