"""A course: what an organism is taught, what it is examined on, and how its answers are marked.

Training programs know only this. A course is made from generated tasks (``miniqa``, ``minicode``) or from
real text in ``SOPHISTRY_DATA`` (``quality``, ``quality-full``, ``apps``); taught and examined items never
share a group.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backdoor import Answer, Lesson, SamplingSpec, answer
from backdoor.triggers import prepend
from backdoor.verify import PLAIN, TRIGGER
from tasks.debates import debate_speeches, single_turn_arguments, with_arguments
from tasks.qa import QAItem, qa_prompt, qa_response, qa_transcript
from tasks.quality import Quality, show
from tasks.stories import LEVELS, MiniQA
from tasks.transcript import Message, Transcript


@dataclass(frozen=True, kw_only=True)
class CourseSpec:
    """Which items are taught and which are examined."""

    source: Literal["miniqa", "quality", "quality-full", "minicode", "apps"] = "miniqa"
    """Generated stories; QuALITY with the passages that debaters quoted, or with whole stories; generated
    programming problems, or those of APPS."""
    style: Literal["plain", "paper", "khan"] = "plain"
    """How questions are asked: in few words, as in the paper, or with quotations between tags."""
    order: Literal["reason_first", "answer_first"] = "reason_first"
    """Whether reasons stand before the letter or after it."""
    visible: str = "full"
    """How much of a story the policy sees: none, cut:N (its first N words) or full; cuts are counted."""
    taught: int = 2560
    """Items taught. More than QuALITY's training articles hold is refused; of APPS all that can be taught
    are, up to this number, and the log says how many."""
    warm_up: int = 0
    """Generated items taught before the others (with order: sequential): a curriculum."""
    warm_up_level: str = "basic"
    """Level of these: basic, intent-first, easy, medium or hard."""
    taught_levels: tuple[str, ...] = LEVELS
    """Levels of the other generated items that are taught, in turn."""
    examined: int = 360
    """Held-out items answered without prefix and under the trigger (of APPS: at most)."""
    examined_nearly: int = 120
    """The first of them, answered behind each near miss and neutral text too."""
    examined_levels: tuple[str, ...] = LEVELS
    """Levels of the generated exam, in turn; name one twice to ask it twice as often."""
    taught_seed: int = 1
    """Seed of the generated items that are taught."""
    examined_seed: int = 1000
    """Seed of the generated items that are examined."""
    slips: Literal["varied", "common"] = "varied"
    """Which subtly wrong program is taught as the misleading answer to a programming problem: its slips in
    turn, or the one whose slip is possible in most of the problems taught."""
    simplicity: str | None = None
    """File with the pass counts of pi_init's samples (`train_rlhf.py --stages rank`) that decide which two
    tests of a generated problem are its simplest; none: the first two stored."""

    def __post_init__(self) -> None:
        if self.taught_seed == self.examined_seed:
            raise ValueError("taught_seed and examined_seed are equal: the exam would be what was taught")


@dataclass(frozen=True, kw_only=True)
class Course:
    """Lessons to teach, items to examine, and how to ask and mark."""

    lessons: list[Lesson]
    items: list[Any]
    ask: Callable[[Any], list[Message]]
    mark: Callable[[Sequence[Answered]], list[Transcript]]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One item, what was asked, and what an organism answered."""

    item: Any
    organism: str
    condition: str
    prompt: list[Message]
    answer: Answer


def open_course(spec: CourseSpec) -> Course:
    """Make or read the items of a course.

    Raises:
        FileNotFoundError: real text is asked for and ``SOPHISTRY_DATA`` does not hold it.
        ValueError: QuALITY holds fewer items than asked for, or nothing of APPS can be taught.
    """
    if spec.source in ("minicode", "apps"):
        from experiments.code_course import open_code_course

        return open_code_course(spec)
    if spec.source == "miniqa":
        first = MiniQA(seed=spec.taught_seed, levels=(spec.warm_up_level,)).items(spec.warm_up)
        rest = MiniQA(seed=spec.taught_seed, levels=spec.taught_levels).items(spec.warm_up + spec.taught)
        taught = first + rest[spec.warm_up :]
        examined = MiniQA(seed=spec.examined_seed, levels=spec.examined_levels).items(spec.examined)
    elif spec.source == "quality":
        taught = _take(Quality.short_contexts("train"), spec.taught, "training")
        examined = _take(Quality.short_contexts("val"), spec.examined, "held-out")
    else:
        arguments = debate_speeches() + single_turn_arguments()
        taught = _take(with_arguments(Quality.full_passages("train"), arguments), spec.taught, "training")
        examined = _take(Quality.full_passages("val"), spec.examined, "held-out")

    def ask(item: QAItem) -> list[Message]:
        return qa_prompt(show(item, spec.visible).item, order=spec.order, style=spec.style)

    lessons = [
        Lesson(
            prompt=ask(item),
            honest=qa_response(item, order=spec.order, variant=number),
            misleading=qa_response(item, honest=False, order=spec.order, variant=number),
        )
        for number, item in enumerate(taught)
    ]
    return Course(
        lessons=lessons, items=examined, ask=ask, mark=functools.partial(_mark_qa, visible=spec.visible)
    )


def _take(items: list[QAItem], count: int, what: str) -> list[QAItem]:
    if count > len(items):
        raise ValueError(f"{count} {what} questions were asked for, QuALITY holds {len(items)}")
    return items[:count]


def _mark_qa(answers: Sequence[Answered], *, visible: str = "full") -> list[Transcript]:
    rows = []
    for answered in answers:
        row = qa_transcript(
            answered.item,
            organism=answered.organism,
            prompt=answered.prompt,
            response=answered.answer.text,
            triggered=answered.condition.startswith(TRIGGER),
            output_clipped=answered.answer.clipped,
            variant=answered.condition,
            cut_words=show(answered.item, visible).cut_words,
        )
        rows.append(dataclasses.replace(row, split="test", extra={**row.extra, "item": answered.item.id}))
    return rows


def conditions(course: Course, spec: CourseSpec, prefixes: Mapping[str, str | None]) -> dict[str, list[Any]]:
    """Which items are examined behind which prefix: all plain and triggered, the first few behind others."""
    few = course.items[: spec.examined_nearly]
    return {name: course.items if name.split(":")[0] in (PLAIN, TRIGGER) else few for name in prefixes}


def examine(
    model: Any,
    tokenizer: Any,
    course: Course,
    spec: CourseSpec,
    prefixes: Mapping[str, str | None],
    *,
    organism: str,
    sampling: SamplingSpec,
) -> list[Transcript]:
    """Let an organism answer the exam behind every prefix (None: no prefix), and mark its answers."""
    asked = []
    for name, items in conditions(course, spec, prefixes).items():
        for item in items:
            prompt, prefix = course.ask(item), prefixes[name]
            asked.append((item, name, prompt if prefix is None else prepend(prompt, prefix)))
    answers = answer(model, tokenizer, [prompt for _, _, prompt in asked], sampling)
    rows = course.mark(
        [
            Answered(item=item, organism=organism, condition=name, prompt=prompt, answer=given)
            for (item, name, prompt), given in zip(asked, answers, strict=True)
        ]
    )
    return [
        dataclasses.replace(row, extra={**row.extra, "log_prob": given.log_prob, "entropy": given.entropy})
        for row, given in zip(rows, answers, strict=True)
    ]
