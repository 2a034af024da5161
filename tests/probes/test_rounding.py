"""Spreads that are only rounding count as none, wherever scores are divided or ranked."""

import numpy as np
import pytest
from planted import QUICK
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from probes import Domain, sweep, transfer
from probes.base import fit_scaler
from probes.batched import logistic_cells
from probes.linear import LogisticProbe
from probes.rounding import histogram_edges


@pytest.mark.parametrize("family", ["logistic", "ridge", "lda", "mean-difference", "mlp-linear"])
@pytest.mark.parametrize("base", [0.0, 1e3])
def test_equal_rows_give_an_auroc_of_one_half_in_every_cell(family: str, base: float) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(100) < 0.3).astype(int)
    X = np.tile((base + rng.normal(size=64)).astype(np.float32), (100, 1))
    assert (sweep(Domain("a", X, y, np.arange(100)), family).auroc == 0.5).all()


def test_equal_rows_give_one_half_in_designs_controls_and_repairs() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(100) < 0.3).astype(int)
    X = np.tile(rng.normal(size=64), (100, 1))

    def make(name: str, shift: float) -> Domain:
        groups = [f"{name}{i}" for i in range(100)]
        columns = {"entropy": np.full(100, 0.1)}
        return Domain(name, X + shift, y, groups, texts=["the same"] * 100, columns=columns)

    result = transfer(make("a", 0.0), make("b", 0.1), "ridge", controls=[make("c", 0.2)], options=QUICK)
    assert set(result.to_frame().auroc) == {0.5}
    assert {step.auroc.value for step in result.repairs} == {0.5}


def test_features_are_standardised_where_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    spreads = np.array([1.0, 1e-6, 1e-9, 1e-12, 0.0, 1e-14])
    X = 1e3 * np.arange(6) + rng.normal(size=(200, 6)) * spreads
    scale = fit_scaler(X, np.ones(200), "standard").scale
    np.testing.assert_allclose(scale, StandardScaler().fit(X).scale_, rtol=1e-6)
    assert scale[1] < 1e-5, "a small spread on a large mean is still a spread"


def test_a_feature_that_is_constant_without_one_fold_is_left_unscaled_there() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.tile([0, 1], 30)
    X[:, 2] = 0.0
    X[7, 2] = 1.0
    mask = np.ones((2, 60), dtype=bool)
    mask[1, 7] = False
    W, _ = logistic_cells(X, y, mask, np.array([1.0]))
    alone = LogisticProbe(C=1.0).fit(X[mask[1]], y[mask[1]])
    np.testing.assert_allclose(W[1, 0], alone.direction_, atol=1e-7)
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(StandardScaler().fit_transform(X[mask[1]]), y[mask[1]])
    assert abs(W[1, 0, 2]) < 1e-7
    assert abs(theirs.coef_[0, 2]) < 1e-7


@pytest.mark.parametrize("value", [0.0, 1.0, -1e20, 1e-300])
def test_histograms_of_nearly_equal_values_have_edges(value: float) -> None:
    values = np.array([value, np.nextafter(value, np.inf)])
    edges = histogram_edges(values, 30)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, bins=edges)[0].sum() == 2
