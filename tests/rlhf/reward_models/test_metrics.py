"""PPE's measures: parity with scipy and scikit-learn where they have them, hand-worked numbers elsewhere."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from probes import expected_calibration_error
from rlhf.reward_models import metrics

RNG = np.random.default_rng(0)


def test_auroc_equals_scikit_learns_with_ties():
    labels, scores = RNG.random(200) < 0.4, RNG.integers(0, 12, 200).astype(float)
    assert metrics.auroc_of(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(metrics.auroc_of(np.ones(4, bool), np.arange(4.0)))


def test_brier_and_calibration_of_hard_labels_equal_the_known_ones():
    labels, p = (RNG.random(300) < 0.3).astype(float), RNG.random(300).round(2)
    assert metrics.brier_of_shares(p, labels) == pytest.approx(brier_score_loss(labels, p))
    assert metrics.calibration_error(p, labels) == pytest.approx(expected_calibration_error(labels, p))


def test_brier_of_shares_is_the_mean_over_single_votes():
    """Four people, three of whom agree, P .6: (3 x .16 + .36) / 4 = .21."""
    assert metrics.brier_of_shares(np.array([0.6]), np.array([0.75])) == pytest.approx(0.21)
    votes = brier_score_loss([1, 1, 1, 0], [0.6] * 4)
    assert metrics.brier_of_shares(np.array([0.6]), np.array([0.75])) == pytest.approx(votes)


def test_rank_correlations_are_scipys_and_constants_have_none():
    x, y = RNG.integers(0, 6, 40).astype(float), RNG.integers(0, 6, 40).astype(float)
    for compute in (stats.spearmanr, stats.kendalltau):
        assert metrics.rank_correlation(compute, x, y) == pytest.approx(compute(x, y).statistic)
        assert np.isnan(metrics.rank_correlation(compute, x, np.ones(40)))


def test_pairwise_accuracy_counts_pairs_within_items_and_ties_half():
    """First item: pairs (0,1) right, (0,2) tied, (1,2) wrong; second: only one pair differs, right."""
    scores = np.array([[1.0, 2.0, 1.0], [5.0, 3.0, 4.0]])
    reference = np.array([[0.0, 0.5, 1.0], [1.0, 0.0, 1.0]])
    found = metrics.pairwise_accuracy(scores, reference)
    assert found.tolist() == [[1.5, 3.0], [2.0, 2.0]]
    short = metrics.pairwise_accuracy(np.array([[1.0, 2.0, np.nan]]), np.array([[0.0, 1.0, np.nan]]))
    assert short.tolist() == [[1.0, 1.0]]


def test_best_of_k_by_hand():
    """Chosen by score: K 1 the mean, K 2 expected best of two, K 3 the third; values 0, 1, 0."""
    ks, chosen, ideal = metrics.best_of_k_summary(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 1.0, 0.0]]))
    assert ks == (1, 2, 3)
    # pairs of two: (1,2) chooses 1, (1,3) chooses 0, (2,3) chooses 0
    assert chosen[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0.0])
    assert ideal[0].tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    with pytest.raises(ValueError, match="at least two scored samples"):
        metrics.best_of_k_summary(np.array([[1.0, np.nan]]), np.array([[1.0, np.nan]]))


SYSTEMS = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


def test_win_rates_by_hand():
    """System 0 beats 1 on two of four items and ties two: .75; beats 2 on three and ties one: .875."""
    found = metrics.win_rates(SYSTEMS)
    assert found[0].tolist() == [0.5, 0.75, 0.875]
    np.testing.assert_allclose(found + found.T, 1)


def test_row_wise_pearson_is_the_mean_over_rows_without_the_diagonal():
    scores = RNG.random((5, 30))
    reference = scores + RNG.normal(0, 0.5, (5, 30))
    ours, theirs = metrics.win_rates(scores), metrics.win_rates(reference)
    rows = [stats.pearsonr(np.delete(ours[i], i), np.delete(theirs[i], i)).statistic for i in range(5)]
    assert metrics.row_wise_pearson(scores, reference) == pytest.approx(np.mean(rows))
    assert metrics.row_wise_pearson(scores, scores) == pytest.approx(1)
    assert np.isnan(metrics.row_wise_pearson(scores[:2], reference[:2]))  # one rate against others: no spread


def test_separability_and_agreement_by_hand():
    """Three systems: 0 and 1 overlap, 2 lies above both; the scores separate 2 from 0 only, the wrong way."""
    reference = np.array([[0.1, 0.3], [0.2, 0.4], [0.6, 0.8]])
    scores = np.array([[0.7, 0.9], [0.4, 0.6], [0.3, 0.5]])
    assert metrics.separability(reference) == pytest.approx(2 / 3)
    assert metrics.separability(scores) == pytest.approx(2 / 3)
    # separated by the reference: (0,2), (1,2); by the scores (0,2) in the wrong order, (1,2) not
    assert metrics.confidence_agreement(scores, reference) == pytest.approx(-0.5)
    assert np.isnan(metrics.confidence_agreement(scores, np.array([[0.0, 1.0]] * 3)))


def test_brier_of_pairs_by_hand():
    """Resamples of one item give the means themselves; equal means give P = 1/2 and so Brier 1/4."""
    reference = np.array([[0.0], [1.0], [2.0]])
    assert metrics.pair_brier(np.array([[0.0], [1.0], [2.0]]), reference) == 0
    assert metrics.pair_brier(np.array([[2.0], [1.0], [0.0]]), reference) == 1
    assert metrics.pair_brier(np.array([[1.0], [1.0], [1.0]]), reference) == 0.25
    assert np.isnan(metrics.pair_brier(reference, np.ones((3, 1))))


def test_intervals_of_means_cover_the_mean_and_shrink_with_items():
    few, many = (metrics.mean_intervals(RNG.random((3, n)), draws=400) for n in (20, 2000))
    assert (many[:, 0] < 0.5 + 0.03).all()
    assert (many[:, 1] > 0.5 - 0.03).all()
    assert ((few[:, 1] - few[:, 0]) > 3 * (many[:, 1] - many[:, 0])).all()
