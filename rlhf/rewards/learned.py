"""A trained reward model as a reward: what it sees is what it was trained to see, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.rewards.reward import Column, Reward
from rlhf.rewards.view import NONE, PROGRAM_COLUMNS, PROMPT_COLUMNS, STORY_COLUMNS, Shown, prompt_view, views

if TYPE_CHECKING:
    from rlhf.reward_models.model import RewardModel, RewardModelRecord


class LearnedReward(Reward):
    """The score of a reward model: P(agree) of a judge, else its first output.

    Args:
        model: trained (`rlhf.reward_models`).
        name: in logs; None: the kind and the weights, so that a run goes on only with the same reward model.

    `LearnedReward.load(folder)` reads one from disk.
    """

    def __init__(self, model: RewardModel, *, name: str | None = None) -> None:
        super().__init__(name or f"{model.record.kind}-{model.digest()[:12]}", columns_shown(model.record))
        self.model = model

    @classmethod
    def load(cls, folder: str | Path, *, name: str | None = None) -> LearnedReward:
        """Read a reward model from its folder.

        Raises:
            FileNotFoundError: the folder holds no reward model.
            ValueError: it belongs to another base.
        """
        from rlhf.reward_models.model import RewardModel

        return cls(RewardModel.load(folder), name=name)

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """Scores."""
        return [float(score) for score in self.model.score(self._views(columns), responses)]

    def _views(self, columns: Mapping[str, Column]) -> Sequence[Shown]:
        if self.sees == PROMPT_COLUMNS:
            return [prompt_view(prompt) for prompt in columns["prompt"]]
        if "question" in columns and "passage" not in columns:  # it was trained without the story
            columns = {**columns, "passage": [""] * len(columns["question"])}
        elif "statement" in columns:
            columns = {**columns, "checks": [()] * len(columns["statement"])}
        return views(columns)


def columns_shown(record: RewardModelRecord) -> frozenset[str]:
    """The columns that stand in a reward model's text."""
    if record.trained_on == "prompts":
        return PROMPT_COLUMNS
    if record.trained_on == "programs":
        return PROGRAM_COLUMNS - {"checks"}
    return STORY_COLUMNS - {"passage"} if record.spec.visibility == NONE else STORY_COLUMNS
