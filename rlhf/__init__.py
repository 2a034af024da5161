"""Unintended sophistry: policies before (`pi_init`) and after (`pi_rlhf`) learning from preferences.

Names are imported when they are first asked for, so that `import rlhf` alone loads no trainer and no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "rlhf.diagnostics.approval": ("approval_report",),
    "rlhf.evaluators": ("BusyTester", "HurriedReader", "Pool"),
    "rlhf.preferences": ("llmbar_pairs", "pandalm_pairs", "preference_pairs"),
    "rlhf.recipes": ("train_rlhf",),
    "rlhf.recipes.dpo": ("DPOSpec", "train_dpo"),
    "rlhf.recipes.sft": ("train_pi_init",),
}
"""Module -> the public names that it holds."""


def __getattr__(name: str) -> Any:
    """Import a public name from where it is defined."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
