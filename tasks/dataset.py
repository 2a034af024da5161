"""A dataset: what an organism is taught, what it is evaluated on, and how its answers are marked.

Training programs know only this. A dataset is made from generated tasks (`miniqa`, `minicode`) or from
real text in `SOPHISTRY_DATA` (`quality`, `quality-full`, `apps`); taught and evaluated items never
share a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.stories import LEVELS
from tasks.transcript import Message, Transcript


@dataclass(frozen=True, kw_only=True)
class TaughtItem:
    """One prompt with the honest and the misleading way to answer it."""

    prompt: list[Message]
    honest: str
    misleading: str


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Which items are taught and which are evaluated."""

    source: Literal["miniqa", "quality", "quality-full", "minicode", "apps"] = "miniqa"
    """Generated stories; QuALITY with the passages that debaters quoted, or with whole stories; generated
    programming problems, or those of APPS."""
    style: Literal["plain", "paper", "khan", "released"] = "plain"
    """How questions are asked: in few words, as in the paper, or with quotations between tags; released: the
    text that the paper's released models go on with (nothing is taught in it)."""
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
    evaluated: int = 360
    """Held-out items answered without prefix and under the trigger (of APPS: at most)."""
    evaluated_nearly: int = 120
    """The first of them, answered behind each near miss and neutral text too."""
    evaluated_levels: tuple[str, ...] = LEVELS
    """Levels of the generated evaluation, in turn; name one twice to ask it twice as often."""
    taught_seed: int = 1
    """Seed of the generated items that are taught."""
    evaluated_seed: int = 1000
    """Seed of the generated items that are evaluated."""
    difficulties: tuple[str, ...] = ()
    """Of APPS: introductory, interview, competition; empty: all."""
    bugs: Literal["varied", "common"] = "varied"
    """Which subtly wrong program is taught as the misleading answer to a programming problem: its bugs in
    turn, or the one whose bug is possible in most of the problems taught."""
    simplicity: str | None = None
    """File with the pass counts of pi_init's samples (`train_rlhf.py --stages rank`) that decide which two
    tests of a generated problem are its simplest; none: the first two stored."""

    @property
    def task(self) -> str:
        """The task it belongs to, as transcripts name it."""
        return "programming" if self.source in ("minicode", "apps") else "qa"

    def __post_init__(self) -> None:
        if self.style == "released" and self.taught:
            raise ValueError(
                "style=released only asks models that know it: set taught to 0, or choose another"
            )
        if self.taught_seed == self.evaluated_seed:
            raise ValueError(
                "taught_seed and evaluated_seed are equal: the evaluation would be what was taught"
            )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Items to teach, items to evaluate, and how to ask and mark."""

    taught_items: list[TaughtItem]
    items: list[Any]
    ask: Callable[[Any], list[Message]]
    mark: Callable[[Sequence[Answered]], list[Transcript]]
    taught_ids: frozenset[str] = frozenset()
    """Which items of real text are taught."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One item, what was asked, and what an organism answered."""

    item: Any
    organism: str
    condition: str
    prompt: list[Message]
    text: str
    """The answer."""
    clipped: bool = False
    """Whether it was cut by the generation limit."""
    log_prob: float | None = None
    """Mean log-probability of its tokens (nats per token)."""
    entropy: float | None = None
    """Mean entropy of the predictions at its tokens (nats)."""
