"""Learning curves find planted directions, never score what they were fitted on, and say their spread."""

import numpy as np
import pytest

from probes import Domain
from probes.evaluation.learning import LearningOptions, TrainedWith, _examples, _Rows, learning_curve

OPTIONS = LearningOptions(counts=(0, 16, 64), repeats=3)


def domain(name, direction, *, seed, groups=60, strength=2.5, prefix=None):
    """Two layers of noise; the second holds the label along one axis. Groups hold one row of each class."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], groups)
    X = rng.normal(size=(2, 2 * groups, 8))
    X[1, :, direction] += strength * y
    return Domain(name, X, y, [f"{prefix or name}{i // 2}" for i in range(2 * groups)])


@pytest.fixture(scope="module")
def turned():
    """The target holds the label along another axis than the source."""
    return domain("source", 0, seed=1), domain("target", 1, seed=2)


def values(curve, training):
    return {p.count: p.auroc.value for p in curve.points if p.training == training}


def test_what_the_source_does_not_know_is_learned_from_the_targets_answers(turned):
    curve = learning_curve(*turned, "logistic", OPTIONS, n_draws=100)
    alone, added = values(curve, TrainedWith.ALONE), values(curve, TrainedWith.ADDED)
    assert curve.layer == 1, "the source chose the layer with the signal"
    assert added[0] < 0.65
    assert alone[64] > 0.85
    assert alone[16] < alone[64]
    assert added[0] < added[64] < alone[64], "rows of the source hold the fit back"


def test_what_the_source_knows_needs_no_answers_of_the_target():
    pair = domain("source", 0, seed=3), domain("target", 0, seed=4)
    curve = learning_curve(*pair, "mean-difference", OPTIONS, n_draws=100)
    added = values(curve, TrainedWith.ADDED)
    assert min(added.values()) > 0.9
    assert set(added) == {0, 16, 64}
    assert set(values(curve, TrainedWith.ALONE)) == {16, 64}, "no fit on nothing"


def test_every_point_has_an_interval_around_its_mean_and_draws(turned):
    curve = learning_curve(*turned, "mean-difference", OPTIONS, n_draws=200)
    for point in curve.points:
        assert point.auroc.low < point.auroc.value < point.auroc.high
        assert point.lowest <= point.auroc.value <= point.highest
    zero = curve.points[0]
    assert (zero.count, zero.lowest, zero.highest) == (0, zero.auroc.value, zero.auroc.value)


def test_examples_come_in_order_never_from_the_scored_fold_and_hold_both_classes(turned):
    data = _Rows.read(*turned, layer=1, n_folds=5, seed=0)
    for fold in range(5):
        few, more = (_examples(data, fold, count, repeat=0) for count in (8, 32))
        assert set(few) <= set(more)
        assert not np.any(data.fold[more] == fold)
        assert set(data.labels[few]) == {0, 1}
        names, counts = np.unique(data.groups[more], return_counts=True)
        assert (counts == 2).all(), f"a group of {names} was cut"
    assert set(_examples(data, 0, 8, repeat=0)) != set(_examples(data, 0, 8, repeat=1))


def test_groups_that_both_share_are_not_fitted_where_they_are_scored():
    """Source and target hold the same questions, and only each question's own noise tells its answer."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 40)
    marks = rng.normal(size=(80, 200)) * 3
    names = [f"q{i // 2}" for i in range(80)]
    source = Domain("source", marks, y, names)
    target = Domain("target", marks + 0.1 * rng.normal(size=marks.shape), y, names)
    curve = learning_curve(source, target, "ridge", LearningOptions(counts=(0, 8), repeats=2), n_draws=50)
    assert curve.points[0].auroc.value < 0.75, "the source's fit has seen the questions that it scores"


def test_equal_seeds_give_equal_curves_and_others_other_draws(turned):
    first, again = (learning_curve(*turned, "mean-difference", OPTIONS, n_draws=50) for _ in range(2))
    other = learning_curve(*turned, "mean-difference", OPTIONS, n_draws=50, seed=1)
    assert first == again
    assert first.points != other.points


def test_the_choice_of_a_transfer_result_is_taken_as_it_is(turned):
    chosen = (0, {"scale": "standard"})
    curve = learning_curve(*turned, "mean-difference", OPTIONS, n_draws=50, chosen=chosen)
    assert (curve.layer, curve.setting) == chosen


def test_counts_that_the_folds_cannot_give_are_left_out(turned):
    options = LearningOptions(counts=(0, 96, 97), repeats=2)
    curve = learning_curve(*turned, "mean-difference", options, n_draws=50)
    assert {point.count for point in curve.points} == {0, 96}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"counts": (8, 0)}, "must rise"), ({"counts": (-1,)}, "must rise"), ({"repeats": 1}, "at least 2")],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LearningOptions(**options)


def test_a_fold_of_one_class_is_refused_by_name(turned):
    y = np.r_[np.ones(3, dtype=int), np.zeros(57, dtype=int)]
    rare = Domain("rare", np.random.default_rng(0).normal(size=(2, 60, 8)), y, [f"r{i}" for i in range(60)])
    with pytest.raises(ValueError, match=r"rare: fold \d holds one class"):
        learning_curve(turned[0], rare, "mean-difference", OPTIONS, n_draws=50)
