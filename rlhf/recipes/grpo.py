"""Group relative policy optimisation (arXiv 2402.03300) by TRL."""

from dataclasses import dataclass
from typing import Literal

from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.trl_policy import OnlineTRL, run_trl


@dataclass(frozen=True, kw_only=True)
class GRPO(OnlineTRL):
    """How to optimise: advantages against the mean of a prompt's samples, the KL (k3) in the loss.

    With `kl_coefficient=0` there is no reference model.
    """

    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dr_grpo"
    """`dr_grpo` does not normalise by length."""
    scale_rewards: Literal["group", "batch", "none"] = "none"
    unbiased_kl: bool = True
    """Weigh the KL term by the importance ratio (TRL's `use_bias_correction_kl`)."""
    entropy_coefficient: float = 0.003

    def __call__(self, job: Job) -> TrainingResult:
        """Train the job's model; see `rlhf.recipes.train_rlhf`."""
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        config = GRPOConfig(
            **self.arguments(job),
            use_bias_correction_kl=self.unbiased_kl,
            entropy_coef=self.entropy_coefficient,
            loss_type=self.loss_type,
            scale_rewards=self.scale_rewards,
        )
        return run_trl(self, job, lambda **given: GRPOTrainer(args=config, **given))
