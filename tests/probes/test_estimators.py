"""Probes are scikit-learn estimators: they pass its own checks and work in its tools."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes import (
    AttentionProbe,
    CCSProbe,
    ContrastPairProbe,
    LDAProbe,
    LogisticProbe,
    MeanDifferenceProbe,
    MLPProbe,
    PCAProbe,
    RidgeProbe,
    TokenProbe,
    auroc,
    load_probe,
)

ROW_PROBES = [
    LogisticProbe(),
    LogisticProbe(C=0.1, scale="scalar"),
    RidgeProbe(),
    MeanDifferenceProbe(),
    MeanDifferenceProbe(scale="standard"),
    LDAProbe(),
    LDAProbe(shrinkage=0.5, scale="none"),
    ContrastPairProbe(),
    PCAProbe(),
    PCAProbe(method="lat"),
    MLPProbe(hidden=8, max_epochs=40, learning_rate=0.03, n_seeds=1, device="cpu"),
    MLPProbe(hidden=0, max_epochs=40, learning_rate=0.03, n_seeds=1, device="cpu"),
]
IDS = [f"{type(probe).__name__}{i}" for i, probe in enumerate(ROW_PROBES)]
every_probe = pytest.mark.parametrize("probe", ROW_PROBES, ids=IDS)


INIT_CHECK = "check_do_not_raise_errors_in_init_or_set_params"


@parametrize_with_checks(ROW_PROBES)
def test_scikit_learn_checks_pass(estimator, check) -> None:
    if getattr(check, "func", check).__name__ == INIT_CHECK:
        return  # passes nonsense to constructors, which this suite's type checks refuse: see the next test
    check(estimator)


def test_constructors_check_nothing_outside_this_suite() -> None:
    code = (
        "import probes; from sklearn.utils import estimator_checks as checks\n"
        "for name in ('LogisticProbe', 'RidgeProbe', 'MeanDifferenceProbe', 'LDAProbe',\n"
        "             'ContrastPairProbe', 'PCAProbe', 'MLPProbe'):\n"
        "    checks.check_do_not_raise_errors_in_init_or_set_params(name, getattr(probes, name)())\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[2]
    )


def make_rows(n: int = 80, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], n // 2)
    return rng.normal(size=(n, d)) + 1.5 * y[:, None] + 4.0, y


@every_probe
def test_positive_class_is_the_one_that_sorts_last(probe) -> None:
    X, y = make_rows()
    assert auroc(y, clone(probe).fit(X, y).decision_function(X)) > 0.9
    named = clone(probe).fit(X, np.where(y, "wrong", "right"))
    assert auroc(y, named.decision_function(X)) > 0.9
    assert set(named.predict(X)) <= {"right", "wrong"}


@every_probe
def test_works_in_pipeline_grid_search_and_calibration(probe) -> None:
    X, y = make_rows(40)
    groups = np.arange(40) // 2
    pipeline = make_pipeline(StandardScaler(), clone(probe)).fit(X, y)
    assert pipeline.score(X, y) > 0.7
    name = next(iter(probe.get_params()))
    value = probe.get_params()[name]
    search = GridSearchCV(clone(probe), {name: [value]}, cv=GroupKFold(2), scoring="roc_auc")
    assert search.fit(X, y, groups=groups).best_score_ > 0.7
    calibrated = CalibratedClassifierCV(clone(probe), cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (40, 2)


@every_probe
@pytest.mark.parametrize("labels", ["numbers", "names"])
def test_saved_probe_scores_the_same_after_loading(probe, labels: str, tmp_path) -> None:
    X, y = make_rows()
    target = y if labels == "numbers" else np.where(y, "wrong", "right")
    fitted = clone(probe).fit(X, target)
    path = fitted.save(tmp_path / "probe", provenance={"layer": 7, "site": "resid_post"})
    loaded = load_probe(path)
    np.testing.assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.provenance_.layer == 7


def make_tokens(seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], 20)
    rows = []
    for label in y:
        row = rng.normal(size=(rng.integers(2, 7), 3))
        row[-1, 0] += 4 * label
        rows.append(row)
    return rows, y


@pytest.mark.parametrize(
    "probe",
    [
        TokenProbe(pool="max", train_on="tokens"),
        TokenProbe(probe=LogisticProbe(C=0.5), pool="ema"),
        AttentionProbe(max_epochs=30, device="cpu"),
    ],
    ids=["token-max", "token-ema", "attention"],
)
def test_saved_token_probe_scores_the_same_after_loading(probe, tmp_path) -> None:
    rows, y = make_tokens()
    fitted = probe.fit(rows, y)
    loaded = load_probe(fitted.save(tmp_path / "probe"))
    np.testing.assert_array_equal(loaded.decision_function(rows), fitted.decision_function(rows))


def test_saved_ccs_probe_scores_the_same_after_loading(tmp_path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2, 4)), np.tile([0, 1], 15)
    fitted = CCSProbe(n_starts=2, max_epochs=20).fit(X, y)
    loaded = load_probe(fitted.save(tmp_path / "probe"))
    np.testing.assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))
