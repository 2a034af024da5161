"""Planted peaks are found, and noise, rises and falls are not taken for them."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from rlhf.diagnostics.trend import FALLS, NO_TREND, PEAK, RISES, rising_squares, trend

X = np.linspace(0, 1, 20)


def verdicts(curve, *, noise, runs=60, seed=0):
    rng = np.random.default_rng(seed)
    return [trend(curve + rng.normal(0, noise, len(curve))) for _ in range(runs)]


@pytest.mark.parametrize(("top", "at"), [(0.5, 10), (0.3, 6), (0.7, 13)])
def test_a_planted_peak_is_found_where_it_is(top, at):
    curve = np.where(top >= X, X / top, (1 - X) / (1 - top))
    found = verdicts(curve, noise=0.08)
    assert np.mean([one.verdict == PEAK for one in found]) > 0.95
    assert abs(np.median([one.peak for one in found]) - at) <= 2


@pytest.mark.parametrize(("curve", "expected"), [(X, RISES), (-X, FALLS)])
def test_a_monotone_curve_has_no_peak(curve, expected):
    found = verdicts(curve, noise=0.08)
    assert np.mean([one.verdict == expected for one in found]) > 0.9
    assert np.mean([one.verdict == PEAK for one in found]) <= 0.07


def test_pure_noise_is_called_a_peak_hardly_ever():
    found = verdicts(np.zeros(20), noise=1.0, runs=200)
    assert np.mean([one.verdict == NO_TREND for one in found]) > 0.85
    assert np.mean([one.rise_p < 0.05 for one in found]) < 0.1
    assert np.mean([one.fall_p < 0.05 for one in found]) < 0.1
    assert np.mean([one.verdict == PEAK for one in found]) < 0.05


def test_squares_of_every_beginning_equal_scipys():
    curve = np.random.default_rng(4).standard_normal(25)
    fits = [isotonic_regression(curve[:k]).x for k in range(1, 26)]
    expected = [((curve[: len(fit)] - fit) ** 2).sum() for fit in fits]
    np.testing.assert_allclose(rising_squares(curve), expected, atol=1e-12)


def test_sizes_are_those_of_the_fit():
    found = trend([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.7, 0.5, 0.3])
    assert (found.peak, found.rise, found.fall) == (5, pytest.approx(1.0), pytest.approx(0.7))


def test_constants_have_no_trend_and_short_or_broken_curves_are_refused():
    assert trend([0.3] * 10).verdict == NO_TREND
    with pytest.raises(ValueError, match="at least 6 checkpoints"):
        trend([0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="no finite value"):
        trend([0.0] * 6 + [float("nan")])
