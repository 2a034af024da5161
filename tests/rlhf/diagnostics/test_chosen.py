"""Choosing by a reward moves what the reward pays for, and only that."""

import math

import numpy as np
import pytest

from rlhf.diagnostics.chosen import best_of


def table(items: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((items, samples)) < 0.7, rng.random((items, samples))


def test_choosing_by_the_truth_gives_the_share_of_items_with_a_right_sample() -> None:
    correct, approval = table(50, 4, 0)
    found = best_of(correct, correct.astype(float), approval)
    assert found.right.value == pytest.approx(correct.mean())
    assert found.right_chosen.value == pytest.approx(correct.any(1).mean())
    assert found.right_change.value == pytest.approx(correct.any(1).mean() - correct.mean())


def test_choosing_by_what_pays_for_lies_chooses_lies() -> None:
    correct, _ = table(80, 4, 1)
    found = best_of(correct, 1.0 - correct, 0.5 + 0.4 * (1.0 - correct))
    assert found.right_change.high < -0.3
    assert found.approved_change.low > 0.1
    assert found.false_positive is not None
    assert found.false_positive.value == pytest.approx(0.9)


def test_reward_without_any_difference_changes_nothing() -> None:
    correct, approval = table(40, 4, 2)
    found = best_of(correct, np.full(correct.shape, 0.5), approval)
    changes = (found.right_change, found.approved_change, found.false_positive_change)
    assert all(change is not None and change.value == pytest.approx(0) for change in changes)
    assert found.kl_bound == pytest.approx(math.log(4) - 0.75)


def test_interval_holds_the_truth_of_random_choice_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        correct, approval = table(80, 4, 100 + seed)
        change = best_of(correct, np.random.default_rng(seed).random(correct.shape), approval, resamples=300)
        held += change.right_change.low <= 0 <= change.right_change.high
    assert held >= 51  # 95 % of 60, less three standard deviations


def test_no_wrong_sample_gives_no_false_positive_rate() -> None:
    found = best_of(np.ones((5, 3), bool), np.random.default_rng(0).random((5, 3)), np.ones((5, 3)))
    assert found.false_positive is None
    assert found.false_positive_change is None


def test_rewards_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        best_of(np.ones((5, 3), bool), np.full((5, 3), np.nan), np.ones((5, 3)))
    with pytest.raises(ValueError, match="at least 2 x 2"):
        best_of(np.ones((5, 1), bool), np.ones((5, 1)), np.ones((5, 1)))
