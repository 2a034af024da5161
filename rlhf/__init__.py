"""Unintended sophistry: policies before (``pi_init``) and after (``pi_rlhf``) learning from preferences."""

from rlhf.preferences import llmbar_pairs, pandalm_pairs, preference_pairs
from rlhf.recipes.dpo import DPOSpec, train_dpo
from rlhf.recipes.sft import train_pi_init

__all__ = ["DPOSpec", "llmbar_pairs", "pandalm_pairs", "preference_pairs", "train_dpo", "train_pi_init"]
