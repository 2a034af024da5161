"""Passes the two simplest tests (arXiv 2409.12822): what the paper trained its programmer on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.rewards.oracle import passes_all
from rlhf.rewards.reward import Column, Reward


class TwoTests(Reward):
    """1 iff the two tests in the column `simplest` pass; None where no sandbox started."""

    def __init__(self) -> None:
        super().__init__("two_tests", frozenset({"simplest"}))

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """1, 0 or None."""
        return passes_all(responses, columns["simplest"])
