"""Scores of reward models: planted ones are found, intervals are by item, the record survives its file."""

import numpy as np
import pytest

from rlhf.reward_models import RewardModelScores, score_reward_model, score_systems
from rlhf.reward_models.table import scores_table

RNG = np.random.default_rng(3)
TRUTH = (RNG.random((60, 4)) < 0.6).astype(float)
APPROVAL = RNG.integers(0, 9, (60, 4)) / 8


def scored(scores, **references):
    return score_reward_model("m", scores, resamples=100, **references)


def test_a_reward_that_is_the_truth_is_perfect_against_it_and_chance_against_what_is_unrelated():
    found = scored(TRUTH + RNG.normal(0, 1e-3, TRUTH.shape), truth=TRUTH, approval=APPROVAL)
    assert found.truth.pairwise.value == found.truth.auroc.value == 1
    assert found.truth.best_of_k.end == found.truth.best_of_k.max == TRUTH.any(1).mean()
    assert found.truth.best_of_k.loss.value == 0
    assert found.truth.best_of_k.chosen[0].value == pytest.approx(TRUTH.mean())
    assert found.approval.auroc.low < 0.5 < found.approval.auroc.high
    assert found.approval.spearman.low < 0 < found.approval.spearman.high


def test_a_calibrated_judge_scores_as_well_as_its_votes_permit():
    """P(agree) is the share itself: nothing is lost but what people disagree about."""
    found = scored(APPROVAL, approval=APPROVAL, probability=True).probability
    assert found.calibration.value == 0
    assert found.brier.value == pytest.approx((APPROVAL * (1 - APPROVAL)).mean())
    right = np.where(APPROVAL > 0.5, APPROVAL, 1 - APPROVAL).mean()
    assert found.accuracy.value == pytest.approx(right) == found.accuracy_possible.value
    assert found.accuracy_constant.value == pytest.approx(max(APPROVAL.mean(), 1 - APPROVAL.mean()))
    over = scored(np.sqrt(APPROVAL), approval=APPROVAL, probability=True).probability
    assert over.calibration.value == pytest.approx((np.sqrt(APPROVAL) - APPROVAL).mean(), abs=1e-6)


def test_intervals_are_by_item_not_by_response():
    """Eight copies of one response per item say no more than one: the interval must not shrink."""
    scores, truth = RNG.random((40, 1)), (RNG.random((40, 1)) < 0.5).astype(float)
    one = scored(scores, truth=truth).truth.auroc
    eight = scored(np.repeat(scores, 8, axis=1), truth=np.repeat(truth, 8, axis=1)).truth.auroc
    assert (eight.value, eight.low, eight.high) == pytest.approx((one.value, one.low, one.high))
    assert scored(scores, truth=truth).truth.best_of_k is None


def test_the_record_survives_its_file_and_makes_a_table(tmp_path):
    systems = score_systems(("a", "b", "c"), RNG.random((3, 30)), RNG.random((3, 30)), resamples=50)
    found = score_reward_model(
        "judge",
        RNG.random(TRUTH.shape),
        truth=TRUTH,
        approval=APPROVAL,
        probability=True,
        systems={"truth": systems},
        resamples=50,
    )
    found.save(tmp_path / "scores.json")
    assert RewardModelScores.read(tmp_path / "scores.json") == found
    length = score_reward_model("length", RNG.random(TRUTH.shape), truth=TRUTH, resamples=50)
    table = scores_table([found, length])
    assert "| measure | judge | length |" in table
    assert f"| {100 * found.truth.pairwise.value:.1f} [" in table
    with pytest.raises(ValueError, match="no reward models"):
        scores_table([])


def test_systems_in_the_planted_order_are_ranked_and_separated():
    levels = np.array([[0.2], [0.5], [0.8]])
    reference = (RNG.random((3, 400)) < levels).astype(float)
    found = score_systems(("a", "b", "c"), levels + RNG.normal(0, 0.1, (3, 400)), reference, resamples=200)
    assert found.spearman == found.kendall == found.separability == found.confidence_agreement == 1
    assert found.brier == 0
    assert found.row_wise_pearson > 0.9
    turned = score_systems(("a", "b", "c"), -levels + RNG.normal(0, 0.1, (3, 400)), reference, resamples=200)
    assert (turned.spearman, turned.confidence_agreement) == (-1, -1)


@pytest.mark.parametrize(
    ("scores", "references", "message"),
    [
        (np.ones((4, 2)), {"truth": TRUTH[:4, :2]}, "tells nothing apart"),
        (np.full((4, 2), np.nan), {"truth": TRUTH[:4, :2]}, "a score for every item"),
        (RNG.random(4), {"truth": TRUTH[:4, 0]}, "must be .item, sample."),
        (RNG.random((4, 2)), {}, "truth or approval"),
        (RNG.random((4, 2)), {"truth": TRUTH[:3, :2]}, r"shape \(3, 2\)"),
        (RNG.random((4, 2)), {"truth": TRUTH[:4, :2] + 0.5}, "0 or 1"),
        (RNG.random((4, 2)), {"approval": 3 * APPROVAL[:4, :2] + 1}, "shares in 0 to 1"),
        (RNG.random((4, 2)), {"truth": np.array([[0, 1], [1, np.nan]] * 2)}, "not finite where"),
        (5 * RNG.random((4, 2)), {"approval": APPROVAL[:4, :2], "probability": True}, r"P\(agree\) lies in"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(scores, references, message):
    with pytest.raises(ValueError, match=message):
        score_reward_model("m", scores, **references)


def test_systems_that_cannot_be_ranked_are_refused():
    two = RNG.random((2, 5))
    for names, scores, reference in (
        (("a",), two[:1], two[:1]),
        (("a", "b"), two, two[:, :4]),
        (("a", "b", "c"), two, two),
        (("a", "b"), two[:, :1], two[:, :1]),
    ):
        with pytest.raises(ValueError, match="at least two systems and items"):
            score_systems(names, scores, reference)
    with pytest.raises(ValueError, match="finite score"):
        score_systems(("a", "b"), np.where(two > 0, np.nan, two), two)
