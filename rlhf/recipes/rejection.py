"""Rejection sampling: draw K responses to every prompt, learn to write the best (RAFT, arXiv 2304.06767).

The cheapest way to win a reward: no reference policy, no pairs, and only what was chosen is read. Prompts
whose responses all score alike teach nothing and are left out; among equals the first drawn is taken, so that
the policy decides by how often it writes a thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from organisms.finetune import Demonstration, FineTuneSpec, fine_tune
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.drawn import draw, pairs, read_drawn
from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.rollout import SamplingOptions


@dataclass(frozen=True, kw_only=True)
class RejectionSampling:
    """How to choose and how to learn from what was chosen."""

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    learning_rate: float = 4e-4
    epochs: float = 3.0
    """Passes over the chosen responses."""
    batch_size: int = 8
    """Responses per optimiser step."""
    max_tokens: int = 512
    """Longest prompt with response; a longer one is refused, never cut."""
    score: str = "reward"
    """Which score decides: `reward` or the name of a monitor."""
    margin: float = 0.0
    """Least difference between the best and the worst response to a prompt."""
    drawn: str | None = None
    """Folder of responses that this very policy has drawn before (`rlhf.recipes.drawn.draw`)."""
    seed: int = 0
    save_every: int = 25
    """Steps between checkpoints; an interrupted run goes on from the last one."""

    def __call__(self, job: Job) -> TrainingResult:
        """Draw, choose and train; see `rlhf.recipes.train_rlhf`.

        Raises:
            ValueError: responses differ in score for fewer prompts than make a batch.
        """
        folder = Path(self.drawn) if self.drawn else draw(job, self.sampling, seed=self.seed)
        drawn = read_drawn(folder, job.items, weights=digest_weights(job.model))
        chosen = [
            Demonstration(prompt=pair["prompt"], response=pair["chosen"][0]["content"])
            for pair in pairs(drawn, score=self.score, margin=self.margin)
        ]
        if len(chosen) < self.batch_size:
            raise ValueError(
                f"responses differ in {self.score} for {len(chosen)} of {len(drawn)} prompts, too few for a "
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
        rounds = [{"round": number, "chosen": len(chosen), **entry} for number, entry in enumerate(log)]
        return TrainingResult(rounds=rounds, stopped=None, work_dir=job.work_dir)
