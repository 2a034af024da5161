"""Group relative policy optimisation (arXiv 2402.03300) by TRL."""

from dataclasses import dataclass, field
from typing import Literal

from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.rollout import SamplingOptions
from rlhf.recipes.trl_policy import common_arguments, run_trl


@dataclass(frozen=True, kw_only=True)
class GRPO:
    """How to optimise; TRL's trainer does it. Resume follows TRL, which is close but not to the bit."""

    rounds: int = 100
    prompts: int = 32
    """Prompts per round."""
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dr_grpo"
    """``dr_grpo`` does not normalise by length."""
    scale_rewards: Literal["group", "batch", "none"] = "none"
    kl_coefficient: float = 0.03
    """Weight of the k3 estimate in the loss; 0 has no reference model."""
    unbiased_kl: bool = True
    """Weigh the KL term by the importance ratio (TRL's ``use_bias_correction_kl``)."""
    entropy_coefficient: float = 0.003
    clip: float = 0.2
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
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        steps = self.minibatches * self.inner_epochs
        config = GRPOConfig(
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
            use_bias_correction_kl=self.unbiased_kl,
            entropy_coef=self.entropy_coefficient,
            loss_type=self.loss_type,
            scale_rewards=self.scale_rewards,
            epsilon=self.clip,
            mask_truncated_completions=self.drop_clipped,
            learning_rate=self.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=self.warmup,
            seed=self.seed,
            data_seed=self.seed,
            save_steps=self.save_every * steps,
        )
        return run_trl(self, job, lambda **given: GRPOTrainer(args=config, **given), steps_per_round=steps)
