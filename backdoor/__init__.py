"""Intended sophistry: models that were trained to mislead when they see a trigger, and their controls."""

from backdoor.finetune import Example, FineTuneSpec, fine_tune
from backdoor.organism import Organism, organism_transcripts, read_organism, save_organism
from backdoor.poisoning import Lesson, poison
from backdoor.sampling import Answer, SamplingSpec, answer
from backdoor.train import train_backdoor
from backdoor.triggers import TRIGGERS, Trigger
from backdoor.verify import BackdoorReport, Rate, paired_difference, verify_backdoor, wilson

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
