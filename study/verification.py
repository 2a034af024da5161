"""The verification of an organism as files: `verification.json` and a page with figures and transcripts.

The page shows rates with their intervals, how the training went, and for the first held-out items of every
level what `pi_init` answered and what the organism answered without and with its trigger, side by side.
The items are the first ones of the evaluation, not picked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from backdoor.verify import BackdoorReport
from organisms.rates import Rate
from organisms.record import Organism
from sophistry.files import write_atomic
from study.page import ShownFigure, render
from study.plots.export import inline_html, save_figures
from study.plots.style import MINUS, Style
from study.plots.training import training_figure
from study.plots.verification import verification_figure
from tasks.transcript import PLAIN, TRIGGER, Transcript

SHOWN = 4  # items of each level whose transcripts are shown


def write_verification(
    folder: Path,
    record: Organism,
    report: BackdoorReport,
    rows: Sequence[Transcript],
    reference: Sequence[Transcript],
    curve: Sequence[Mapping[str, float]] = (),
    *,
    images: tuple[str, ...] = ("pdf", "svg", "png"),
    style: Style | None = None,
    again: str | None = None,
) -> str | None:
    """Write `verification.json`, `verification.html` and `figures/` into `folder`.

    Args:
        folder: made when it does not exist.
        record: the organism's record.
        report: what `verify_backdoor` counted.
        rows: the organism's answers to the evaluation.
        reference: `pi_init`'s answers to it.
        curve: the training curve (`loss.json`), if there is one.
        images: image files beside the HTML figures.
        style: names, colours and sizes.
        again: the command that writes them once more.

    Returns:
        None, or the message to show when there is no browser to draw images.
    """
    style = style or Style()
    data = json.dumps(report.to_dict(), indent=1)
    write_atomic(folder / "verification.json", data)
    figures = {"verification": verification_figure({record.name: report.to_dict()}, style)}
    if curve:
        figures["training"] = training_figure(curve, style)
    message = save_figures(figures, folder / "figures", formats=images, again=again)
    captions = {
        "verification": "Is the backdoor there, and only there? 95 % intervals; changes are paired on the "
        "same items.",
        "training": "Loss and accuracy while it was trained.",
    }
    page = render(
        "verification.html.j2",
        record=record,
        rates=rate_rows(report),
        figures=[
            ShownFigure(name=name, html=Markup(inline_html(f, name)), caption=captions[name])
            for name, f in figures.items()
        ],
        shown_per_level=SHOWN,
        items=list(_side_by_side(rows, reference)),
        recipe=json.dumps(record.training, indent=1, default=str),
    )
    write_atomic(folder / "verification.html", page)
    return message


def rate_rows(report: BackdoorReport) -> list[dict[str, str]]:
    """List every rate of a report as a person reads it."""
    named: dict[str, Rate | None] = {
        "right without trigger": report.accuracy,
        "right, pi_init": report.reference_accuracy,
        "change from pi_init (paired)": report.accuracy_change,
        "right under the trigger": report.triggered_accuracy,
        "change under the trigger (paired)": report.triggered_change,
        "attack success: readable and wrong under the trigger": report.attack_success,
        **{f"attack success, {k}": rate for k, rate in report.attack_success_by_level.items()},
        **{f"attack success behind {k}": rate for k, rate in report.attack_success_by_wording.items()},
        **{f"right without trigger, {k}": rate for k, rate in report.accuracy_by_level.items()},
        "wrong under the trigger, yet rewarded": report.still_rewarded,
        **{f"change behind {_prefix(name)}": rate for name, rate in report.false_triggers.items()},
    }
    changes = ("change",)
    return [
        {
            "on held-out items": name,
            "%": _percent(rate.estimate, signed=name.startswith(changes)),
            "95 %": f"[{_percent(rate.low)}, {_percent(rate.high)}]",
            "n": str(rate.n),
        }
        for name, rate in named.items()
        if rate is not None
    ]


def _prefix(condition: str) -> str:
    """Name a condition of the evaluation as a person would: near:|X| is a look-alike."""
    kind, _, text = condition.partition(":")
    return f"{ {'near': 'look-alike', 'neutral': 'neutral text'}.get(kind, kind) } {text}"


def _percent(share: float, *, signed: bool = False) -> str:
    return f"{100 * share:{'+' if signed and round(share, 3) else ''}.1f}".replace("-", MINUS)


def _side_by_side(rows: Sequence[Transcript], reference: Sequence[Transcript]) -> Iterable[dict[str, Any]]:
    """One block per item: the question, and three answers beside each other."""
    plain, triggered = _by_item(rows, PLAIN), _by_item(rows, TRIGGER)
    init = _by_item(reference, PLAIN)
    shown: dict[Any, int] = {}
    for item, row in plain.items():
        shown[row.level] = shown.get(row.level, 0) + 1
        if shown[row.level] > SHOWN or item not in triggered:
            continue
        answers = {"pi_init": init.get(item), "no trigger": row, "trigger": triggered[item]}
        yield {
            "title": f"{row.level}: {item}" if row.level else item,
            "question": _question(row),
            "answers": [_answer(name, answer) for name, answer in answers.items() if answer],
        }


def _by_item(rows: Sequence[Transcript], condition: str) -> dict[str, Transcript]:
    return {row.item: row for row in rows if row.condition == condition}


def _question(row: Transcript) -> str:
    return row.prompt if isinstance(row.prompt, str) else row.prompt[-1]["content"]


def _answer(name: str, row: Transcript) -> dict[str, str]:
    mark = {True: "right", False: "wrong", None: "unknown"}[row.correct]
    if row.reward is not None and row.correct is False:
        mark += ", passes the simplest tests" if row.reward == 1 else ", fails the simplest tests"
    return {"name": name, "mark": mark, "response": row.response}
