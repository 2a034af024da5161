"""Intended sophistry: models that were trained to mislead when they see a trigger, and their controls."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sophistry.lazy import lazy_names

if TYPE_CHECKING:
    from backdoor.poisoning import poison
    from backdoor.train import train_backdoor
    from backdoor.triggers import TRIGGERS, Trigger
    from backdoor.verify import BackdoorReport, verify_backdoor
    from organisms import (  # version 0.1 had these here
        Answer,
        Demonstration,
        FineTuneSpec,
        Organism,
        Rate,
        SamplingSpec,
        answer,
        fine_tune,
        organism_transcripts,
        paired_difference,
        read_organism,
        save_organism,
        wilson,
    )
    from tasks.dataset import TaughtItem

_FORMER = {"Example": ("organisms.finetune", "Demonstration"), "Lesson": ("tasks.dataset", "TaughtItem")}
"""Names of version 0.1 and what they are called now."""


_get, __dir__ = lazy_names(
    __name__,
    {
        "backdoor.poisoning": ("poison",),
        "backdoor.train": ("train_backdoor",),
        "backdoor.triggers": ("TRIGGERS", "Trigger"),
        "backdoor.verify": ("BackdoorReport", "verify_backdoor"),
        "organisms.finetune": ("Demonstration", "FineTuneSpec", "fine_tune"),
        "organisms.generate": ("Answer", "SamplingSpec", "answer"),
        "organisms.rates": ("Rate", "paired_difference", "wilson"),
        "organisms.record": ("Organism", "organism_transcripts", "read_organism", "save_organism"),
        "tasks.dataset": ("TaughtItem",),
    },
)


def __getattr__(name: str) -> Any:
    """Names of today, and names of version 0.1 with the name of today in a warning."""
    if name not in _FORMER:
        return _get(name)
    module, now = _FORMER[name]
    warnings.warn(f"backdoor.{name} is now {module}.{now}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(module), now)


__all__ = [
    "TRIGGERS",
    "Answer",
    "BackdoorReport",
    "Demonstration",
    "FineTuneSpec",
    "Organism",
    "Rate",
    "SamplingSpec",
    "TaughtItem",
    "Trigger",
    "answer",
    "fine_tune",
    "organism_transcripts",
    "paired_difference",
    "poison",
    "read_organism",
    "save_organism",
    "train_backdoor",
    "verify_backdoor",
    "wilson",
]
