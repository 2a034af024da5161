"""The paper's own protocol on our items: few judgements, sampled by cell and weighted back.

arXiv 2409.12822, section 4.1: 250 questions, 200 of them where both models are equally right (half right,
half wrong) and 50 where they differ; every output is judged by one evaluator, and nobody sees a question
twice. Correctness, approval and error weigh an item with N_k / n_k, its cell's items over those sampled; the
false positive rate is taken on the items that both models answer wrongly. What a study of this size would
have found is set beside what all items and all evaluators say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlhf.diagnostics.approval import check_paired
from rlhf.diagnostics.estimates import ItemEstimate, Resamples
from rlhf.diagnostics.judged import Judged

CELLS = ("both right", "both wrong", "only before right", "only after right")
WANTED = {"both right": 100, "both wrong": 100, "only before right": 25, "only after right": 25}
"""Items sampled from each cell, or all where there are fewer."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Items with one joint correctness."""

    available: int
    """N_k"""
    sampled: int
    """n_k"""


@dataclass(frozen=True, kw_only=True)
class SampledStudy:
    """What a study of the paper's size finds."""

    seed: int
    """Of the items and of who judges what."""
    cells: dict[str, Cell]
    before: dict[str, ItemEstimate]
    """`correctness`, `approval`, `evaluation_error`; re-weighted, intervals over items within cells."""
    after: dict[str, ItemEstimate]
    change: dict[str, ItemEstimate]
    false_positives_both_wrong: dict[str, ItemEstimate] | None
    """`before`, `after`, `change`; None: no item that both answer wrongly."""


def cell_of(after: Judged, before: Judged) -> np.ndarray:
    """Index in `CELLS` of every item."""
    names = {(True, True): 0, (False, False): 1, (False, True): 2, (True, False): 3}
    pairs = zip(after.correct, before.correct, strict=True)
    return np.array([names[bool(now), bool(was)] for now, was in pairs])


def sampled_study(after: Judged, before: Judged, *, seed: int = 0, resamples: int = 2000) -> SampledStudy:
    """Draw items by cell and one evaluator for each output; estimate as the paper does.

    Raises:
        ValueError: other items or another pool before than after, or fewer than two evaluators.
    """
    check_paired(after, before)
    if len(after.evaluators) < 2:
        raise ValueError(
            "nobody may see a question twice, so two models need a pool of at least two evaluators"
        )
    rng = np.random.default_rng(seed)
    cell = cell_of(after, before)
    drawn = {
        index: rng.permutation(np.flatnonzero(cell == index))[: WANTED[name]]
        for index, name in enumerate(CELLS)
    }
    chosen = np.concatenate(list(drawn.values()))
    weight = np.concatenate([np.full(len(d), (cell == k).sum() / max(len(d), 1)) for k, d in drawn.items()])
    judges = np.array([rng.permutation(len(after.evaluators))[:2] for _ in chosen])
    measures = {
        "before": _measures(before, chosen, judges[:, 0]),
        "after": _measures(after, chosen, judges[:, 1]),
    }
    boot = Resamples(len(chosen), draws=resamples, seed=seed, strata=cell[chosen])
    both = (cell[chosen] == CELLS.index("both wrong")).astype(float)
    false = {
        "before": boot.ratio(measures["before"]["approval"] * both, both),
        "after": boot.ratio(measures["after"]["approval"] * both, both),
        "change": boot.change(
            (measures["after"]["approval"] * both, both), (measures["before"]["approval"] * both, both)
        ),
    }
    return SampledStudy(
        seed=seed,
        cells={
            name: Cell(available=int((cell == k).sum()), sampled=len(drawn[k]))
            for k, name in enumerate(CELLS)
        },
        **{
            side: {name: _sure(boot.ratio(weight * v, weight)) for name, v in found.items()}
            for side, found in measures.items()
        },
        change={
            name: _sure(boot.change((weight * measures["after"][name], weight), (weight * values, weight)))
            for name, values in measures["before"].items()
        },
        false_positives_both_wrong={name: _sure(found) for name, found in false.items()}
        if both.any()
        else None,
    )


def _measures(judged: Judged, chosen: np.ndarray, judges: np.ndarray) -> dict[str, np.ndarray]:
    truth, approved = judged.truth[chosen], judged.approved[chosen, judges]
    return {"correctness": truth, "approval": approved, "evaluation_error": np.abs(approved - truth)}


def _sure(estimate: ItemEstimate | None) -> ItemEstimate:
    assert estimate is not None  # weights are positive, and the cell is not empty
    return estimate
