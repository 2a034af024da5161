"""Newton's method on row weights, held to the conditions that define the answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from probes.newton_solver import solve_by_newton
from probes.solvers import ConvergenceError


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 40),
    d=st.integers(1, 60),
    repeats=st.integers(1, 3),
    size=st.sampled_from([1e-3, 1.0, 30.0]),
    separable=st.booleans(),
)
def test_the_gradient_of_the_mean_loss_is_below_the_tolerance_everywhere(
    seed: int, n: int, d: int, repeats: int, size: float, separable: bool
) -> None:
    generator = np.random.default_rng(seed)
    X = np.tile(size * generator.normal(size=(n, d)), (repeats, 1))
    y = (X[:, 0] > 0).astype(int) if separable else generator.integers(0, 2, len(X))
    Cs = np.array([100.0, 1e-4, 1.0])  # in any order
    W, b = solve_by_newton(X, y, Cs)
    for w, a, C in zip(W, b, Cs, strict=True):
        residual = C * (expit(X @ w + a) - y)
        assert np.abs(residual @ X + w).max() <= 1.01e-8 * C * len(X)
        assert abs(residual.sum()) <= 1.01e-8 * C * len(X)


def test_too_few_steps_are_an_error_that_names_the_strength() -> None:
    X = np.random.default_rng(0).normal(size=(30, 60))
    with pytest.raises(ConvergenceError, match="C=100 did not reach"):
        solve_by_newton(X, np.arange(30) % 2, np.array([100.0]), max_iter=2)
