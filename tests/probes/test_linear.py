"""Linear probes equal their definitions and scikit-learn's solutions, in raw coordinates."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf, oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import ContrastPairProbe, LDAProbe, LogisticProbe, MeanDifferenceProbe, PCAProbe, RidgeProbe
from probes.solvers import ConvergenceError


def make_rows(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.geomspace(0.5, 20, d) + 3
    y = (X[:, 0] + X[:, 1] / 20 + rng.normal(size=n) > 3.2).astype(int)
    return X, y


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


SHAPES = pytest.mark.parametrize(("n", "d"), [(120, 8), (40, 90)])


@SHAPES
@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
def test_logistic_has_the_coefficients_of_scikit_learn(n: int, d: int, C: float) -> None:
    X, y = make_rows(n, d)
    Z = StandardScaler().fit_transform(X)
    model = LogisticRegression(C=C, tol=1e-12, max_iter=100_000, solver="newton-cg").fit(Z, y)
    probe = LogisticProbe(C=C, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(probe.direction_ * X.std(0), model.coef_[0], atol=1e-4)
    np.testing.assert_allclose(probe.decision_function(X), model.decision_function(Z), atol=1e-3)
    raw = LogisticProbe(C=C, scale="none", tol=1e-10).fit(Z, y)
    np.testing.assert_allclose(raw.direction_, model.coef_[0], atol=1e-4)
    np.testing.assert_allclose(raw.bias_, model.intercept_[0], atol=1e-4)


def test_logistic_with_weights_has_the_coefficients_of_scikit_learn() -> None:
    X, y = make_rows(120, 8)
    weight = np.random.default_rng(1).uniform(0.1, 3, 120)
    model = LogisticRegression(tol=1e-12, solver="newton-cholesky", max_iter=1000).fit(
        X, y, sample_weight=weight
    )
    probe = LogisticProbe(scale="none", tol=1e-10).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(probe.direction_, model.coef_[0], atol=1e-4)


@SHAPES
def test_ridge_scores_are_those_of_scikit_learn(n: int, d: int) -> None:
    X, y = make_rows(n, d)
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=3.0)).fit(X, y)
    probe = RidgeProbe(alpha=3.0).fit(X, y)
    np.testing.assert_allclose(probe.decision_function(X), model.decision_function(X), atol=1e-8)


@SHAPES
@pytest.mark.parametrize("shrinkage", [0.1, 0.9])
def test_lda_scores_are_those_of_scikit_learn(n: int, d: int, shrinkage: float) -> None:
    X, y = make_rows(n, d)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, y)
    probe = LDAProbe(shrinkage=shrinkage, scale="none").fit(X, y)
    expected = model.decision_function(X)
    np.testing.assert_allclose(probe.decision_function(X), expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(probe.predict_proba(X), model.predict_proba(X), atol=1e-6)


@SHAPES
@pytest.mark.parametrize(("name", "estimate"), [("ledoit-wolf", ledoit_wolf), ("oas", oas)])
def test_lda_inverts_the_published_shrunk_covariance(n: int, d: int, name: str, estimate) -> None:
    X, y = make_rows(n, d)
    means = np.stack([X[y == label].mean(0) for label in (0, 1)])
    covariance, _ = estimate(X - means[y], assume_centered=True)
    expected = np.linalg.solve(covariance, means[1] - means[0])
    found = LDAProbe(shrinkage=name, scale="none").fit(X, y).direction_
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())
    whitened = MeanDifferenceProbe(whiten=True).fit(X, y).direction_
    if name == "ledoit-wolf":
        np.testing.assert_allclose(whitened, expected, atol=1e-7 * np.abs(expected).max())


def test_lda_with_pseudo_inverse_equals_the_unshrunk_solution() -> None:
    X, y = make_rows(120, 8)
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y)
    assert cosine(LDAProbe(shrinkage="pinv", scale="none").fit(X, y).direction_, model.coef_[0]) > 1 - 1e-9


@SHAPES
def test_ridge_direction_is_lda_with_a_fixed_ridge(n: int, d: int) -> None:
    # With alpha = n lambda, ridge is parallel to LDA on S_W + lambda I, also for unequal classes.
    X, y = make_rows(n, d)
    lam = 0.7
    means = np.stack([X[y == label].mean(0) for label in (0, 1)])
    within = (X - means[y]).T @ (X - means[y]) / n
    expected = np.linalg.solve(within + lam * np.eye(d), means[1] - means[0])
    assert cosine(RidgeProbe(alpha=n * lam, scale="none").fit(X, y).direction_, expected) > 1 - 1e-9


@pytest.mark.parametrize("scale", ["none", "center", "standard", "scalar"])
@pytest.mark.parametrize("kind", [LogisticProbe, RidgeProbe, LDAProbe, MeanDifferenceProbe, PCAProbe])
def test_raw_direction_reproduces_the_score(kind, scale: str) -> None:
    X, y = make_rows(60, 5)
    probe = kind(scale=scale).fit(X, y)
    np.testing.assert_allclose(X @ probe.direction_ + probe.bias_, probe.decision_function(X), rtol=1e-12)


@pytest.mark.parametrize("kind", [LogisticProbe, RidgeProbe, LDAProbe])
def test_standardised_fit_does_not_depend_on_units(kind) -> None:
    X, y = make_rows(60, 5)
    units = np.array([1e-3, 1.0, 10.0, 1e3, 1e6])
    first, second = kind().fit(X, y), kind().fit(X * units - 5, y)
    np.testing.assert_allclose(
        first.decision_function(X), second.decision_function(X * units - 5), rtol=1e-5, atol=1e-6
    )


def test_contrast_pair_direction_is_the_mean_difference_of_the_pairs() -> None:
    rng = np.random.default_rng(0)
    bad, good = rng.normal(size=(2, 7, 5))
    probe = ContrastPairProbe().fit_pairs(bad, good)
    np.testing.assert_allclose(probe.direction_, (bad - good).mean(0))
    unit = ContrastPairProbe(normalize=True).fit_pairs(bad * np.arange(1, 8)[:, None], good * 0)
    np.testing.assert_allclose(unit.direction_, (bad / np.linalg.norm(bad, axis=1)[:, None]).mean(0))


def test_probabilities_of_uncalibrated_probes_are_the_best_sigmoid() -> None:
    from probes.base import proba_slope

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    scores = (2 * y - 1) * 0.5 + rng.normal(size=200)
    n1, n0 = y.sum(), (1 - y).sum()
    target = np.where(y, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def loss(a: np.ndarray) -> float:
        return float((np.logaddexp(0, a[0] * scores) - target * a[0] * scores).sum())

    expected = minimize(loss, [1.0]).x[0]
    assert abs(proba_slope(scores, y, np.ones(200)) - expected) < 1e-4


def test_constant_columns_do_not_matter() -> None:
    X, y = make_rows(60, 5)
    wide = np.column_stack([X, np.full(60, 1e8), np.zeros(60)])
    for kind in (LogisticProbe, RidgeProbe, LDAProbe):
        expected = kind().fit(X, y).decision_function(X)
        if kind is LDAProbe:  # shrinkage looks at the number of columns
            assert np.isfinite(kind().fit(wide, y).decision_function(wide)).all()
        else:
            np.testing.assert_allclose(kind().fit(wide, y).decision_function(wide), expected, rtol=1e-6)


def test_bad_input_is_named() -> None:
    X, y = make_rows(20, 3)
    with pytest.raises(ValueError, match="one class only"):
        LogisticProbe().fit(X, np.zeros(20))
    with pytest.raises(ValueError, match="one class only"):
        LogisticProbe().fit(X, y, sample_weight=(y == 1).astype(float))
    with pytest.raises(ValueError, match="NaN"):
        RidgeProbe().fit(np.where(X > 5, np.nan, X), y)
    with pytest.raises(ValueError, match="infinity"):
        MeanDifferenceProbe().fit(np.where(X > 5, np.inf, X), y)
    with pytest.raises(ValueError, match="Only binary"):
        LDAProbe().fit(X, np.arange(20) % 3)
    with pytest.raises(ValueError, match="expecting 3 features"):
        LogisticProbe().fit(X, y).decision_function(X[:, :2])
    with pytest.raises(ValueError, match="scale='z'"):
        LogisticProbe(scale="z").fit(X, y)
    with pytest.raises(ValueError, match="shrinkage='auto'"):
        LDAProbe(shrinkage="auto").fit(X, y)
    with pytest.raises(ConvergenceError, match="max_iter"):
        LogisticProbe(max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="cannot weight rows"):
        MeanDifferenceProbe(whiten=True).fit(X, y, sample_weight=np.arange(1, 21))


def test_torch_tensors_of_low_precision_are_accepted() -> None:
    import torch

    X, y = make_rows(40, 4)
    half = torch.tensor(X).bfloat16()
    probe = MeanDifferenceProbe().fit(half, y)
    np.testing.assert_allclose(probe.decision_function(half), probe.decision_function(half.float().numpy()))
