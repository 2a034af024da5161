"""People who judge responses, simulated or real, behind one interface."""

from rlhf.evaluators.evaluator import Evaluator, Judgement, ProgramView, StoryView, View
from rlhf.evaluators.human import HumanEvaluator, human_pool, read_judgements
from rlhf.evaluators.pool import Haste, Pool, approval
from rlhf.evaluators.readers import HurriedReader, SpotChecker, ThoroughReader
from rlhf.evaluators.testers import BusyTester

__all__ = [
    "BusyTester",
    "Evaluator",
    "Haste",
    "HumanEvaluator",
    "HurriedReader",
    "Judgement",
    "Pool",
    "ProgramView",
    "SpotChecker",
    "StoryView",
    "ThoroughReader",
    "View",
    "approval",
    "human_pool",
    "read_judgements",
]
