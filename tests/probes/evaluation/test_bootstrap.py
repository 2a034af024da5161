"""Intervals by resampling groups cover, and equal the resampled rows."""

import numpy as np
import pytest
from simulate import clustered_scores, independent_scores
from sklearn.metrics import roc_auc_score

from probes.evaluation.bootstrap import GroupBootstrap, bootstrap_auroc
from probes.evaluation.delong import delong_interval


def test_bootstrap_equals_resampling_rows() -> None:
    rng = np.random.default_rng(0)
    y, scores, groups = clustered_scores(rng, 30, 0.7)
    scores = scores.round(1)  # ties
    resample = GroupBootstrap(y, groups, n_draws=20, seed=3)
    for counts, value in zip(resample.counts, resample.draws(scores[None])[0], strict=True):
        rows = np.concatenate(
            [np.flatnonzero(groups == g) for g, count in enumerate(counts) for _ in range(int(count))]
        )
        assert value == pytest.approx(roc_auc_score(y[rows], scores[rows]), abs=1e-12)


@pytest.mark.parametrize("groups", [7, 60])
def test_pairs_of_groups_give_the_weighted_auroc_to_the_last_bit(groups, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    y, member = rng.integers(0, 2, 90), rng.integers(0, groups, 90)
    scores = rng.normal(size=(3, 90)).round(1)  # ties
    resample = GroupBootstrap(y, member, n_draws=200, seed=1)
    paired, alone = resample.draws(scores), resample.leave_one_out(scores[0])
    monkeypatch.setattr("probes.evaluation.bootstrap._PAIRED", 0)
    assert np.array_equal(paired, resample.draws(scores))
    assert np.array_equal(alone, resample.leave_one_out(scores[0]), equal_nan=True)


def test_bootstrap_draws_without_a_class_are_drawn_again_and_counted() -> None:
    groups = ["a", "b", "c"]
    result = bootstrap_auroc([0, 1, 0], [0.0, 1.0, 0.5], groups, n_draws=100)
    assert result.redrawn > 10
    assert 0 <= result.low <= result.high <= 1
    with pytest.raises(ValueError, match="one group"):
        bootstrap_auroc([0, 1], [0.0, 1.0], ["a", "a"])


@pytest.mark.parametrize("auroc", [0.5, 0.75])
def test_clustered_intervals_cover_and_ignoring_groups_does_not(auroc: float) -> None:
    rng = np.random.default_rng(0)
    covered = {"percentile": [], "delong": [], "ignoring groups": []}
    for run in range(1000):
        y, scores, groups = clustered_scores(rng, 100, auroc, icc=0.5)
        found = {
            "delong": delong_interval(y, scores, groups),
            "ignoring groups": delong_interval(y, scores),
        }
        if run < 500:  # a bootstrap takes ten times as long
            found["percentile"] = bootstrap_auroc(y, scores, groups, n_draws=200, seed=run)
        for name, interval in found.items():
            covered[name].append(interval.low <= auroc <= interval.high)
    # 2.9 standard errors of a coverage of .95 on either side
    assert 0.922 <= np.mean(covered["percentile"]) <= 0.978
    assert 0.93 <= np.mean(covered["delong"]) <= 0.97
    assert np.mean(covered["ignoring groups"]) < 0.92


def test_bca_covers_near_the_edge() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for run in range(400):
        y, scores = independent_scores(rng, 40, 0.95)
        interval = bootstrap_auroc(y, scores[0], n_draws=300, seed=run, method="bca")
        hits += interval.low <= 0.95 <= interval.high
    assert 0.91 <= hits / 400 <= 0.98
