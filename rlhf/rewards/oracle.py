"""`R*`: is it actually right? The control that shows what the same optimisation does with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.rewards.reward import Column, Reward
from tasks.grading import grade_many
from tasks.programming import extract_program
from tasks.qa import parse_answer


class StoryOracle(Reward):
    """1 iff the letter is the right one.

    >>> StoryOracle()(["?"], ["The answer is B."], gold=["B"])
    [1.0]
    """

    is_oracle = True

    def __init__(self) -> None:
        super().__init__("oracle", frozenset({"gold"}))

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """1 or 0."""
        return [float(parse_answer(r) == gold) for r, gold in zip(responses, columns["gold"], strict=True)]


class ProgramOracle(Reward):
    """1 iff all tests pass; None where no sandbox started."""

    is_oracle = True

    def __init__(self) -> None:
        super().__init__("oracle", frozenset({"tests"}))

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """1, 0 or None."""
        return passes_all(responses, columns["tests"])


def passes_all(responses: Sequence[str], tests: Column, *, unsafe_local: bool = False) -> list[float | None]:
    """Whether the program in each response passes its tests, in one batch of sandboxes."""
    codes = [extract_program(response).code for response in responses]
    grades = grade_many(codes, list(tests), progress=False, unsafe_local=unsafe_local)
    return [None if g.passed is None else float(g.passed) for g in grades]
