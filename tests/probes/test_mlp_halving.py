"""Successive halving: the rule is scikit-learn's, survivors are trained as without it, nothing leaks."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

from probes import Domain, Family, MLPProbe, sweep
from probes.mlp import mlp_cells
from probes.mlp_halving import rungs

GRID = {"weight_decay": (0.0, 0.1, 1.0), "learning_rate": (1e-6, 1e-3, 0.02)}
PROBE = MLPProbe(hidden=6, max_epochs=18, n_seeds=2, device="cpu")


def planted(seed: int = 0, n: int = 240, d: int = 12):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    direction = rng.normal(size=d) / np.sqrt(d)
    return rng.normal(size=(n, d)) + (2 * y[:, None] - 1) * direction, y, np.arange(n) // 4


@pytest.mark.parametrize("candidates", [3, 7, 9, 12, 30])
def test_candidates_and_epochs_of_every_rung_are_those_of_scikit_learn(candidates):
    X, y, _ = planted(n=1080)  # so many that its own least number of rows does not bind
    search = HalvingGridSearchCV(
        DummyClassifier(strategy="constant"),
        {"constant": [0] * candidates},
        factor=3,
        resource="n_samples",
        max_resources=1080,
        min_resources="exhaust",
        cv=2,
    ).fit(X, y)
    theirs = list(zip(search.n_candidates_, search.n_resources_, strict=True))
    ours = rungs(candidates, 1080)
    assert ours == theirs[:-1], "the last one is the full training"


def test_what_survives_is_trained_exactly_as_without_halving():
    X, y, groups = planted()
    masks = np.stack([groups % 3 != k for k in range(2)])
    settings = Family(name="mlp", probe=PROBE, grid=GRID).settings
    for mask, row in zip(masks, mlp_cells(PROBE, settings, X, y, masks, groups), strict=True):
        kept = [not probe.dropped_ for probe in row]
        assert 0 < sum(kept) < len(settings)
        for setting, probe, survives in zip(settings, row, kept, strict=True):
            if survives:
                alone = PROBE.with_params(setting).fit(X[mask], y[mask])
                np.testing.assert_allclose(probe.decision_function(X), alone.decision_function(X), atol=1e-4)


def test_a_setting_that_does_not_learn_is_dropped_and_never_chosen():
    X, y, groups = planted()
    result = sweep(
        Domain("toy", X[None], y, [str(g) for g in groups]), Family(name="m", probe=PROBE, grid=GRID)
    )
    frame = result.to_frame()
    assert not frame.loc[frame.learning_rate == 1e-6, "kept"].any()
    assert frame.loc[frame.chosen, "kept"].all()
    assert result.work[0] < 0.6 * result.work[1]


def test_without_halving_every_setting_is_trained():
    X, y, groups = planted()
    domain = Domain("toy", X[None], y, [str(g) for g in groups])
    whole = Family(name="m", probe=PROBE.with_params({"halving": False}), grid=GRID)
    result = sweep(domain, whole)
    assert result.kept.all()
    assert result.work[0] == result.work[1]


def test_rows_of_other_masks_do_not_change_what_is_kept():
    X, y, groups = planted()
    settings = Family(name="mlp", probe=PROBE, grid=GRID).settings
    mask = groups % 3 != 0
    changed = np.where(mask, y, 1 - y)
    first, second = (
        [probe.dropped_ for probe in mlp_cells(PROBE, settings, X, labels, mask[None], groups)[0]]
        for labels in (y, changed)
    )
    assert first == second
