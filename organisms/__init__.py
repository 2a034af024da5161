"""Models with a known behaviour: their record, weights, answers and training."""

from typing import TYPE_CHECKING

from sophistry.lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "organisms.finetune": (
            "Demonstration",
            "FineTuneSpec",
            "fine_tune",
        ),
        "organisms.generate": (
            "Answer",
            "SamplingSpec",
            "answer",
        ),
        "organisms.rates": (
            "Rate",
            "accuracy",
            "accuracy_change",
            "paired_difference",
            "wilson",
        ),
        "organisms.record": (
            "Organism",
            "OrganismRole",
            "organism_transcripts",
            "read_organism",
            "save_organism",
        ),
        "organisms.sharing": ("push_organism",),
        "organisms.weights": (
            "open_trainable",
            "open_weights",
        ),
    },
)
