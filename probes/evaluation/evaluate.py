"""Holds one score vector against the labels of one domain and writes down everything worth reporting.

The read-out (thresholds and Platt scaling) is frozen on the source before any target label is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from probes.evaluation import metrics
from probes.evaluation.arrays import Groups, Labels, Mask, Scores
from probes.evaluation.bootstrap import GroupBootstrap, has_spread, interval_of_draws
from probes.evaluation.delong import delong_interval, design_effect
from probes.evaluation.intervals import clopper_pearson, newcombe_difference, wilson_interval
from probes.evaluation.kinds import Design
from probes.evaluation.nulls import NO_SPREAD, MaxNull, quiet_null, summarise_null
from probes.evaluation.power import equivalence_of_draws, minimum_detectable_auroc
from probes.evaluation.results import (
    Calibration,
    Estimate,
    Evaluation,
    Histogram,
    OperatingPoint,
    Roc,
)
from probes.rounding import histogram_edges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from probes.evaluation.domain import Domain

MIN_PAIRS = 30  # within groups; an AUROC of fewer says nothing

__all__ = ["Assessor", "ReadOut", "estimate_auroc", "make_roc", "proportion"]


@dataclass(frozen=True, kw_only=True)
class ReadOut:
    """What turns a frozen probe's score into a decision and a probability; learned on source rows only."""

    source: str
    thresholds: Mapping[float, float]  # alpha -> threshold
    slope: float
    intercept: float

    @classmethod
    def learn(cls, source: str, y: Labels, scores: Scores, alphas: tuple[float, ...]) -> ReadOut:
        """Set thresholds on benign rows and fit Platt scaling, from out-of-fold source scores."""
        slope, intercept = metrics.platt(y, scores)
        benign = scores[y == 0]
        thresholds = {alpha: metrics.threshold_at_fpr(benign, alpha) for alpha in alphas}
        return cls(source=source, thresholds=thresholds, slope=slope, intercept=intercept)

    def probability(self, scores: Scores) -> Scores:
        """Return the calibrated probability of each score."""
        return expit(self.slope * scores + self.intercept)


class Assessor:
    """One domain's labels with its bootstrap draws, shared by all scores that are compared on it."""

    def __init__(
        self, domain: Domain, *, n_draws: int, n_permutations: int, level: float, margin: float, seed: int
    ):
        self.domain, self.y, self.groups = domain, domain.y, domain.groups
        self.level, self.margin, self.seed, self.n_permutations = level, margin, seed, n_permutations
        self.warnings: dict[str, None] = {}  # what no number of a record may hide, in order and once
        self.resample = GroupBootstrap(self.y, self.groups, n_draws=n_draws, seed=seed)

    def draws(self, scores: Scores) -> Float[np.ndarray, " draw"]:
        """Return the bootstrap AUROCs of one score vector."""
        return self.resample.draws(scores[None])[0]

    def auroc(self, scores: Scores, draws: Float[np.ndarray, " draw"] | None = None) -> Estimate:
        """Return the AUROC with its interval."""
        return estimate_auroc(
            self.y, scores, self.groups, self.draws(scores) if draws is None else draws, self.level
        )

    def difference(
        self,
        first: Estimate,
        second: Estimate,
        drawn: tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]],
    ) -> tuple[float, float]:
        """Return the interval of the difference of two AUROCs, paired by their draws.

        Where one of them is 0 or 1 its draws are all the same: then Newcombe's, from both intervals.
        """
        if all(has_spread(draws) for draws in drawn):
            return interval_of_draws(drawn[0] - drawn[1], self.level)
        return newcombe_difference(first, second)

    def null(self, scores: Float[np.ndarray, "*cell row"]) -> MaxNull:
        """Return the permutation null of the best of `scores` `[..., row]`."""
        found = quiet_null(self.y, scores, self.groups, n_permutations=self.n_permutations, seed=self.seed)
        if found.p_value is None:
            self.warnings[f"{self.domain.name}: " + NO_SPREAD.format(unit=found.unit)] = None
        return found

    def evaluate(
        self,
        scores: Scores,
        *,
        design: Design,
        probe: str,
        fitted_on: str,
        layer: int | None = None,
        depth: float | None = None,
        setting: Mapping[str, Any] | None = None,
        read_out: ReadOut | None = None,
        grid_scores: Float[np.ndarray, "*cell row"] | None = None,
        fitted_here: bool = False,
        keep_scores: bool = False,
        seed_sd: float | None = None,
    ) -> Evaluation:
        """Return the full record of one score vector.

        With `grid_scores` `[..., row]` the vector is the best of that grid: the record is marked optimistic
        and its p-value comes from the max-statistic null. Scores that were `fitted_here`, though out of fold,
        get no p-value: through the other folds they know these labels, and a null that holds them fixed is
        too narrow (in pure noise, 240 rows in 5 folds, one in seven p-values falls below .05).
        """
        scores = np.asarray(scores, dtype=np.float64)
        draws = self.draws(scores)
        tested = scores[None] if grid_scores is None else grid_scores
        null = None if fitted_here else self.null(tested)
        sample = self.domain.sample
        equivalence = equivalence_of_draws(
            draws, self.margin, edge=lambda level: delong_interval(self.y, scores, self.groups, level=level)
        )
        estimate = self.auroc(scores, draws)
        mde = minimum_detectable_auroc(
            sample.n_positive, sample.n_negative, design_effect=design_effect(self.y, scores, self.groups)
        )
        return Evaluation(
            design=design,
            probe=probe,
            fitted_on=fitted_on,
            scored_on=self.domain.name,
            layer=layer,
            depth=depth,
            setting=dict(setting or {}),
            optimistic=grid_scores is not None,
            auroc=estimate,
            sample=sample,
            within_group_auroc=metrics.within_group_auroc(self.y, scores, self.groups, min_pairs=MIN_PAIRS),
            average_precision=metrics.average_precision(self.y, scores),
            prevalence=float(self.y.mean()),
            p_value=None if null is None else null.p_value,
            equivalence=equivalence,
            mde=mde - 0.5,
            inverted=estimate.high is not None and estimate.high < 0.5,
            operating_points=() if read_out is None else self._operating_points(scores, read_out),
            calibration=None if read_out is None else self._calibration(scores, read_out),
            roc=make_roc(self.y, scores),
            histogram=self._histogram(scores),
            null=None
            if grid_scores is None or null is None
            else summarise_null("best of the grid, labels permuted", null),
            seed_sd=seed_sd,
            scores=tuple(scores.tolist()) if keep_scores else None,
        )

    def operating_point(self, scores: Scores, read_out: ReadOut, alpha: float) -> OperatingPoint:
        """Return what the frozen threshold for `alpha` does to these scores."""
        threshold = read_out.thresholds[alpha]
        hit = scores > threshold
        return OperatingPoint(
            alpha=alpha,
            threshold=threshold,
            threshold_from=f"benign rows of {read_out.source}, out of fold",
            fpr=proportion(hit[self.y == 0], self.level, exact=True),
            tpr=proportion(hit[self.y == 1], self.level),
            balanced_accuracy=metrics.balanced_accuracy(self.y, scores, threshold),
        )

    def _operating_points(self, scores: Scores, read_out: ReadOut) -> tuple[OperatingPoint, ...]:
        return tuple(self.operating_point(scores, read_out, alpha) for alpha in read_out.thresholds)

    def _calibration(self, scores: Scores, read_out: ReadOut) -> Calibration:
        probability = read_out.probability(scores)
        predicted, observed, counts = metrics.reliability(self.y, probability)
        # Slope 1 and intercept 0 mean that the source's calibration holds here (Cox 1958).
        logit = np.clip(read_out.slope * scores + read_out.intercept, -30, 30)
        slope, intercept = metrics.platt(self.y, logit)
        return Calibration(
            brier=metrics.brier_score(self.y, probability),
            ece=metrics.expected_calibration_error(self.y, probability),
            slope=slope,
            intercept=intercept,
            predicted=tuple(predicted.tolist()),
            observed=tuple(observed.tolist()),
            counts=tuple(counts.tolist()),
        )

    def _histogram(self, scores: Scores, n_bins: int = 30) -> Histogram:
        edges = histogram_edges(scores, n_bins)
        positive, negative = (np.histogram(scores[self.y == label], bins=edges)[0] for label in (1, 0))
        return Histogram(
            edges=tuple(edges.tolist()), positive=tuple(positive.tolist()), negative=tuple(negative.tolist())
        )


def estimate_auroc(
    y: Labels, scores: Scores, groups: Groups, draws: Float[np.ndarray, " draw"], level: float = 0.95
) -> Estimate:
    """Return an AUROC with its bootstrap interval, or Newcombe's where every draw is the same."""
    value = metrics.auroc(y, scores)
    if not has_spread(draws):
        fallback = delong_interval(y, scores, groups, level=level)
        return Estimate(
            value=value, low=fallback.low, high=fallback.high, level=level, method=fallback.method
        )
    low, high = interval_of_draws(draws, level)
    return Estimate(value=value, low=low, high=high, level=level, method="cluster bootstrap (percentile)")


def make_roc(y: Labels, scores: Scores) -> Roc:
    """Return the ROC curve as a record."""
    fpr, tpr = metrics.roc_points(y, scores)
    return Roc(fpr=tuple(np.round(fpr, 6).tolist()), tpr=tuple(np.round(tpr, 6).tolist()))


def proportion(hits: Mask, level: float = 0.95, exact: bool = False) -> Estimate:
    """Return a rate with Wilson's interval, or Clopper and Pearson's when `exact`.

    >>> proportion(np.array([True, False])).value
    0.5
    """
    count, total = int(np.sum(hits)), len(hits)
    low, high = (clopper_pearson if exact else wilson_interval)(count, total, level)
    return Estimate(
        value=count / total if total else None,
        low=low,
        high=high,
        level=level,
        method="clopper-pearson" if exact else "wilson",
    )
