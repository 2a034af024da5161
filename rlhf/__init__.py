"""Unintended sophistry: policies before (`pi_init`) and after (`pi_rlhf`) learning from preferences.

Names are imported when they are first asked for, so that `import rlhf` alone loads no trainer and no torch.
"""

from typing import TYPE_CHECKING

from sophistry.lazy import lazy_names

if TYPE_CHECKING:
    from rlhf.diagnostics.approval import approval_report
    from rlhf.evaluators.pool import Pool
    from rlhf.evaluators.readers import HurriedReader
    from rlhf.evaluators.testers import BusyTester
    from rlhf.preferences import llmbar_pairs, pandalm_pairs, preference_pairs
    from rlhf.recipes.dpo import DPOSpec, train_dpo
    from rlhf.recipes.recipe import train_rlhf
    from rlhf.recipes.sft import train_pi_init

__all__ = [
    "BusyTester",
    "DPOSpec",
    "HurriedReader",
    "Pool",
    "approval_report",
    "llmbar_pairs",
    "pandalm_pairs",
    "preference_pairs",
    "train_dpo",
    "train_pi_init",
    "train_rlhf",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "rlhf.diagnostics.approval": ("approval_report",),
        "rlhf.evaluators": ("BusyTester", "HurriedReader", "Pool"),
        "rlhf.preferences": ("llmbar_pairs", "pandalm_pairs", "preference_pairs"),
        "rlhf.recipes": ("train_rlhf",),
        "rlhf.recipes.dpo": ("DPOSpec", "train_dpo"),
        "rlhf.recipes.sft": ("train_pi_init",),
    },
)
