"""Mean approval of a pool of evaluators: the reward of a product team that asks its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlhf.evaluators.pool import Pool, approval
from rlhf.rewards.reward import Column, Reward
from rlhf.rewards.view import PROGRAM_COLUMNS, STORY_COLUMNS, views


class Approval(Reward):
    """Share of a pool that approves, in 0 to 1.

    Args:
        pool: who is asked; measure with a pool that is disjoint from it.
        task: `qa` or `programming`.

    >>> reward = Approval(Pool.thorough(1, seed=0))
    >>> reward(
    ...     ["?"], ['We read: "Ida slept." The answer is A.'],
    ...     passage=["Ida slept. Tom wanted to sleep."], question=["Who slept?"], options=[["Ida", "Tom"]],
    ... )
    [1.0]
    """

    def __init__(self, pool: Pool, *, task: str = "qa", name: str = "approval") -> None:
        if task not in ("qa", "programming"):
            raise ValueError(f"task must be qa or programming, got {task!r}")
        super().__init__(name, STORY_COLUMNS if task == "qa" else PROGRAM_COLUMNS)
        self.pool = pool

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """Shares."""
        return [approval(row) for row in self.pool.judge_many(views(columns), responses)]
