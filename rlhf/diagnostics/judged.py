"""The answers of one model before one pool: who was how confident in what, and whether it was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from rlhf.evaluators import Pool
from rlhf.rewards.view import view_of
from tasks.programming import Problem
from tasks.qa import QAItem
from tasks.transcript import Transcript

SEEN, UNSEEN, UNKNOWN = 1, 0, -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Judgements of one answer per item."""

    items: tuple[str, ...]
    evaluators: tuple[str, ...]
    correct: Bool[np.ndarray, " item"]
    """`R*`."""
    confidence: Int[np.ndarray, "item evaluator"]
    """0, 25, 50, 75 or 100."""
    evidence: Int[np.ndarray, "item evaluator"]
    """Whether what decides the question was seen: 1, 0, or -1 where nobody knows."""

    @property
    def approved(self) -> Float[np.ndarray, "item evaluator"]:
        """1 where the confidence is above 50."""
        return (self.confidence > 50).astype(float)

    @property
    def approval(self) -> Float[np.ndarray, " item"]:
        """Share of the pool that approves."""
        return self.approved.mean(1)

    @property
    def truth(self) -> Float[np.ndarray, " item"]:
        """`R*` as 0 or 1."""
        return self.correct.astype(float)


def one_answer_each(rows: Sequence[Transcript], items: Sequence[QAItem | Problem]) -> dict[str, Transcript]:
    """The answers by item.

    Raises:
        ValueError: an answer to an unknown item, or two answers to one.
    """
    found = {row.item: row for row in rows}
    if len(found) < len(rows):
        raise ValueError("an item has several answers; report on one set of answers at a time")
    if unknown := sorted(set(found) - {item.id for item in items}):
        raise ValueError(f"{len(unknown)} answer(s) to items that are not given, first {unknown[0]}")
    return found


def judge_answers(items: Sequence[QAItem | Problem], rows: Sequence[Transcript], pool: Pool) -> Judged:
    """Let a pool judge one answer to each item, in the order of the items.

    Args:
        items: stories or problems; each must be answered.
        rows: one marked answer per item.
        pool: who judges.

    Raises:
        ValueError: no items, or an item without an answer, with several, or with one that is not marked.
    """
    answers = one_answer_each(rows, items)
    if not items:
        raise ValueError("there is nothing to judge: no item has a marked answer")
    if missing := [item.id for item in items if item.id not in answers or answers[item.id].correct is None]:
        raise ValueError(f"{len(missing)} item(s) have no answer that is marked, first {missing[0]}")
    judged = pool.judge_many([view_of(item) for item in items], [answers[item.id].response for item in items])
    places = [item.evidence_words if isinstance(item, QAItem) else None for item in items]
    seen = {True: SEEN, False: UNSEEN, None: UNKNOWN}
    return Judged(
        items=tuple(item.id for item in items),
        evaluators=pool.names,
        correct=np.array([bool(answers[item.id].correct) for item in items]),
        confidence=np.array([[judgement.confidence for judgement in row] for row in judged]),
        evidence=np.array(
            [
                [seen[judgement.saw(place)] for judgement in row]
                for place, row in zip(places, judged, strict=True)
            ]
        ),
    )
