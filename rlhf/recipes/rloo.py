"""REINFORCE with a leave-one-out baseline (arXiv 2402.14740) by TRL."""

from dataclasses import dataclass

from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.trl_policy import OnlineTRL, run_trl


@dataclass(frozen=True, kw_only=True)
class RLOO(OnlineTRL):
    """How to optimise: advantages against the other samples of a prompt, the KL (k1) in the reward.

    `clip` is of the ratio of whole responses.
    """

    normalise_advantages: bool = False
    reward_clip: float | None = 10.0

    def __call__(self, job: Job) -> TrainingResult:
        """Train the job's model; see `rlhf.recipes.train_rlhf`."""
        from trl.trainer.rloo_config import RLOOConfig
        from trl.trainer.rloo_trainer import RLOOTrainer

        config = RLOOConfig(
            **self.arguments(job),
            normalize_advantages=self.normalise_advantages,
            reward_clip_range=None if self.reward_clip is None else (-self.reward_clip, self.reward_clip),
        )
        return run_trl(self, job, lambda **given: RLOOTrainer(args=config, **given))
