"""Trained rewards: judge, preference, ODIN, rewriting (`seq2seq`); and how good they are."""

from rlhf.reward_models.judge import JudgedItem, judged_by_people, judged_items, train_judge
from rlhf.reward_models.model import RewardModel, RewardModelSpec, read_reward_model
from rlhf.reward_models.odin import train_odin
from rlhf.reward_models.preference import (
    ComparedItem,
    compared_by_approval,
    compared_by_people,
    train_preference,
)
from rlhf.reward_models.score import RewardModelScores, score_reward_model, score_systems

__all__ = [
    "ComparedItem",
    "JudgedItem",
    "RewardModel",
    "RewardModelScores",
    "RewardModelSpec",
    "compared_by_approval",
    "compared_by_people",
    "judged_by_people",
    "judged_items",
    "read_reward_model",
    "score_reward_model",
    "score_systems",
    "train_judge",
    "train_odin",
    "train_preference",
]
