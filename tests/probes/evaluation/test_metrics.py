"""Metrics equal outside references on hostile inputs and never turn a score around."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from probes.evaluation.metrics import (
    auroc,
    auroc_columns,
    average_precision,
    expected_calibration_error,
    platt,
    roc_points,
    threshold_at_fpr,
    tpr_at_fpr,
    weighted_auroc,
    within_group_auroc,
)

LABELS = st.lists(st.integers(0, 1), min_size=2, max_size=40).filter(lambda y: len(set(y)) == 2)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    y = np.array(draw(LABELS))
    # Few distinct values: ties across the classes are the rule, as with bfloat16 scores.
    values = draw(st.lists(st.integers(-3, 3), min_size=len(y), max_size=len(y)))
    return y, np.array(values, dtype=float)


@settings(max_examples=100, deadline=None)
@given(labelled_scores())
def test_auroc_with_ties_equals_scikit_learn_and_the_definition(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, scores = case
    difference = scores[y == 1][:, None] - scores[y == 0]
    definition = ((difference > 0) + 0.5 * (difference == 0)).mean()
    assert auroc(y, scores) == pytest.approx(definition, abs=1e-12)
    assert auroc(y, scores) == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    assert auroc(y, -scores) == pytest.approx(1 - definition, abs=1e-12)
    assert average_precision(y, scores) == pytest.approx(average_precision_score(y, scores))


@settings(max_examples=100, deadline=None)
@given(labelled_scores(), st.randoms(use_true_random=False))
def test_weighted_auroc_equals_that_of_the_resampled_rows(case, random) -> None:
    y, scores = case
    weights = np.array([[random.randint(0, 3) for _ in y] for _ in range(5)])
    found = weighted_auroc(y, scores, weights)
    for weight, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(len(y)), weight)
        if len(set(y[rows])) == 2:
            assert value == pytest.approx(roc_auc_score(y[rows], scores[rows]), abs=1e-12)
        else:
            assert np.isnan(value)


@settings(max_examples=60, deadline=None)
@given(labelled_scores())
def test_roc_points_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, scores = case
    fpr, tpr, _ = roc_curve(y, scores, drop_intermediate=False)
    ours = roc_points(y, scores)
    np.testing.assert_allclose(ours[0], fpr)
    np.testing.assert_allclose(ours[1], tpr)
    assert np.trapezoid(ours[1], ours[0]) == pytest.approx(auroc(y, scores))


@settings(max_examples=100, deadline=None)
@given(labelled_scores(), st.floats(0, 0.99))
def test_threshold_is_the_smallest_that_keeps_its_rate(
    case: tuple[np.ndarray, np.ndarray], alpha: float
) -> None:
    y, scores = case
    benign = scores[y == 0]
    threshold = threshold_at_fpr(benign, alpha)
    allowed = np.floor(alpha * len(benign) + 1e-9)
    assert (benign > threshold).sum() <= allowed
    lower = benign[benign < threshold]
    if len(lower):
        assert (benign > lower.max()).sum() > allowed or threshold == lower.max()
    rate = tpr_at_fpr(y, scores, alpha)
    assert rate.fpr <= alpha + 1e-9
    assert rate.tpr == pytest.approx((scores[y == 1] > threshold).mean())


def test_constant_scores_have_an_auroc_of_one_half() -> None:
    for n in (2, 3, 50):
        assert auroc([0] * n + [1] * n, np.full(2 * n, 7.0)) == 0.5


def test_inverted_scores_stay_below_one_half() -> None:
    assert auroc([0, 0, 1, 1], [4, 3, 2, 1]) == 0.0


def test_columns_are_scored_one_by_one() -> None:
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 30), rng.normal(size=(2, 3, 30)).round(1)
    found = auroc_columns(y, scores)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(roc_auc_score(y, scores[1, 2]))


def test_knowing_only_the_question_is_chance_within_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 4)
    difficulty = np.repeat(rng.normal(size=200), 4)
    y = (rng.normal(size=800) + 2 * difficulty > 0).astype(int)
    assert auroc(y, difficulty) > 0.8
    assert within_group_auroc(y, difficulty, groups) == 0.5
    inside = within_group_auroc(y, difficulty + y, groups)
    assert inside == 1.0
    assert within_group_auroc([0, 1], [0, 1], ["a", "b"]) is None


def test_platt_equals_unregularised_logistic_regression_on_its_targets() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    scores = 3 * y + 4 * rng.normal(size=300) + 100
    n1, n0 = y.sum(), (1 - y).sum()
    target = np.where(y, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def loss(theta: np.ndarray) -> float:
        z = theta[0] * (scores - 100) + theta[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    slope, intercept = platt(y, scores)
    expected = minimize(loss, [0.1, 0.0]).x
    assert slope == pytest.approx(expected[0], abs=1e-4)
    assert slope * 100 + intercept == pytest.approx(expected[1], abs=1e-3)


def test_calibration_error_is_small_for_true_probabilities_and_large_for_shifted_ones() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    y = (rng.uniform(size=20_000) < p).astype(int)
    assert expected_calibration_error(y, p) < 0.02
    assert expected_calibration_error(y, np.clip(p + 0.2, 0, 1)) > 0.1


@pytest.mark.parametrize(
    ("y", "scores", "message"),
    [
        ([1, 1], [0.0, 1.0], "one class only"),
        ([], [], "non-empty"),
        ([0, 2], [0.0, 1.0], "0 or 1"),
        ([0, 1], [0.0, np.nan], "NaN or infinite"),
        ([0, 1], [0.0], "2 labels but 1 scores"),
    ],
)
def test_bad_input_is_named(y: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(y, scores)
