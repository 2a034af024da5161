"""Takes a transfer gap apart: how far must a frozen probe be adapted to the target before it works?

Steps in order, each labelled by whether it needs target labels and by which numbers it can change at all:

- `frozen`: nothing is adapted (D1);
- `re-centre`: the target's mean activation is moved onto the source's. For a linear probe this adds one
  number to every score, so it repairs thresholds and calibration and can never change the AUROC. (Where
  source and target share groups, several fits score the target and each adds its own number: then it can.)
- `re-scale`: each feature also gets the source's spread;
- `re-fit bias`: threshold and calibration are set on target labels; the order of rows stays;
- `re-choose layer`: the source's probe of another layer, chosen on target labels;
- `re-fit direction`: the probe is fitted in the target (D2). What only this repairs is a rotation: the target
  separates the classes, along another direction.

Steps that use target labels are cross-fitted by group, and all of them are adaptations: only `frozen` is
transfer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probes.base import LinearProbe
from probes.evaluation.arrays import Activations, Folds, Mask, Scores
from probes.evaluation.evaluate import ReadOut, proportion
from probes.evaluation.families import score_size
from probes.evaluation.kinds import RepairStep
from probes.evaluation.metrics import auroc_columns, balanced_accuracy, brier_score
from probes.evaluation.results import Estimate, Repair
from probes.rounding import constant_features, is_flat

if TYPE_CHECKING:
    from collections.abc import Callable

    from probes.evaluation.designs import Scored, Setup
    from probes.evaluation.domain import Domain
    from probes.evaluation.findings import Findings

__all__ = ["run_repairs"]

THRESHOLD = ("threshold", "calibration")
EVERYTHING = ("auroc", "threshold", "calibration")


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A frozen source probe and the target rows it may score (all, unless groups are shared)."""

    rows: Mask
    index: int  # layer
    probe: Any
    location: float  # of its training scores
    spread: float
    flat: bool  # its training scores differ by rounding only
    center: Float[np.ndarray, " d"]  # of its training activations
    scale: Float[np.ndarray, " d"]

    def score(self, X: Activations) -> Scores:
        """Return scores of activations on the pooled scale."""
        if self.flat:
            return np.zeros(len(X))
        return (self.probe.decision_function(X) - self.location) / self.spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What one step of adaptation yields per target row."""

    name: RepairStep
    labels: bool
    can_change: tuple[str, ...]
    scores: Scores
    margin: Scores  # score minus threshold
    probability: Scores


def run_repairs(setup: Setup, scored: Scored, found: Findings) -> None:
    """Record every step for every target, at the threshold with the largest alpha of the options."""
    alpha = max(setup.options.alphas)
    for target in setup.targets:
        assessor = setup.assessors[target.name]
        d1_draws, d2_draws = (
            assessor.draws(scored.frozen[target.name]),
            assessor.draws(scored.ceiling[target.name]),
        )
        frozen = assessor.auroc(scored.frozen[target.name], d1_draws)
        ceiling = assessor.auroc(scored.ceiling[target.name], d2_draws)
        low, _ = assessor.difference(ceiling, frozen, (d2_draws, d1_draws))
        d1, d2 = frozen.value or 0.0, ceiling.value or 0.0
        has_gap = low > 0  # a probe that beats the ceiling leaves nothing to repair
        for step in _steps(setup, scored, target, alpha):
            auroc = assessor.auroc(step.scores)
            hit = step.margin > 0
            share = ((auroc.value or 0.0) - d1) / (d2 - d1) if has_gap else None
            found.repairs.append(
                Repair(
                    target=target.name,
                    probe=setup.family.name,
                    step=step.name,
                    labels=step.labels,
                    can_change=step.can_change,
                    auroc=auroc,
                    achieved_fpr=proportion(hit[target.y == 0], assessor.level, exact=True),
                    achieved_tpr=proportion(hit[target.y == 1], assessor.level),
                    balanced_accuracy=balanced_accuracy(target.y, step.margin, 0.0),
                    brier=brier_score(target.y, step.probability),
                    alpha=alpha,
                    share_of_gap=share,
                )
            )


def _steps(setup: Setup, scored: Scored, target: Domain, alpha: float) -> list[Step]:
    pieces = _pieces(setup, target)
    one_number = len(pieces) == 1 and isinstance(pieces[0].probe, LinearProbe)
    read_out, fold = scored.read_outs[target.name], setup.fits[target.name].plan.fold
    frozen = _assemble(pieces, target, lambda X, piece: X)

    def by_source(name: RepairStep, labels: bool, can_change: tuple[str, ...], scores: Scores) -> Step:
        return Step(
            name=name,
            labels=labels,
            can_change=can_change,
            scores=scores,
            margin=scores - read_out.thresholds[alpha],
            probability=read_out.probability(scores),
        )

    centred = _assemble(pieces, target, lambda X, piece: X - X.mean(0) + piece.center)
    rescaled = _assemble(
        pieces, target, lambda X, piece: (X - X.mean(0)) / _spread(X) * piece.scale + piece.center
    )
    return [
        by_source(RepairStep.FROZEN, False, (), frozen),
        by_source(RepairStep.RE_CENTRE, False, THRESHOLD if one_number else EVERYTHING, centred),
        by_source(RepairStep.RE_SCALE, False, EVERYTHING, rescaled),
        _own_threshold(RepairStep.RE_FIT_BIAS, THRESHOLD, frozen, target, fold, alpha),
        _other_layer(setup, target, fold, alpha),
        _own_threshold(
            RepairStep.RE_FIT_DIRECTION, EVERYTHING, scored.ceiling[target.name], target, fold, alpha
        ),
    ]


def _pieces(setup: Setup, target: Domain) -> list[Piece]:
    """Refit the frozen cell: once, or once per fold when source and target share groups."""
    source, fit = setup.source, setup.fits[setup.source.name]
    crossing = setup.crossing(source, target)
    if crossing is None:
        return [_piece(setup, setup.selection.cell, slice(None), np.ones(len(target), dtype=bool))]
    fold = np.array([crossing[str(group)] for group in target.groups])
    return [
        _piece(setup, fit.select_without(k).cell, fit.plan.fold != k, fold == k)
        for k in map(int, np.unique(fold))
    ]


def _piece(setup: Setup, cell: tuple[int, int], train: Any, rows: Mask) -> Piece:
    source = setup.source
    X, y = source.layer(cell[0])[train], source.y[train]
    probe = setup.family.fit(setup.family.settings[cell[1]], X, y)
    scores = probe.decision_function(X)
    flat = bool(is_flat(scores.std(), score_size(probe, X, scores)))
    return Piece(
        rows=rows,
        index=cell[0],
        probe=probe,
        location=float(scores.mean()),
        spread=1.0 if flat else float(scores.std()),
        flat=flat,
        center=X.mean(0),
        scale=_spread(X),
    )


def _assemble(
    pieces: list[Piece], target: Domain, adapt: Callable[[Activations, Piece], Activations]
) -> Scores:
    scores = np.empty(len(target))
    for piece in pieces:
        scores[piece.rows] = piece.score(adapt(target.layer(piece.index), piece))[piece.rows]
    return scores


def _own_threshold(
    name: RepairStep,
    can_change: tuple[str, ...],
    scores: Scores,
    target: Domain,
    fold: Folds,
    alpha: float,
) -> Step:
    """Set threshold and calibration on the target's labels, each row by rows of other folds."""
    margin, probability = np.empty(len(scores)), np.empty(len(scores))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        read_out = ReadOut.learn(target.name, target.y[train], scores[train], (alpha,))
        margin[test] = scores[test] - read_out.thresholds[alpha]
        probability[test] = read_out.probability(scores[test])
    return Step(
        name=name, labels=True, can_change=can_change, scores=scores, margin=margin, probability=probability
    )


def _other_layer(setup: Setup, target: Domain, fold: Folds, alpha: float) -> Step:
    """Choose the layer of the frozen probe on the target's labels, each row by rows of other folds."""
    source, fit = setup.source, setup.fits[setup.source.name]
    layers = range(len(source.layer_names))
    grid = np.stack([setup.frozen(target, [index]) for index in layers])
    scores, margin, probability = (np.empty(len(target)) for _ in range(3))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        best = int(auroc_columns(target.y[train], grid[:, train]).argmax())
        read_out = ReadOut.learn(source.name, source.y, fit.oof[fit.select([best]).cell], (alpha,))
        scores[test] = grid[best, test]
        margin[test] = grid[best, test] - read_out.thresholds[alpha]
        probability[test] = read_out.probability(grid[best, test])
    return Step(
        name=RepairStep.RE_CHOOSE_LAYER,
        labels=True,
        can_change=EVERYTHING,
        scores=scores,
        margin=margin,
        probability=probability,
    )


def _spread(X: Activations) -> Float[np.ndarray, " d"]:
    return np.where(constant_features(X.var(0), X.mean(0), len(X)), 1.0, X.std(0))


def largest_repair(repairs: list[Repair], target: str, probe: str) -> str | None:
    """Name what repairs the AUROC gap: the first step that brings back at least half of it.

    `scale`, `layer`, or `rotation` when only fitting the direction anew does; None without a gap.
    """
    names = {
        RepairStep.RE_SCALE: "scale",
        RepairStep.RE_CHOOSE_LAYER: "layer",
        RepairStep.RE_FIT_DIRECTION: "rotation",
    }
    for repair in repairs:
        if (repair.target, repair.probe) != (target, probe) or repair.step not in names:
            continue
        if repair.share_of_gap is not None and repair.share_of_gap >= 0.5 and "auroc" in repair.can_change:
            return names[repair.step]
    return None


def _ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def moved_threshold(
    repairs: list[Repair], target: str, probe: str, expected: Estimate
) -> tuple[Estimate, Estimate, bool] | None:
    """Return false positive rates before and after re-centring, and whether that repairs a moved threshold.

    None when the frozen threshold keeps its rate. `expected` is the rate on the source rows that the
    threshold was learned from: it is an estimate itself, so it has moved when the two intervals are disjoint.
    """
    steps = {r.step: r for r in repairs if (r.target, r.probe) == (target, probe)}
    before, after = steps[RepairStep.FROZEN], steps[RepairStep.RE_CENTRE]

    def off(repair: Repair) -> bool:
        (low, high), (lowest, highest) = _ends(repair.achieved_fpr), _ends(expected)
        return high < lowest or highest < low

    return (before.achieved_fpr, after.achieved_fpr, not off(after)) if off(before) else None
