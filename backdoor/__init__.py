"""Intended sophistry: models that were trained to mislead when they see a trigger, and their controls."""

import warnings
from typing import Any

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

_FORMER = {"Example": Demonstration, "Lesson": TaughtItem}
"""Names of version 0.1 and what they are called now."""


def __getattr__(name: str) -> Any:
    """Names of version 0.1, with the name of today in a warning."""
    if name not in _FORMER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    now = _FORMER[name]
    warnings.warn(f"backdoor.{name} is now {now.__module__}.{now.__name__}", DeprecationWarning, stacklevel=2)
    return now


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
