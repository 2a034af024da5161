"""DeLong's variance is its definition's, clustered or not, and its test keeps its size."""

import numpy as np
import pytest
from scipy.stats import binom
from simulate import clustered_scores, independent_scores

from probes.evaluation.bootstrap import bootstrap_auroc, bootstrap_difference
from probes.evaluation.delong import delong_covariance, delong_interval, delong_test, design_effect
from probes.evaluation.intervals import newcombe_interval


def test_delong_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    y, scores = independent_scores(rng, 25, 0.7, n_scores=2, shared=0.5)
    scores = scores.round(1)
    wins = np.stack(
        [(s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0]) for s in scores]
    )
    expected = np.cov(wins.mean(2)) / 25 + np.cov(wins.mean(1)) / 25
    values, covariance = delong_covariance(y, scores)
    np.testing.assert_allclose(values, wins.mean((1, 2)))
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


def test_delong_and_bootstrap_agree_on_independent_rows() -> None:
    y, scores = independent_scores(np.random.default_rng(0), 150, 0.7, n_scores=2, shared=0.5)
    one, two = delong_interval(y, scores[0]), bootstrap_auroc(y, scores[0], n_draws=4000)
    assert abs(one.low - two.low) < 0.01
    assert abs(one.high - two.high) < 0.01
    paired, again = delong_test(y, *scores), bootstrap_difference(y, *scores, n_draws=4000)
    assert paired.difference == pytest.approx(again.value)
    assert abs(paired.low - again.low) < 0.01
    assert abs(paired.high - again.high) < 0.01


def test_clustered_variance_is_the_variance_over_repetitions() -> None:
    rng = np.random.default_rng(0)
    values, variances, naive = [], [], []
    for _ in range(400):
        y, scores, groups = clustered_scores(rng, 80, 0.7, icc=0.6)
        value, covariance = delong_covariance(y, scores[None], groups)
        values.append(value[0])
        variances.append(covariance[0, 0])
        naive.append(delong_covariance(y, scores[None])[1][0, 0])
    assert np.mean(variances) == pytest.approx(np.var(values), rel=0.2)
    assert np.mean(naive) < 0.8 * np.mean(variances)


def test_paired_test_keeps_its_size_under_equal_scores() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(1000):
        y, scores = independent_scores(rng, 60, 0.7, n_scores=2, shared=0.5)
        rejected += delong_test(y, *scores).p_value < 0.05
    assert binom.cdf(rejected, 1000, 0.05) > 0.001
    assert binom.sf(rejected, 1000, 0.05) > 0.001


def test_perfect_separation_still_has_an_interval() -> None:
    result = delong_interval([0] * 20 + [1] * 20, np.arange(40.0))
    assert result.value == 1.0
    assert 0.8 < result.low < 1.0
    assert result.high == 1.0
    flipped = newcombe_interval(0.0, 20, 20)
    assert flipped[1] == pytest.approx(1 - result.low)


def test_design_effect_matches_the_variance_of_a_shared_offset() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 4)
    y = np.repeat(rng.integers(0, 2, 300), 4)
    independent, together = rng.normal(size=1200), np.repeat(rng.normal(size=300), 4)
    assert design_effect(y, independent, groups) == pytest.approx(1.0, abs=0.2)
    # All rows of a group equal: m times the variance, 1 + (m - 1) ICC with ICC = 1.
    assert design_effect(y, together, groups) == pytest.approx(4.0, abs=0.3)
