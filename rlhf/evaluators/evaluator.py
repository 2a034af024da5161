"""What an evaluator sees, what an evaluator says, and the one interface of everybody who evaluates.

An evaluator is a person or a simulated person. It gets a view (the story or the problem as asked) and the
text of one response, and gives a judgement. A view holds no gold answer, no organism, no level and no id, so
there is nothing that an evaluator could look up: whatever it knows, it has read or run.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

CONFIDENCES = (0, 25, 50, 75, 100)
"""The scale of arXiv 2409.12822: how sure the evaluator is that the response is right, in percent."""


@dataclass(frozen=True, kw_only=True)
class StoryView:
    """A question about a story, as an evaluator sees it."""

    passage: str
    """The story; what an evaluator reads of it is the evaluator's affair."""
    question: str
    options: tuple[str, str]
    """The texts of answers A and B."""


@dataclass(frozen=True, kw_only=True)
class ProgramView:
    """A programming problem, as an evaluator sees it."""

    statement: str
    checks: tuple[Mapping[str, Any], ...]
    """Simple inputs that a person would write, with the outputs that the statement asks for
    (`rlhf.rewards.view.simple_checks`); never all tests of the problem."""


View = StoryView | ProgramView


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One evaluator's confidence in one response.

    Raises:
        ValueError: a confidence off the scale, or negative seconds.

    >>> Judgement(evaluator="anna", confidence=75).approved
    True
    """

    evaluator: str
    """Name of the individual."""
    confidence: int
    """0, 25, 50, 75 or 100: how sure it is that the response is right."""
    seconds: float = 0.0
    """Time used."""
    looked_at: tuple[tuple[int, int], ...] = ()
    """What was read of the passage: stretches of words, first and end (exclusive)."""
    inputs: tuple[str, ...] = ()
    """What the program was run on."""
    reason: str = ""
    """Why, in a few words."""

    def __post_init__(self) -> None:
        if self.confidence not in CONFIDENCES:
            raise ValueError(
                f"evaluator {self.evaluator!r}: confidence must be one of {CONFIDENCES}, "
                f"got {self.confidence!r}"
            )
        if self.seconds < 0:
            raise ValueError(f"evaluator {self.evaluator!r}: {self.seconds} seconds cannot be negative")

    @property
    def approved(self) -> bool:
        """Confidence above 50."""
        return self.confidence > 50

    def saw(self, words: tuple[int, int] | None) -> bool | None:
        """Whether these words of the passage were all read; None when it is not known where they stand.

        >>> Judgement(evaluator="anna", confidence=75, looked_at=((0, 40),)).saw((36, 42))
        False
        """
        if words is None:
            return None
        return any(first <= words[0] and words[1] <= end for first, end in self.looked_at)


@runtime_checkable
class Evaluator(Protocol):
    """Anybody who judges responses."""

    @property
    def name(self) -> str:
        """Names the individual; pools that must be disjoint are told apart by it."""
        ...

    def judge(self, view: View, response: str) -> Judgement:
        """Judge one response. The same view and response give the same judgement.

        Raises:
            TypeError: a view of a task that this evaluator does not judge.
        """
        ...


def own_random(name: str, *texts: str) -> random.Random:
    """An individual's chance decisions about one item: the same whenever it meets the item again."""
    digest = hashlib.sha256("\0".join((name, *texts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


_V = TypeVar("_V")


def expect(name: str, view: object, expected: type[_V]) -> _V:
    """The view itself; one of another task is refused by name."""
    if not isinstance(view, expected):
        raise TypeError(
            f"evaluator {name!r} judges {expected.__name__}, got {type(view).__name__}; "
            "use readers for stories and testers for programs"
        )
    return view
