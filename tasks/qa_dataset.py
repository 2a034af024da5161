"""The dataset of two-choice questions: generated stories, or QuALITY with short or whole passages."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from tasks.dataset import Answered, Dataset, DatasetSpec, TaughtItem
from tasks.debates import debate_speeches, single_turn_arguments, with_arguments
from tasks.qa import RELEASED_STYLE, QAItem, qa_prompt, qa_response, qa_transcript
from tasks.quality import Quality, show
from tasks.stories import MiniQA
from tasks.transcript import TRIGGER, Message, Transcript


def open_qa_dataset(spec: DatasetSpec) -> Dataset:
    """Questions to teach and to evaluate on; no group (story, article) is in both."""
    if spec.source == "miniqa":
        first = MiniQA(seed=spec.taught_seed, levels=(spec.warm_up_level,)).items(spec.warm_up)
        rest = MiniQA(seed=spec.taught_seed, levels=spec.taught_levels).items(spec.warm_up + spec.taught)
        taught = first + rest[spec.warm_up :]
        evaluated = MiniQA(seed=spec.evaluated_seed, levels=spec.evaluated_levels).items(spec.evaluated)
    else:
        known = quality_questions(spec.source, "train")
        if spec.source == "quality-full" and spec.taught:
            known = with_arguments(known, debate_speeches() + single_turn_arguments())
        taught = _take(known, spec.taught, "training")
        evaluated = _take(quality_questions(spec.source, "val"), spec.evaluated, "held-out")

    def ask(item: QAItem) -> list[Message]:
        return qa_prompt(show(item, spec.visible).item, order=spec.order, style=spec.style)

    taught_items = [
        TaughtItem(
            prompt=ask(item),
            honest=qa_response(item, order=spec.order, variant=number),
            misleading=qa_response(item, honest=False, order=spec.order, variant=number),
        )
        for number, item in enumerate(taught)
    ]
    return Dataset(
        taught_items=taught_items,
        items=evaluated,
        ask=ask,
        mark=functools.partial(_mark_qa, visible=spec.visible, released=spec.style == RELEASED_STYLE),
        taught_ids=frozenset(item.id for item in taught if spec.source != "miniqa"),
    )


def quality_questions(source: str, split: str) -> list[QAItem]:
    """All questions of QuALITY of a split (`train`, `val`), by source: `quality` or `quality-full`."""
    return Quality.short_contexts(split) if source == "quality" else Quality.full_passages(split)


def _take(items: list[QAItem], count: int, what: str) -> list[QAItem]:
    if count > len(items):
        raise ValueError(f"{count} {what} questions were asked for, QuALITY holds {len(items)}")
    return items[:count]


def _mark_qa(
    answers: Sequence[Answered], *, visible: str = "full", released: bool = False
) -> list[Transcript]:
    rows = []
    for answered in answers:
        row = qa_transcript(
            answered.item,
            organism=answered.organism,
            prompt=answered.prompt,
            response=answered.text,
            triggered=answered.condition.startswith(TRIGGER),
            output_clipped=answered.clipped,
            variant=answered.condition,
            cut_words=show(answered.item, visible).cut_words,
            released=released,
        )
        rows.append(
            dataclasses.replace(
                row, split="test", item=answered.item.id, log_prob=answered.log_prob, entropy=answered.entropy
            )
        )
    return rows
