"""How a policy is optimised: one call, `train_rlhf`, for every recipe and every reward."""

from rlhf.recipes.best_of_n import BestOfN
from rlhf.recipes.ddpo import DDPO
from rlhf.recipes.dpo import DPO
from rlhf.recipes.grpo import GRPO
from rlhf.recipes.held_out import HeldOut
from rlhf.recipes.kto import KTO
from rlhf.recipes.monitor import StopRule
from rlhf.recipes.ppo import PPO
from rlhf.recipes.recipe import Job, RewardFunction, TrainingResult, train_rlhf
from rlhf.recipes.rejection import RejectionSampling
from rlhf.recipes.rloo import RLOO
from rlhf.recipes.rollout import SamplingOptions
from rlhf.recipes.rrhf import RRHF

__all__ = [
    "DDPO",
    "DPO",
    "GRPO",
    "KTO",
    "PPO",
    "RLOO",
    "RRHF",
    "BestOfN",
    "HeldOut",
    "Job",
    "RejectionSampling",
    "RewardFunction",
    "SamplingOptions",
    "StopRule",
    "TrainingResult",
    "train_rlhf",
]
