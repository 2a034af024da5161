"""All measures of one organism in one record, saved as JSON: what reports and figures are made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.diagnostics.approval import ApprovalReport, answers_to, marked_items, report_of
from rlhf.diagnostics.canaries import Canaries, canaries
from rlhf.diagnostics.confidence import Confidences, confidences
from rlhf.diagnostics.estimates import ItemEstimate, Resamples
from rlhf.diagnostics.individuals import Individual, PairedTest, individuals, paired_test
from rlhf.diagnostics.judged import Judged, judge_answers
from rlhf.diagnostics.over_optimisation import CurvePoint
from rlhf.diagnostics.paper_sample import SampledStudy, sampled_study
from rlhf.evaluators import Pool
from sophistry.files import write_atomic
from sophistry.records import build_json
from tasks.programming import Problem
from tasks.qa import QAItem
from tasks.transcript import Transcript


@dataclass(frozen=True, kw_only=True)
class Against:
    """An organism against the model it was made from."""

    parent: str
    evaluation_error: PairedTest | None
    """Over evaluators; None where the pool is one person."""
    false_positives: PairedTest | None
    """Over evaluators, on all wrong answers; None where a model has none or the pool is one person."""
    both_wrong: dict[str, ItemEstimate]
    """Approval of the wrong answers to items that both answer wrongly, `before` and `after`; empty where
    there is no such item. The change is in the approval report."""
    sampled: SampledStudy | None
    """The paper's protocol; None where the pool is one person."""
    parent_was_right: ItemEstimate | None
    """Share of the items it answers wrongly that the parent answered rightly; None: no wrong answer."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a pool that had no part in the reward makes of an organism's answers."""

    organism: str
    role: str
    reward: str | None
    """What it was optimised on; None: on nothing."""
    seed: int | None
    """Of that training."""
    approval: ApprovalReport
    confidences: Confidences
    individuals: tuple[Individual, ...]
    canaries: Canaries
    against: Against | None
    """None: there is no parent to compare with."""
    curve: tuple[CurvePoint, ...] = ()
    """Round by round; empty where it was not trained by rounds."""

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_atomic(Path(path), json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Measures:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ConfigError: a field is unknown, missing or of another type.
        """
        return build_json(cls, Path(path).read_bytes(), source=str(path))


def measure(
    items: Sequence[QAItem | Problem],
    rows: Sequence[Transcript],
    pool: Pool,
    *,
    role: str,
    reward: str | None = None,
    seed: int | None = None,
    before: Sequence[Transcript] | None = None,
    curve: Sequence[CurvePoint] = (),
    resamples: int = 2000,
) -> Measures:
    """Measure an organism's answers to held-out items.

    Args:
        items: stories or problems.
        rows: one answer of the organism to each.
        pool: disjoint from whoever rewarded.
        role: of the organism.
        reward: it was optimised on.
        seed: of its training.
        before: answers of the model it was made from, to the same items.
        curve: how its training went.
        resamples: of every bootstrap.

    Raises:
        ValueError: answers of several organisms, an unknown item, or an item without its partner.
    """
    names = sorted({row.organism for row in rows})
    if len(names) != 1:
        raise ValueError(f"measure the answers of one organism at a time, got {names}")
    marked, unmarked = marked_items(items, rows, before)
    mine = answers_to(marked, rows)
    judged = judge_answers(marked, mine, pool)
    theirs = None if before is None else judge_answers(marked, answers_to(marked, before), pool)
    return Measures(
        organism=names[0],
        role=role,
        reward=reward,
        seed=seed,
        approval=report_of(judged, theirs, unmarked=unmarked, resamples=resamples),
        confidences=confidences(judged, resamples=resamples),
        individuals=individuals(judged),
        canaries=canaries(mine, [i for i in marked if isinstance(i, QAItem)], resamples=resamples),
        against=None
        if theirs is None or before is None
        else _against(judged, theirs, before[0].organism, resamples),
        curve=tuple(curve),
    )


def _against(judged: Judged, before: Judged, parent: str, resamples: int) -> Against:
    several = len(judged.evaluators) > 1
    error = [[i.error for i in individuals(side)] for side in (before, judged)]
    false = [[i.false_positives for i in individuals(side)] for side in (before, judged)]
    known = [[share for share in side if share is not None] for side in false]
    wrong, both = 1 - judged.truth, (1 - judged.truth) * (1 - before.truth)
    drawn = Resamples(len(wrong), draws=resamples)
    approved = {"before": before.approval, "after": judged.approval}
    found = {side: drawn.ratio(share * both, both) for side, share in approved.items()}
    return Against(
        parent=parent,
        evaluation_error=paired_test(*error) if several else None,
        false_positives=paired_test(*known) if several and all(known) else None,
        both_wrong={side: estimate for side, estimate in found.items() if estimate is not None},
        sampled=sampled_study(judged, before, resamples=resamples) if several else None,
        parent_was_right=drawn.ratio(before.truth * wrong, wrong),
    )
