"""Intervals and tests keep their promises in simulations with planted truth, also for grouped rows."""

import numpy as np
import pytest
from scipy.stats import binom, kstest, norm, rankdata
from simulate import binormal_shift, clustered_scores
from sklearn.metrics import roc_auc_score

from probes.evaluation.metrics import auroc
from probes.evaluation.nulls import max_statistic_null, permuted_labels, summarise_null
from probes.evaluation.power import (
    equivalence_test,
    minimum_detectable_auroc,
    null_standard_error,
    rows_for_equivalence,
)
from probes.evaluation.statistics import (
    GroupBootstrap,
    bootstrap_auroc,
    bootstrap_difference,
    clopper_pearson,
    delong_covariance,
    delong_interval,
    delong_test,
    design_effect,
    newcombe_interval,
    wilson_interval,
)


def independent_scores(
    rng: np.random.Generator, n: int, auroc: float, n_scores: int = 1, shared: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat([0, 1], n)
    noise = np.sqrt(shared) * rng.normal(size=2 * n) + np.sqrt(1 - shared) * rng.normal(
        size=(n_scores, 2 * n)
    )
    return y, noise + binormal_shift(auroc) * y


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


def test_proportion_intervals_are_the_published_ones() -> None:
    from scipy.stats import binomtest

    for hits, n in ((0, 10), (3, 300), (7, 9), (10, 10)):
        for ours, method in ((wilson_interval, "wilson"), (clopper_pearson, "exact")):
            expected = binomtest(hits, n).proportion_ci(method=method)
            np.testing.assert_allclose(ours(hits, n), (expected.low, expected.high), atol=1e-9)


@pytest.mark.parametrize("unit", ["rows", "groups", "within"])
def test_max_null_p_values_are_uniform(unit: str) -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for run in range(400):
        y, base, groups = clustered_scores(rng, 25, 0.5, icc=0.4)
        if unit == "rows":
            y, groups = rng.permutation(y), np.arange(len(y))
        # Correlated cells, as neighbouring layers are; related to groups but not to labels.
        scores = base + 0.7 * rng.normal(size=(6, len(y)))
        p_values.append(max_statistic_null(y, scores, groups, n_permutations=99, unit=unit, seed=run).p_value)
    assert kstest(p_values, "uniform").pvalue > 0.001
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_permuting_single_rows_of_grouped_data_finds_effects_that_are_not_there() -> None:
    rng = np.random.default_rng(0)
    hits = {"rows": 0, "groups": 0}
    for run in range(300):
        y, scores, groups = clustered_scores(rng, 30, 0.5, icc=0.8, label_spread=3.0)
        for unit in hits:
            hits[unit] += (
                max_statistic_null(y, scores, groups, n_permutations=99, unit=unit, seed=run).p_value <= 0.05
            )
    assert hits["rows"] / 300 > 0.10
    assert hits["groups"] / 300 < 0.09


def test_max_null_finds_a_real_effect_and_names_the_cell() -> None:
    rng = np.random.default_rng(0)
    y, scores = independent_scores(rng, 60, 0.5, n_scores=30)
    scores[17] += 1.2 * y
    result = max_statistic_null(y, scores.reshape(10, 3, -1), n_permutations=500)
    assert result.best == (5, 2)
    assert result.p_value < 0.01
    assert result.observed == pytest.approx(roc_auc_score(y, scores[17]))


def test_max_null_is_as_wide_as_theory_for_independent_cells() -> None:
    # 100 per class, 30 independent cells: mean .584, 95 % quantile .620.
    y, scores = independent_scores(np.random.default_rng(0), 100, 0.5, n_scores=30)
    null = max_statistic_null(y, scores, n_permutations=1000).null
    assert null.mean() == pytest.approx(0.584, abs=0.006)
    assert np.quantile(null, 0.95) == pytest.approx(0.620, abs=0.01)


def test_permutations_keep_what_their_unit_promises() -> None:
    rng = np.random.default_rng(0)
    y, _, groups = clustered_scores(rng, 40)
    within, _ = permuted_labels(y, groups, 20, unit="within")
    swapped, _ = permuted_labels(y, groups, 20, unit="groups")
    sizes = np.bincount(groups)
    for draw in within:
        np.testing.assert_array_equal(np.bincount(groups, weights=draw), np.bincount(groups, weights=y))
    vectors = {
        size: sorted(tuple(sorted(y[groups == g])) for g in np.flatnonzero(sizes == size))
        for size in set(sizes)
    }
    for draw in swapped:
        for size, expected in vectors.items():
            found = sorted(tuple(sorted(draw[groups == g])) for g in np.flatnonzero(sizes == size))
            assert found == expected
    assert (swapped != y).any()


def test_null_uses_midranks_exactly() -> None:
    y = np.array([0, 1, 0, 1, 1, 0])
    scores = np.array([[1.0, 1.0, 2.0, 2.0, 2.0, 1.0]])
    result = max_statistic_null(y, scores, n_permutations=50)
    draws, _ = permuted_labels(y, None, 50)
    expected = [roc_auc_score(draw, rankdata(scores[0])) for draw in draws]
    np.testing.assert_allclose(result.null, expected)
    assert sum(summarise_null("x", result).counts) == 50


def test_minimum_detectable_auroc_has_the_promised_power() -> None:
    rng = np.random.default_rng(0)
    target = minimum_detectable_auroc(100, 100)
    found = 0
    for _ in range(600):
        y, scores = independent_scores(rng, 100, target)
        value = auroc(y, scores[0])
        found += abs(value - 0.5) > norm.ppf(0.975) * null_standard_error(100, 100)
    assert found / 600 == pytest.approx(0.80, abs=0.05)


def test_equivalence_has_its_size_at_the_margin_and_its_power_at_one_half() -> None:
    rng = np.random.default_rng(0)
    n = rows_for_equivalence(0.1)
    assert n == 144
    verdicts = {0.5: [], 0.6: [], 0.4: [], 0.75: [], 0.25: []}
    for run in range(250):
        for truth, seen in verdicts.items():
            if truth in (0.75, 0.25) and run >= 30:
                continue
            y, scores = independent_scores(rng, n, truth)
            seen.append(equivalence_test(y, scores[0], margin=0.1, n_draws=300, seed=run).verdict)
    assert np.mean([v == "equivalent" for v in verdicts[0.5]]) == pytest.approx(0.80, abs=0.08)
    for edge in (0.6, 0.4):
        assert np.mean([v == "equivalent" for v in verdicts[edge]]) <= 0.09
    assert set(verdicts[0.75]) == {"above"}
    assert set(verdicts[0.25]) == {"inverted"}


def test_small_samples_are_inconclusive_not_equivalent() -> None:
    y, scores = independent_scores(np.random.default_rng(0), 30, 0.5)
    assert equivalence_test(y, scores[0], margin=0.05, n_draws=300).verdict == "inconclusive"
