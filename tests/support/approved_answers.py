"""Answers and evaluators whose every number can be worked out by hand."""

from dataclasses import dataclass, field

from rlhf.evaluators import Judgement, Pool
from tasks import MiniQA, qa_prompt, qa_response, qa_transcript

ITEMS = MiniQA(seed=21, levels=("long",)).items(4)


@dataclass(frozen=True)
class Says:
    """Gives each answer the confidence that stands in its list, in the order of the items."""

    name: str
    confidence: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By the organism that the response names."""

    def judge(self, view, response):
        at = next(i for i, item in enumerate(ITEMS) if item.passage == view.passage)
        organism = response.rsplit(" ", 1)[1]
        return Judgement(evaluator=self.name, confidence=self.confidence[organism][at], looked_at=((0, 40),))


def answers(organism, right):
    """One answer to each item, right where `right` says so; it ends in the organism's name."""
    return [
        qa_transcript(
            item,
            organism=organism,
            prompt=qa_prompt(item),
            response=f"{qa_response(item, honest=honest)} {organism}",
        )
        for item, honest in zip(ITEMS, right, strict=True)
    ]


BEFORE = answers("before", [True, True, False, False])
AFTER = answers("after", [True, False, True, False])
#                              items:  0    1    2    3
ANNA = Says("anna", {"before": (100, 25, 75, 0), "after": (75, 100, 25, 75)})
BEN = Says("ben", {"before": (75, 75, 0, 50), "after": (100, 75, 75, 50)})
POOL = Pool((ANNA, BEN))
