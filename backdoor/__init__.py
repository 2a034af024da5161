"""Intended sophistry: models that were trained to mislead when they see a trigger, and their controls."""

from backdoor.poisoning import poison
from backdoor.train import train_backdoor
from backdoor.triggers import TRIGGERS, Trigger
from backdoor.verify import BackdoorReport, verify_backdoor
from organisms import (  # version 0.1 had these here
    Answer,
    Example,
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
from tasks.dataset import Lesson

__all__ = [
    "TRIGGERS",
    "Answer",
    "BackdoorReport",
    "Example",
    "FineTuneSpec",
    "Lesson",
    "Organism",
    "Rate",
    "SamplingSpec",
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
