"""Folds never cut a group, held-out scores never saw their rows, and choices are made on the source alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import SMALL_LOGISTIC, make_directions, make_domain
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import Domain, auroc
from probes.device import solver_device
from probes.evaluation.crossfit import choose_cell, cross_fit
from probes.evaluation.families import FAMILIES
from probes.evaluation.folds import FoldPlan, deal_groups


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=20, max_size=60), st.integers(0, 5))
def test_folds_never_cut_a_group_and_are_balanced(members: list[int], seed: int) -> None:
    groups = np.array([f"g{i}" for i in members])
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < 3:
        with pytest.raises(ValueError, match="cannot fill 3 folds"):
            deal_groups([groups], 3, seed)
        return
    fold_of = deal_groups([groups], 3, seed)
    plan = FoldPlan.make(groups, fold_of, 3)
    for left_out, mask in zip(plan.excluded, plan.masks, strict=True):
        assert not set(groups[mask]) & set(groups[~mask])
        assert set(plan.fold[~mask]) == set(left_out)
    counts = np.bincount(plan.fold, minlength=3)
    assert counts.max() - counts.min() <= sizes.max()
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    assert deal_groups([groups[shuffled]], 3, seed) == fold_of, "the order of rows does not matter"


def test_a_group_is_in_one_fold_in_every_domain() -> None:
    fold_of = deal_groups([np.array(["a", "b", "c"]), np.array(["b", "c", "d"])], 2, 0)
    assert set(fold_of) == {"a", "b", "c", "d"}


@pytest.fixture(scope="module")
def fitted():
    domain = make_domain("a", 4, make_directions(1, n_layers=2, width=10), n_groups=50, strength=0.7)
    fold_of = deal_groups([domain.groups], 4, 0)
    plan = FoldPlan.make(domain.groups, fold_of, 4)
    return domain, plan, cross_fit(SMALL_LOGISTIC, domain, plan, device="cpu")


def pooled(model, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Scores of the test rows on the scale of the training scores."""
    model.fit(X[train], y[train])
    own = model.decision_function(X[train])
    return (model.decision_function(X[test]) - own.mean()) / own.std()


@pytest.mark.parametrize("setting", [0, 1])
def test_out_of_fold_scores_equal_a_plain_loop_in_scikit_learn(fitted, setting: int) -> None:
    domain, plan, fit = fitted
    C = SMALL_LOGISTIC.settings[setting]["C"]
    X = domain.layer(1)
    for k in range(4):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=10_000))
        test = plan.fold == k
        expected = pooled(model, X, domain.y, ~test, test)
        np.testing.assert_allclose(fit.oof[1, setting, test], expected, atol=1e-3)
        inner = plan.fold == (k + 1) % 4
        expected = pooled(model, X, domain.y, ~test & ~inner, inner)
        np.testing.assert_allclose(fit.inner[k][1, setting, inner], expected, atol=1e-3)


def test_nested_scores_do_not_depend_on_the_labels_of_their_own_fold(fitted) -> None:
    domain, plan, fit = fitted
    rows = plan.fold == 2
    changed = Domain("a", domain.X, np.where(rows, 1 - domain.y, domain.y), domain.groups)
    again = cross_fit(SMALL_LOGISTIC, changed, plan, device="cpu")
    (before, chosen), (after, rechosen) = fit.nested_scores(), again.nested_scores()
    np.testing.assert_array_equal(before[rows], after[rows])
    assert chosen[2].cell == rechosen[2].cell
    assert not np.allclose(before[~rows], after[~rows])


def test_nested_scores_are_never_better_than_choosing_on_themselves() -> None:
    # Pure noise: choosing the best of 40 cells on the rows that are scored would show well above one half.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 160, 4)), rng.integers(0, 2, 160)
    domain = Domain("noise", X, y, [f"g{i // 2}" for i in range(160)])
    plan = FoldPlan.make(domain.groups, deal_groups([domain.groups], 5, 0), 5)
    fit = cross_fit(FAMILIES["mean-difference"], domain, plan, device="cpu")
    assert fit.select().auroc > 0.55
    assert auroc(y, fit.nested_scores()[0]) < fit.select().auroc - 0.03


def test_pooling_folds_of_different_balance_does_not_push_the_auroc_below_one_half() -> None:
    # Raw leave-one-group-out scores carry minus the class balance of the training rows in their intercept.
    rng = np.random.default_rng(1)
    values = []
    for _ in range(15):
        X, y = rng.normal(size=(1, 60, 3)), rng.integers(0, 2, 60)
        domain = Domain("noise", X, y, [f"g{i // 2}" for i in range(60)])
        plan = FoldPlan.make(domain.groups, deal_groups([domain.groups], 10, 0), 10, nested=False)
        fit = cross_fit(FAMILIES["ridge"], domain, plan, device="cpu")
        values.append(auroc(y, fit.oof[0, -1]))  # the largest penalty: hardly anything but the intercept
    assert np.mean(values) > 0.42


def test_threads_give_the_same_scores(fitted) -> None:
    domain, plan, fit = fitted
    threaded = cross_fit(SMALL_LOGISTIC, domain, plan, n_jobs=2, device="cpu")
    np.testing.assert_array_equal(threaded.oof, fit.oof)


def test_ties_go_to_the_better_calibrated_cell_then_to_the_middle() -> None:
    y = np.tile([0, 1], 20)
    perfect, clear = y + 0.0, y * 5.0
    hesitant = np.where(y, 0.51, 0.49) + np.random.default_rng(0).normal(size=40) * 1e-3
    same = np.stack([perfect, clear, perfect])[:, None]
    assert choose_cell(same, y).cell == (1, 0), "equal in everything: the middle layer"
    assert choose_cell(np.stack([hesitant * 0, perfect, perfect])[:, None], y).cell == (1, 0)
    assert choose_cell(np.stack([perfect, -perfect])[:, None], y).cell == (0, 0), "no sign is turned"
    assert choose_cell(same, y, layers=[2]).cell == (2, 0)


def test_training_sets_without_a_class_are_refused() -> None:
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    domain = Domain("rare", np.random.default_rng(0).normal(size=(8, 2)), y, [*"aabbccdd"])
    plan = FoldPlan.make(domain.groups, deal_groups([domain.groups], 4, 0), 4)
    with pytest.raises(ValueError, match="rare: without fold"):
        cross_fit(FAMILIES["mean-difference"], domain, plan, device="cpu")


@pytest.mark.parametrize(
    ("asked", "rows", "used"),
    [(None, 999, "cpu"), (None, 1000, "cuda"), ("cpu", 1000, "cpu"), ("cuda", 999, "cuda")],
)
def test_gpu_solves_large_layers_only_unless_it_is_asked_for(
    asked: str | None, rows: int, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert solver_device(asked, rows * 2000) == used
