"""One reward model, measured on held-out items: everything about it in one record, with intervals by item."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import stats

from rlhf.diagnostics.estimates import ItemEstimate, Resamples
from rlhf.reward_models import metrics
from sophistry.files import write_atomic
from sophistry.records import build_json

Samples = Float[np.ndarray, "item sample"]
Places = Int[np.ndarray, " item"]


@dataclass(frozen=True, kw_only=True)
class BestOfKCurve:
    """What choosing the best of K by the reward does to something else."""

    ks: tuple[int, ...]
    chosen: tuple[ItemEstimate, ...]
    """Mean of the chosen response, for each K."""
    max: float
    """Highest point of the curve."""
    end: float
    """Its last point."""
    loss: ItemEstimate
    """At the last K: what choosing by the thing itself would have gained besides (regret)."""


@dataclass(frozen=True, kw_only=True)
class AgainstReference:
    """Scores against what they should rank: `R*`, or the approval of people who had no part in training."""

    pairwise: ItemEstimate | None
    """Share of pairs of one item's responses in the right order, ties half; None: no pair differs."""
    auroc: ItemEstimate | None
    """Against `R*`, or against approval by more than half; None: one class only."""
    spearman: ItemEstimate | None
    """Over all responses; None where one side is constant."""
    kendall: ItemEstimate | None
    """tau-b."""
    best_of_k: BestOfKCurve | None
    """None where some item has one response only."""


@dataclass(frozen=True, kw_only=True)
class ProbabilityScores:
    """P(agree) against the individual votes of people who had no part in training."""

    accuracy: ItemEstimate
    """Share of votes foretold by P(agree) > 0.5."""
    accuracy_constant: ItemEstimate
    """The same of one guess for all: the vote of the majority."""
    accuracy_possible: ItemEstimate
    """The most that any score could reach, since people disagree about one response."""
    brier: ItemEstimate
    calibration: ItemEstimate
    """Expected calibration error, ten bins of equal mass."""
    mean: ItemEstimate
    """Mean P(agree)."""
    approved: ItemEstimate
    """Mean approval."""


@dataclass(frozen=True, kw_only=True)
class SystemScores:
    """Whole systems (organisms), ranked by their mean score, against their mean reference."""

    systems: tuple[str, ...]
    items: int
    score: tuple[float, ...]
    """Mean score of each."""
    reference: tuple[float, ...]
    """Mean reference of each."""
    spearman: float | None
    kendall: float | None
    row_wise_pearson: float | None
    separability: float
    """Share of pairs of systems that the scores tell apart with 95 % intervals."""
    separability_reference: float
    confidence_agreement: float | None
    """None: the reference tells no pair apart."""
    brier: float | None


@dataclass(frozen=True, kw_only=True)
class RewardModelScores:
    """A reward model on held-out items."""

    name: str
    items: int
    responses: int
    truth: AgainstReference | None
    """Against `R*`; None: not known."""
    approval: AgainstReference | None
    """Against the share of a held-out pool that approves; None: not asked."""
    probability: ProbabilityScores | None
    """Of judges."""
    systems: dict[str, SystemScores]
    """By reference (`truth`, `approval`); empty where one system answered."""

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_atomic(Path(path), json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> RewardModelScores:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ConfigError: a field is unknown, missing or of another type.
        """
        return build_json(cls, Path(path).read_bytes(), source=str(path))


def score_reward_model(
    name: str,
    scores: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    approval: ArrayLike | None = None,
    probability: bool = False,
    systems: dict[str, SystemScores] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> RewardModelScores:
    """Measure a reward model.

    Args:
        name: of the reward model.
        scores: of every response, [item, sample]; NaN where an item has fewer samples.
        truth: `R*` of the same responses, 0 or 1.
        approval: share of a held-out pool that approves each.
        probability: the scores are P(agree), to be held against `approval` as such.
        systems: measured apart (`score_systems`).
        resamples: bootstrap resamples of whole items.
        seed: of the bootstrap.

    Raises:
        ValueError: neither truth nor approval, shapes that differ, values that are not finite where the
            scores are (or the other way round), truth that is not 0 or 1, shares or probabilities outside
            0 to 1, or scores that are all equal.

    >>> scores, truth = np.array([[0.9, 0.2], [0.7, 0.4]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    >>> found = score_reward_model("m", scores, truth=truth, resamples=50)
    >>> found.truth.pairwise.value, found.truth.auroc.value, found.truth.best_of_k.end
    (1.0, 1.0, 1.0)
    """
    if truth is None and approval is None:
        raise ValueError("a reward model is measured against truth or approval: give one of them")
    scores = np.asarray(scores, dtype=float)
    truth, approval = (None if x is None else np.asarray(x, dtype=float) for x in (truth, approval))
    known = np.isfinite(scores)
    _check(scores, known, truth, approval, probability=probability)
    drawn = Resamples(len(scores), draws=resamples, seed=seed)
    judged = None
    if probability and approval is not None:
        judged = _probability(scores, approval, known, drawn)
    return RewardModelScores(
        name=name,
        items=len(scores),
        responses=int(known.sum()),
        truth=None if truth is None else _against(scores, truth, known, drawn),
        approval=None if approval is None else _against(scores, approval, known, drawn),
        probability=judged,
        systems=dict(systems or {}),
    )


def _check(
    scores: np.ndarray,
    known: np.ndarray,
    truth: np.ndarray | None,
    approval: np.ndarray | None,
    *,
    probability: bool,
) -> None:
    if scores.ndim != 2 or not scores.size or not known.any(1).all():
        raise ValueError(f"scores must be [item, sample] with a score for every item, got {scores.shape}")
    values = scores[known]
    if values.min() == values.max():
        raise ValueError(f"all {values.size} scores are {values[0]}: this reward model tells nothing apart")
    if probability and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"P(agree) lies in 0 to 1, got {values.min()} to {values.max()}")
    for what, reference in (("truth", truth), ("approval", approval)):
        if reference is None:
            continue
        if reference.shape != scores.shape:
            raise ValueError(f"{what} has shape {reference.shape}, the scores have {scores.shape}")
        if (np.isfinite(reference) != known).any():
            raise ValueError(f"{what} is not finite where the scores are, or the other way round")
        found = reference[known]
        if found.min() < 0 or found.max() > 1 or (what == "truth" and not np.isin(found, (0, 1)).all()):
            raise ValueError(f"{what} must be {'0 or 1' if what == 'truth' else 'shares in 0 to 1'}")


def _against(scores: Samples, reference: Samples, known: np.ndarray, drawn: Resamples) -> AgainstReference:
    pairs = metrics.pairwise_accuracy(scores, reference)

    def over(compute: metrics.Callable[..., float]) -> ItemEstimate | None:
        def of(items: Places) -> float:
            kept = known[items]
            return compute(scores[items][kept], reference[items][kept])

        return drawn.statistic(of)

    several = known.sum(1).min() > 1
    return AgainstReference(
        pairwise=drawn.ratio(pairs[:, 0], pairs[:, 1]),
        auroc=over(lambda s, r: metrics.auroc_of(r > 0.5, s)),
        spearman=over(lambda s, r: metrics.rank_correlation(stats.spearmanr, s, r)),
        kendall=over(lambda s, r: metrics.rank_correlation(stats.kendalltau, s, r)),
        best_of_k=_curve(scores, reference, drawn) if several else None,
    )


def _curve(scores: Samples, value: Samples, drawn: Resamples) -> BestOfKCurve:
    ks, chosen, ideal = metrics.best_of_k_summary(scores, value)
    points = tuple(drawn.mean(column) for column in chosen.T)
    return BestOfKCurve(
        ks=ks,
        chosen=points,
        max=max(point.value for point in points),
        end=points[-1].value,
        loss=drawn.mean(ideal[:, -1] - chosen[:, -1]),
    )


def _probability(
    scores: Samples, approval: Samples, known: np.ndarray, drawn: Resamples
) -> ProbabilityScores:
    counts = known.sum(1).astype(float)

    def mean(values: np.ndarray) -> ItemEstimate:
        found = drawn.ratio(np.where(known, values, 0.0).sum(1), counts)
        assert found is not None  # every item has a response
        return found

    def calibration(items: Places) -> float:
        kept = known[items]
        return metrics.calibration_error(scores[items][kept], approval[items][kept])

    gap = drawn.statistic(calibration)
    assert gap is not None
    majority = float(approval[known].mean() > 0.5)
    return ProbabilityScores(
        accuracy=mean(np.where(scores > 0.5, approval, 1 - approval)),
        accuracy_constant=mean(np.where(majority, approval, 1 - approval)),
        accuracy_possible=mean(np.maximum(approval, 1 - approval)),
        brier=mean(approval * (1 - scores) ** 2 + (1 - approval) * scores**2),
        calibration=gap,
        mean=mean(scores),
        approved=mean(approval),
    )


def score_systems(
    systems: Sequence[str],
    scores: ArrayLike,
    reference: ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> SystemScores:
    """Measure how a reward model ranks whole systems that answered the same items.

    Args:
        systems: their names.
        scores: of each system's response to each item.
        reference: the same of `R*` or approval.
        resamples: of the items.
        seed: of these.

    Raises:
        ValueError: fewer than two systems or items, shapes that differ, or values that are not finite.
    """
    scores, reference = np.asarray(scores, dtype=float), np.asarray(reference, dtype=float)
    same = scores.shape == reference.shape and scores.ndim == 2 and scores.shape[0] == len(systems)
    if not same or min(scores.shape) < 2:
        raise ValueError(
            f"need scores and reference of at least two systems and items, [system, item], got "
            f"{scores.shape} and {reference.shape} for {len(systems)} systems"
        )
    if not (np.isfinite(scores).all() and np.isfinite(reference).all()):
        raise ValueError("every system needs a finite score and reference for every item")
    ours, theirs = (metrics.mean_intervals(x, draws=resamples, seed=seed) for x in (scores, reference))
    means = scores.mean(1), reference.mean(1)
    return SystemScores(
        systems=tuple(systems),
        items=scores.shape[1],
        score=tuple(means[0].tolist()),
        reference=tuple(means[1].tolist()),
        spearman=_known(metrics.rank_correlation(stats.spearmanr, *means)),
        kendall=_known(metrics.rank_correlation(stats.kendalltau, *means)),
        row_wise_pearson=_known(metrics.row_wise_pearson(scores, reference)),
        separability=metrics.separability(ours),
        separability_reference=metrics.separability(theirs),
        confidence_agreement=_known(metrics.confidence_agreement(ours, theirs)),
        brier=_known(metrics.pair_brier(scores, reference, draws=resamples, seed=seed)),
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
