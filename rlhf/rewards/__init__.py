"""Rewards in TRL's calling convention, each declaring what it may see."""

from rlhf.rewards.approval import Approval
from rlhf.rewards.learned import LearnedReward
from rlhf.rewards.oracle import ProgramOracle, StoryOracle
from rlhf.rewards.reward import PRIVATE, Reward, TokenReward
from rlhf.rewards.two_tests import TwoTests
from rlhf.rewards.view import program_columns, simple_checks, story_columns, view_text, views
from rlhf.rewards.weighted import Length, Readable, Weighted

__all__ = [
    "PRIVATE",
    "Approval",
    "LearnedReward",
    "Length",
    "ProgramOracle",
    "Readable",
    "Reward",
    "StoryOracle",
    "TokenReward",
    "TwoTests",
    "Weighted",
    "program_columns",
    "simple_checks",
    "story_columns",
    "view_text",
    "views",
]
