"""Models with a known behaviour: their record, weights, answers and training."""

from organisms.finetune import Demonstration, FineTuneSpec, fine_tune
from organisms.generate import Answer, SamplingSpec, answer
from organisms.rates import Rate, accuracy, accuracy_change, paired_difference, wilson
from organisms.record import Organism, OrganismRole, organism_transcripts, read_organism, save_organism
from organisms.sharing import push_organism
from organisms.weights import open_trainable, open_weights

__all__ = [
    "Answer",
    "Demonstration",
    "FineTuneSpec",
    "Organism",
    "OrganismRole",
    "Rate",
    "SamplingSpec",
    "accuracy",
    "accuracy_change",
    "answer",
    "fine_tune",
    "open_trainable",
    "open_weights",
    "organism_transcripts",
    "paired_difference",
    "push_organism",
    "read_organism",
    "save_organism",
    "wilson",
]
