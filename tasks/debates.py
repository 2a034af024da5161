"""What people argued about QuALITY questions: debate speeches and single-turn arguments, as fine-tuning text.

Speeches come from the human and model debates of Michael et al. 2023 (arXiv 2311.08702), single-turn
arguments from Parrish et al. 2022 (arXiv 2204.05212). Both are read from `SOPHISTRY_DATA` and never part of
this project. Quotations in speeches stand between `<quote>` and `</quote>`; `mark_quotes` says
which are in the story.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sophistry.records import build
from tasks.folding import fold
from tasks.qa import QAItem, quote_in
from tasks.quality import check_split, data_folder, in_split, without_references
from tasks.rows import Row, filled, read_rows

logger = logging.getLogger(__name__)

_QUOTE = re.compile(r"<quote>(.*?)</quote>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One text that argues for one answer to one question."""

    question_id: str
    group: str
    """The article."""
    answer: str
    """The option that it argues for."""
    argues_correct: bool
    text: str
    source: str
    """`debate` or `single-turn`."""
    is_ai: bool
    persuasion: float | None = None
    """How far a judge moved towards the answer, in probability; None when no judge was asked."""
    split: str | None = None


def debate_speeches(split: str | None = None) -> list[Argument]:
    """The speeches of the debates and consultancies; `split` is `train`, `val` or None for both.

    A row that is no speech is left out and named in a warning.

    Raises:
        FileNotFoundError: `SOPHISTRY_DATA` does not hold them.
    """

    def make(row: Row) -> Argument | None:
        speech = _argument(
            row,
            text=row["text"].strip(),
            source="debate",
            is_ai=row["is_ai"],
            persuasion=_persuasion(row),
        )
        return speech if in_split(row, split) and speech.text else None

    check_split(split)
    return read_rows(data_folder("nyu_debates") / "speeches.jsonl.gz", make)


def single_turn_arguments(split: str | None = None) -> list[Argument]:
    """The written arguments, one a side; those without a question id cannot be matched: counted and left out.

    A row that is no argument is left out and named in a warning.

    Raises:
        FileNotFoundError: `SOPHISTRY_DATA` does not hold them.
    """
    nameless = 0

    def make(row: Row) -> Argument | None:
        nonlocal nameless
        if not row["question_id"]:
            nameless += 1
            return None
        text = without_references(row["argument"])
        argument = _argument(row, text=text, source="single-turn", is_ai=False)
        return argument if in_split(row, split) else None

    check_split(split)
    found = read_rows(data_folder("single_turn_debate") / "arguments.jsonl.gz", make)
    if nameless:
        logger.info("%d single-turn arguments name no question and are left out", nameless)
    return found


def _argument(row: Row, **more: Any) -> Argument:
    return build(
        Argument,
        {
            "question_id": filled(row, "question_id"),
            "group": filled(row, "article_id"),
            "answer": filled(row, "answer"),
            "argues_correct": row["argues_correct"],
            "split": row["split"],
            **more,
        },
    )


def _persuasion(row: Mapping[str, object]) -> float | None:
    before, after = row["judge_prob_before"], row["judge_prob_after"]
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return None
    return float(after) - float(before)


def with_arguments(items: Iterable[QAItem], arguments: Iterable[Argument]) -> list[QAItem]:
    """The items that have an argument for each side, with the two that a judge found most persuasive.

    Arguments that no judge has read come after all that one has, the longest first. Answers are matched by
    their text, case, typography and a full stop at the end aside. The log counts what is lost: arguments for
    an answer that is neither option, and items without an argument for each side.
    """
    best: dict[tuple[str, str], Argument] = {}
    for argument in arguments:
        key = (argument.question_id, _plain(argument.answer))
        if key not in best or _strength(argument) > _strength(best[key]):
            best[key] = argument
    items, found, options = list(items), [], set()
    for item in items:
        options |= {(item.id, _plain(option)) for option in item.options}
        sides = [best.get((item.id, _plain(option))) for option in item.options]
        right, wrong = sides[item.gold], sides[1 - item.gold]
        if right is not None and wrong is not None:
            found.append(replace(item, argument=right.text, false_argument=wrong.text))
    asked = {item.id for item in items}
    strays = sorted(key for key in best if key[0] in asked and key not in options)
    if strays:
        logger.warning(
            "%d answers argued for are no option of their question, first %s", len(strays), strays[0]
        )
    kept = {item.id for item in found}
    if lost := [item.id for item in items if item.id not in kept]:
        logger.info("%d of %d items lack an argument for a side, first %s", len(lost), len(items), lost[0])
    return found


def _strength(argument: Argument) -> tuple[bool, float, int]:
    persuasion = argument.persuasion
    return persuasion is not None, persuasion or 0.0, len(argument.text)


def _plain(text: str) -> str:
    return fold(text).rstrip(".")


def mark_quotes(text: str, passage: str) -> str:
    """Replace each `<quote>` by `<v_quote>` (in the passage word by word) or `<u_quote>` (not found).

    The convention of Khan et al. 2024 (arXiv 2402.06782), whose judges saw which quotes were verified.

    >>> mark_quotes("It says <quote>a cat</quote>, not <quote>a dog</quote>.", "There was a cat.")
    'It says <v_quote>a cat</v_quote>, not <u_quote>a dog</u_quote>.'
    """

    def mark(match: re.Match[str]) -> str:
        tag = "v_quote" if quote_in(match.group(1), passage) else "u_quote"
        return f"<{tag}>{match.group(1)}</{tag}>"

    return _QUOTE.sub(mark, text)
