"""Fitting a grid at once gives the answers of the plain loop over masks and settings."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes.batched import batched_fit, logistic_cells, ridge_cells
from probes.evaluation.families import FAMILIES, Family, fit_cells
from probes.grid_solver import solve_logistic_grid
from probes.linear import LogisticProbe, MeanDifferenceProbe, RidgeProbe
from probes.solvers import ConvergenceError


def make_rows(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Badly scaled, correlated columns like real activations, labels with signal, three masks."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    X = X * np.geomspace(0.1, 30.0, d) + rng.normal(size=d) * 5
    score = (X - X.mean(0)) / X.std(0) @ rng.normal(size=d)
    y = (score + score.std() * rng.normal(size=n) > 0).astype(int)
    fold = np.arange(n) % 3
    return X, y, np.stack([fold != k for k in range(3)])


@pytest.mark.parametrize(("n", "d"), [(90, 12), (60, 100)])
@pytest.mark.parametrize("scale", ["standard", "none", "scalar"])
def test_grid_equals_loop_for_logistic(n: int, d: int, scale: str) -> None:
    X, y, masks = make_rows(n, d)
    Cs = np.array([1e-3, 0.1, 10.0])
    W, b = logistic_cells(X, y, masks, Cs, scale)
    for m, mask in enumerate(masks):
        for s, C in enumerate(Cs):
            probe = LogisticProbe(C=C, scale=scale).fit(X[mask], y[mask])
            held = X[~mask]
            expected = probe.decision_function(held)
            np.testing.assert_allclose(held @ W[m, s] + b[m, s], expected, atol=1e-4 * expected.std() + 1e-7)


@pytest.mark.parametrize(("n", "d"), [(90, 12), (60, 100)])
def test_grid_agrees_with_scikit_learn_at_tight_tolerance(n: int, d: int) -> None:
    X, y, masks = make_rows(n, d)
    Cs = np.array([1e-4, 1e-2, 1.0, 100.0])
    W, b = logistic_cells(X, y, masks, Cs)
    R, rb = ridge_cells(X, y, masks, 1 / Cs)
    for m, mask in enumerate(masks):
        for s, C in enumerate(Cs):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=100_000))
            expected = model.fit(X[mask], y[mask]).decision_function(X[~mask])
            found = X[~mask] @ W[m, s] + b[m, s]
            np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
            ridge = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1 / C)).fit(X[mask], y[mask])
            expected = ridge.decision_function(X[~mask])
            np.testing.assert_allclose(X[~mask] @ R[m, s] + rb[m, s], expected, atol=1e-6 * expected.std())


@pytest.mark.parametrize("name", ["ridge", "mean-difference"])
@pytest.mark.parametrize(("n", "d"), [(90, 12), (60, 100)])
def test_grid_equals_loop_for_closed_forms(name: str, n: int, d: int) -> None:
    X, y, masks = make_rows(n, d)
    family = FAMILIES[name]
    cells = fit_cells(family, X, y, masks, np.arange(n))
    scores = cells.scores(X)
    for m, mask in enumerate(masks):
        for s, setting in enumerate(family.settings):
            expected = family.make(setting).fit(X[mask], y[mask]).decision_function(X)
            np.testing.assert_allclose(scores[m, s], expected, atol=1e-8 * np.abs(expected).max())


def test_unknown_parameters_fall_back_to_the_loop() -> None:
    assert batched_fit(MeanDifferenceProbe(whiten=True), [{"scale": "none"}]) is None
    X, y, masks = make_rows(40, 5)
    family = Family(name="ridge", probe=RidgeProbe(), grid={"scale": ("none", "standard")})
    scores = fit_cells(family, X, y, masks, np.arange(40)).scores(X)
    expected = RidgeProbe(scale="standard").fit(X[masks[1]], y[masks[1]]).decision_function(X)
    np.testing.assert_allclose(scores[1, 1], expected)


def test_separable_data_converges_and_orders_like_the_single_fit() -> None:
    rng = np.random.default_rng(1)
    y = np.tile([0, 1], 20)
    X = rng.normal(size=(40, 200)) + 3 * y[:, None]
    masks = np.stack([np.arange(40) % 4 != k for k in range(4)])
    W, b = logistic_cells(X, y, masks, np.array([1e-4, 1e2]))
    assert np.isfinite(W).all()
    expected = LogisticProbe(C=1e2).fit(X[masks[0]], y[masks[0]]).decision_function(X)
    np.testing.assert_allclose(X @ W[0, 1] + b[0, 1], expected, atol=2e-3 * expected.std())


def test_torch_gives_the_answers_of_numpy() -> None:
    # "cpu:0" is a torch device, so the code that runs on a GPU runs here.
    X, y, masks = make_rows(60, 30)
    Cs = np.array([1e-3, 0.1, 10.0])
    expected = logistic_cells(X, y, masks, Cs)
    found = logistic_cells(X, y, masks, Cs, device="cpu:0")
    scores, reference = (np.einsum("msd,nd->msn", W, X) + b[..., None] for W, b in (found, expected))
    np.testing.assert_allclose(scores, reference, atol=1e-4 * reference.std())


def test_too_few_steps_are_an_error_and_not_an_answer() -> None:
    X, y, masks = make_rows(60, 30)
    with pytest.raises(ConvergenceError, match="raise max_iter"):
        solve_logistic_grid(X, y, masks, np.array([100.0]), np.ones((3, 30)), max_iter=3)


@pytest.mark.parametrize("few", [0, 300], ids=["L-BFGS", "Newton"])
@pytest.mark.parametrize("repeated", [False, True], ids=["independent rows", "repeated rows"])
def test_wide_activations_solved_by_rows_equal_those_solved_by_columns(
    repeated: bool, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.grid_solver.FEW", few)
    X, y, masks = make_rows(50, 140)
    if repeated:  # a Gram matrix without full rank
        X, y, masks = np.tile(X, (2, 1)), np.tile(y, 2), np.tile(masks, (1, 2))
        X = np.hstack([X, X])
    Cs = np.array([1e-3, 1.0, 100.0])
    W, b = logistic_cells(X, y, masks, Cs)
    monkeypatch.setattr("probes.grid_solver.WIDE", np.inf)
    columns, intercepts = logistic_cells(X, y, masks, Cs)
    found, expected = (
        np.einsum("msd,nd->msn", w, X) + a[..., None] for w, a in ((W, b), (columns, intercepts))
    )
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
    assert not np.array_equal(W, columns)  # both ways were taken
