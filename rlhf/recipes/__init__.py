"""How a policy is optimised: one call, ``train_rlhf``, for every recipe and every reward."""

from rlhf.recipes.monitor import StopRule
from rlhf.recipes.ppo import PPO
from rlhf.recipes.recipe import Job, Reward, TrainingResult, train_rlhf
from rlhf.recipes.rollout import SamplingOptions

__all__ = ["PPO", "Job", "Reward", "SamplingOptions", "StopRule", "TrainingResult", "train_rlhf"]
