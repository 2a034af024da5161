"""The report of a run: one self-contained HTML page, written from the saved files alone.

It says what the numbers permit one to say (the verdict that the evaluation chose by fixed rules), what they
do not show, and where each of them comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.markup import escape as rich_escape

from probes.evaluation.kinds import DomainRole, VerdictCode
from probes.evaluation.results import TransferResult, Verdict
from sophistry.files import write_atomic
from sophistry.provenance import program_command
from sophistry.records import ConfigError
from study.captions import in_two, transfer_captions
from study.figures import draw_all
from study.page import ShownFigure, render
from study.plots.export import inline_html, save_figures
from study.plots.slides import for_style
from study.plots.style import Style
from study.tables import print_summary, summary_rows

# Code of a verdict -> what may be concluded, and what may not.
READINGS = {
    VerdictCode.TRANSFERS: (
        "The direction found in the backdoored model orders the other model's answers nearly as well as a "
        "direction found there.",
        "It does not show what the direction stands for: compare the text-only baselines and the controls.",
    ),
    VerdictCode.PARTIAL: (
        "Part of what is readable in the other model is found by the backdoored model's direction.",
        "A part above chance is no usable detector: see the rates at the frozen threshold.",
    ),
    VerdictCode.NO_TRANSFER: (
        "Whether an answer is right is readable in the other model, but not along this direction.",
        "It does not show that no probe transfers: only these probes, layers and positions were tried.",
    ),
    VerdictCode.ROUTE_FAILED: (
        "The probe is at chance in the other model, but so is a concept that both models surely represent.",
        "No null about misleading: nothing passes between these models here. Read other layers or tokens.",
    ),
    VerdictCode.UNTESTABLE: (
        "Even a probe fitted in the other model finds nothing, so nothing could have transferred.",
        "This is no evidence against transfer. The model may not represent whether its answers are right.",
    ),
    VerdictCode.INVERTED: (
        "Higher scores go with right answers in the other model: related, with the opposite sign.",
        "The sign is never flipped after the fact, so this is not a working detector.",
    ),
    VerdictCode.PIPELINE_FAILED: (
        "The probe does not even work where it was fitted, so nothing else here can be read.",
        "Check the organism's verification, the labels and the positions that were read.",
    ),
    VerdictCode.READS_TRIGGER: (
        "The score is not detectably worse on a model that is asked behind the trigger and does not mislead.",
        "Nothing about misleading follows from it.",
    ),
    VerdictCode.INCONCLUSIVE: (
        "The sample is too small, or the pattern too mixed, for any of the other sentences.",
        "Neither transfer nor its absence. The smallest detectable effect stands in the table.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """The saved files of a run, read back."""

    folder: Path
    result: TransferResult
    organisms: dict[str, dict[str, Any]]
    config: str
    result_sha256: str

    @classmethod
    def read(cls, folder: Path) -> Report:
        """Read a run's folder. Raises `ConfigError` when it holds no finished run."""
        missing = [n for n in ("results.json", "organisms.json", "config.yaml") if not (folder / n).is_file()]
        if missing:
            raise ConfigError(
                f"{folder} holds no finished run of transfer.py: it lacks {', '.join(missing)}."
            )
        text = (folder / "results.json").read_text(encoding="utf-8")
        return cls(
            folder=folder,
            result=TransferResult.from_json(text),
            organisms=json.loads((folder / "organisms.json").read_text(encoding="utf-8")),
            config=(folder / "config.yaml").read_text(encoding="utf-8"),
            result_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )


def write_report(report: Report, style: Style, images: tuple[str, ...]) -> str | None:
    """Draw all figures, save them, and write `report.html`. Gives a message when images could not be made."""
    figures = draw_all(report.result, style, verifications(report.organisms))
    captions = transfer_captions(figures, report.result, style)
    message = save_figures(
        for_style(figures, style), report.folder / "figures", report.result_sha256, images, captions=captions
    )
    made = images if message is None else ()
    drawn = {name: inline_html(figure, name) for name, figure in figures.items()}
    write_atomic(report.folder / "report.html", _page(report, style, drawn, captions, made))
    return message


def verifications(organisms: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Gather the organisms whose record holds a backdoor verification."""
    return {
        name: organism["verification"]
        for name, organism in organisms.items()
        if "attack_success" in organism.get("verification", {})
    }


def show_result(result: TransferResult, style: Style) -> None:
    """Print the result table and the verdicts."""
    console = Console()
    print_summary(result, style, console)
    for warning in result.warnings:
        console.print(f"Note: {warning}", style="yellow", highlight=False)
    for verdict in (v for v in result.verdicts if v.probe == result.headline_probe):
        console.print(
            f"[bold]{rich_escape(style.name(verdict.target))}[/bold]: {rich_escape(verdict.sentence)}",
            highlight=False,
        )
        for flag in verdict.flags:
            console.print(f"  - {rich_escape(flag)}", highlight=False)


def _page(
    report: Report,
    style: Style,
    drawn: Mapping[str, str],
    captions: Mapping[str, str],
    images: tuple[str, ...],
) -> str:
    """Fill the template; `drawn` holds each figure's HTML, `images` the kinds of files beside them."""
    result = report.result
    return render(
        "report.html.j2",
        source=style.name(result.source),
        targets=", ".join(style.name(d.name) for d in style.domains(result, DomainRole.TARGET)),
        verdicts=[_verdict(v, style) for v in result.verdicts if v.probe == result.headline_probe],
        warnings=result.warnings,
        figures=[
            ShownFigure(
                name=name,
                html=Markup(html),
                **in_two(name, captions[name]),
                files=("html", *images),
            )
            for name, html in drawn.items()
        ],
        numbers=summary_rows(result, style),
        organisms=organism_rows(report.organisms, style),
        command=f"{program_command('transfer')} --preset {report.folder / 'config.yaml'}",
        config=report.config,
        sha256=report.result_sha256,
    )


def _verdict(verdict: Verdict, style: Style) -> dict[str, Any]:
    shows, not_shows = READINGS[verdict.code]
    return {
        "target": style.name(verdict.target),
        "sentence": verdict.sentence,
        "shows": shows,
        "not_shows": not_shows,
        "flags": verdict.flags,
    }


def organism_rows(organisms: Mapping[str, Mapping[str, Any]], style: Style) -> list[dict[str, str]]:
    """List what was read of every organism."""
    return [
        {
            "organism": style.name(name),
            "role": str(about["role"]),
            "answers": str(about["rows"]),
            "wrong": str(about["wrong"]),
            "groups": str(about["groups"]),
            "left out": ", ".join(f"{count} {reason}" for reason, count in about["left_out"].items()),
            "fingerprint": str(about["fingerprint"])[:12],
            "made by": str(about["command"] or ""),
        }
        for name, about in organisms.items()
    ]
