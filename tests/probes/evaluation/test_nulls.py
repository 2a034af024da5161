"""Permutation nulls: uniform p-values without an effect, and the units keep what they promise."""

import numpy as np
import pytest
from scipy.stats import kstest, rankdata
from simulate import clustered_scores, independent_scores
from sklearn.metrics import roc_auc_score

from probes.evaluation.nulls import max_statistic_null, permuted_labels, summarise_null


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
