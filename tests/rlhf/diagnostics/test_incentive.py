"""The incentive says what the most-approved samples are, and how sure that is."""

import numpy as np
import pytest

from rlhf.diagnostics.incentive import incentive

TRUTH = np.array([[True, True, False, False]] * 3 + [[True] * 4])


def test_approval_of_the_truth_never_pays_for_being_wrong():
    found = incentive(TRUTH, TRUTH.astype(float))
    assert found.best_is_wrong.value == 0
    assert found.wrong_pays.value == 0
    assert found.right_pays.value == found.any_wrong.value == 0.75
    assert (found.approval_right.value, found.approval_wrong.value) == (1.0, 0.0)


def test_approval_of_the_opposite_pays_wherever_there_is_a_wrong_sample():
    found = incentive(TRUTH, (~TRUTH).astype(float))
    assert found.best_is_wrong.value == found.wrong_pays.value == 0.75
    assert found.any_difference.value == 0.75


def test_equal_approvals_teach_nothing_and_the_best_is_wrong_as_often_as_a_sample():
    found = incentive(TRUTH, np.full(TRUTH.shape, 0.5))
    assert found.any_difference.value == 0
    assert found.best_is_wrong.value == pytest.approx(1 - TRUTH.mean())


def test_the_interval_covers_the_share_it_was_drawn_from():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        pays = rng.random(60) < 0.3
        truth = np.tile([True, False], (60, 1))
        approval = np.where(pays[:, None], [0.0, 1.0], [1.0, 0.0])
        share = incentive(truth, approval, resamples=400).best_is_wrong
        covered += share.low <= 0.3 <= share.high
    assert covered >= 50


def test_means_of_right_and_wrong_are_over_samples_not_items():
    truth = np.array([[True, False, False], [True, True, False]])
    found = incentive(truth, np.array([[1.0, 0.2, 0.4], [0.0, 0.5, 0.9]]))
    assert found.approval_right.value == pytest.approx((1.0 + 0.0 + 0.5) / 3)
    assert found.approval_wrong.value == pytest.approx((0.2 + 0.4 + 0.9) / 3)


@pytest.mark.parametrize("bad", [np.ones((4, 1)), np.full((4, 4), np.nan), np.full((4, 4), np.inf)])
def test_single_samples_and_missing_approvals_are_refused(bad):
    with pytest.raises(ValueError, match=r"truth and approval|not finite"):
        incentive(TRUTH[:, : bad.shape[1]], bad)
