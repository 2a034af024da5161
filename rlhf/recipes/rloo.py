"""REINFORCE with a leave-one-out baseline (arXiv 2402.14740) by TRL."""

from dataclasses import dataclass, field

from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.rollout import SamplingOptions
from rlhf.recipes.trl_policy import common_arguments, run_trl


@dataclass(frozen=True, kw_only=True)
class RLOO:
    """How to optimise; TRL's trainer does it. Resume follows TRL, which is close but not to the bit."""

    rounds: int = 100
    prompts: int = 32
    """Prompts per round."""
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    kl_coefficient: float = 0.03
    """Weight of the KL penalty (k1) in the reward."""
    normalise_advantages: bool = False
    reward_clip: float | None = 10.0
    clip: float = 0.2
    """Of the ratio of whole responses."""
    drop_clipped: bool = False
    """Leave responses that reach the limit out of the loss."""
    inner_epochs: int = 1
    minibatches: int = 2
    """Optimiser steps per inner epoch."""
    rows: int = 16
    """Responses per forward and backward pass."""
    learning_rate: float = 2e-4
    warmup: int = 5
    seed: int = 0
    save_every: int = 10
    """Rounds between checkpoints."""

    def __call__(self, job: Job) -> TrainingResult:
        """Train the job's model; see :func:`rlhf.recipes.train_rlhf`."""
        from trl.trainer.rloo_config import RLOOConfig
        from trl.trainer.rloo_trainer import RLOOTrainer

        steps = self.minibatches * self.inner_epochs
        config = RLOOConfig(
            **common_arguments(
                job,
                prompts=self.prompts,
                sampling=self.sampling,
                minibatches=self.minibatches,
                inner_epochs=self.inner_epochs,
                rounds=self.rounds,
                rows=self.rows,
            ),
            beta=self.kl_coefficient,
            normalize_advantages=self.normalise_advantages,
            reward_clip_range=None if self.reward_clip is None else (-self.reward_clip, self.reward_clip),
            epsilon=self.clip,
            mask_truncated_completions=self.drop_clipped,
            learning_rate=self.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=self.warmup,
            seed=self.seed,
            data_seed=self.seed,
            save_steps=self.save_every * steps,
        )
        return run_trl(self, job, lambda **given: RLOOTrainer(args=config, **given), steps_per_round=steps)
