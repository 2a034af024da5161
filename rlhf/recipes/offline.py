"""Recipes that draw first and learn then: once from `pi_init`, or in rounds from the policy of the day.

A round draws K responses to every prompt from the current policy, lets the rewards score them, and learns
from them; its reference policy, if the recipe has one, is the policy that drew. The first round may take
responses that were drawn before (`rlhf.recipes.drawn.draw`), so that recipes can share them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.drawn import Drawn, draw, read_drawn
from rlhf.recipes.recipe import Job, TrainingResult, refuse_token_rewards
from rlhf.recipes.rollout import SamplingOptions


@dataclass(frozen=True, kw_only=True)
class OfflineRecipe:
    """What recipes on drawn responses share: how they are drawn, what scores them, how many rounds.

    Raises:
        ValueError: no rounds, or too few samples per prompt for the recipe.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    score: str = "reward"
    """Which score decides: `reward` or the name of a monitor."""
    drawn: str | None = None
    """Folder of responses that this very policy has drawn before (`rlhf.recipes.drawn.draw`)."""
    rounds: int = 1
    """Rounds of drawing from the current policy and learning from what was drawn."""
    seed: int = 0
    """Of the draw, and of what is drawn in learning."""
    least_samples: ClassVar[int] = 2
    """Responses to a prompt that the recipe needs."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds}: there must be at least one")
        if self.sampling.samples < self.least_samples:
            raise ValueError(
                f"{type(self).__name__} compares the responses to a prompt, so it needs at least "
                f"{self.least_samples} of them; sampling.samples is {self.sampling.samples}"
            )

    @abstractmethod
    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Train the job's model in place on what was drawn; gives the log, one entry per step logged."""

    def __call__(self, job: Job) -> TrainingResult:
        """Draw and learn, `rounds` times; see `rlhf.recipes.train_rlhf`."""
        refuse_token_rewards(job, type(self).__name__)
        entries: list[dict[str, Any]] = []
        for number in range(self.rounds):
            here = job if number == 0 else replace(job, work_dir=job.work_dir / f"round-{number}")
            log = self.learn(here, self._draw(here, number))
            if self.rounds > 1 and log:
                log[-1] = {**log[-1], **_held_out(job)}
            for entry in log:
                turn = {"draw": number} if self.rounds > 1 else {}
                entries.append({**entry, "round": len(entries), **turn})
        return TrainingResult(rounds=entries, stopped=None, work_dir=job.work_dir)

    def _draw(self, job: Job, number: int) -> list[Drawn]:
        if self.drawn and number == 0:
            folder = Path(self.drawn)
        else:
            folder = draw(job, self.sampling, seed=self.seed + 7919 * number)
        found = read_drawn(folder, job.items, weights=digest_weights(job.model))
        most = max(len(one.responses) for one in found)
        if most < self.least_samples:
            raise ValueError(
                f"{folder} holds {most} response(s) per prompt; {type(self).__name__} compares the responses "
                f"to a prompt and needs at least {self.least_samples}: draw again with more samples"
            )
        return found


def _held_out(job: Job) -> dict[str, float]:
    found = job.evaluate(job.model) if job.evaluate else {}
    return {f"heldout/{name}": float(value) for name, value in found.items()}
