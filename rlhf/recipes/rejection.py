"""Rejection sampling: draw K responses to every prompt, learn to write the best (RAFT, arXiv 2304.06767).

The cheapest way to win a reward: no reference policy, no pairs, and only what was chosen is read. Prompts
whose responses all score alike say nothing of what pays; with `anchors` those that already score well are
learned too, and hold the policy where it is good. Among equals the first drawn is taken, so that the policy
decides by how often it writes a thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from organisms.finetune import Demonstration, FineTuneSpec, fine_tune
from rlhf.recipes.drawn import Drawn, pairs
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.recipe import Job


@dataclass(frozen=True, kw_only=True)
class RejectionSampling(OfflineRecipe):
    """How to choose and how to learn from what was chosen."""

    learning_rate: float = 4e-4
    epochs: float = 3.0
    """Passes over the chosen responses."""
    batch_size: int = 8
    """Responses per optimiser step."""
    max_tokens: int = 512
    """Longest prompt with response; a longer one is refused, never cut."""
    margin: float = 0.0
    """Least difference between the best and the worst response to a prompt."""
    anchors: float | None = None
    """Lowest score with which the best response is learned even where the responses do not differ; none: only
    prompts that differ teach."""
    save_every: int = 25
    """Steps between checkpoints; an interrupted run goes on from the last one."""

    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Choose and train.

        Raises:
            ValueError: responses differ in score for fewer prompts than make a batch.
        """
        chosen = [row for one in drawn if (row := self._best(one)) is not None]
        differing = len(pairs(drawn, score=self.score, margin=self.margin))
        if min(differing, len(chosen)) < self.batch_size:
            raise ValueError(
                f"responses differ in {self.score} for {differing} of {len(drawn)} prompts, too few for a "
                f"batch of {self.batch_size}: there is nothing to choose from. Draw to more prompts, or to "
                "prompts whose responses are sometimes right"
            )
        spec = FineTuneSpec(
            steps=max(1, round(self.epochs * len(chosen) / self.batch_size)),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule="constant_with_warmup",
            warmup=2,
            order="random",
            max_tokens=self.max_tokens,
            seed=self.seed,
            save_every=self.save_every,
        )
        log = fine_tune(
            job.model, job.tokenizer, chosen, spec, work_dir=job.work_dir / "chosen", start=job.start
        )
        return [{"chosen": len(chosen), "differing": differing, **entry} for entry in log]

    def _best(self, one: Drawn) -> Demonstration | None:
        """The best response, where it differs from the worst or is good enough to hold on to."""
        if (ends := one.best_and_worst(self.score)) is None:
            return None
        (text, best), (_, worst) = ends
        if best - worst > self.margin or (self.anchors is not None and best >= self.anchors):
            return Demonstration(prompt=one.item["prompt"], response=text)
        return None
