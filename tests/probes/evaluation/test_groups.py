"""A group is what its value means: its type, its spelling and the order of rows change nothing."""

from decimal import Decimal

import numpy as np
import pytest
from planted import QUICK
from simulate import clustered_scores

from probes import (
    Domain,
    DomainError,
    GroupLeakError,
    bootstrap_auroc,
    bootstrap_difference,
    delong_interval,
    delong_test,
    equivalence_test,
    max_statistic_null,
    transfer,
    within_group_auroc,
)
from probes.evaluation.bootstrap import GroupBootstrap
from probes.evaluation.delong import design_effect
from probes.evaluation.groups import group_members, group_names
from probes.evaluation.nulls import exchangeable_share, permuted_labels

Y = np.tile([0, 1], 60)


def make(name: str, groups, shift: float = 1.0, seed: int = 0, **more) -> Domain:
    X = np.random.default_rng([seed, *name.encode()]).normal(size=(120, 4)) + shift * Y[:, None]
    return Domain(name, X, Y, groups, **more)


@pytest.mark.parametrize("kind", [float, np.float32, np.int8, str, object, Decimal])
def test_one_group_in_another_type_is_the_same_group(kind: type) -> None:
    plain = np.arange(120) // 2
    other = [kind(i) for i in plain.tolist()] if kind in (str, Decimal) else plain.astype(kind)
    with pytest.raises(GroupLeakError, match="share 60 groups"):
        transfer(make("a", plain), make("b", other), "mean-difference", options=QUICK)


def test_names_tell_apart_what_differs_and_only_that() -> None:
    same = [1, 1.0, np.int64(1), np.float32(1), "1"]
    assert set(group_names(same)) == {"1"}
    assert set(group_names(["caf\u00e9", "cafe\u0301"])) == {"caf\u00e9"}
    assert len(set(group_names([0, "", 1, 1.5, "a", ("a", 1), ("a", 2)]))) == 7
    assert group_names([("a", 1)])[0] == group_names([("a", 1.0)])[0]


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, np.datetime64("NaT")])
def test_rows_without_a_group_are_refused_by_row(missing) -> None:
    groups = [missing if i == 3 else f"q{i}" for i in range(120)]
    with pytest.raises(DomainError, match=r"mine: groups: 1 of 120 rows have none \(row 3\)"):
        Domain("mine", np.zeros((120, 1)), Y, groups)
    with pytest.raises(ValueError, match="row 3"):
        bootstrap_auroc(Y, Y, groups)


def test_group_zero_is_a_group_like_any_other() -> None:
    domain = make("a", np.arange(120) // 2)
    assert domain.sample.n_groups == 60
    assert "0" in domain.groups
    assert group_members([0, 1, 0], 3).tolist() == [0, 1, 0]


def test_no_groups_means_a_question_per_row_and_the_result_says_so() -> None:
    a, b = make("a", None), make("b", None)
    assert a.sample.n_groups == 120
    result = transfer(a, b, "mean-difference", options=QUICK)
    assert any(w.startswith("a: no groups were given") for w in result.warnings)


@pytest.mark.parametrize(
    "call",
    [
        lambda y, s, g: bootstrap_auroc(y, s, g),
        lambda y, s, g: bootstrap_difference(y, s, s, g),
        lambda y, s, g: delong_interval(y, s, g),
        lambda y, s, g: delong_test(y, s, s, g),
        lambda y, s, g: design_effect(y, s, g),
        lambda y, s, g: equivalence_test(y, s, g),
        lambda y, s, g: max_statistic_null(y, s, g),
        lambda y, s, g: within_group_auroc(y, s, g),
        lambda y, s, g: permuted_labels(y, g, 3),
        lambda y, s, g: exchangeable_share(y, g),
        lambda y, s, g: GroupBootstrap(y, g),
    ],
)
def test_every_function_checks_the_length_of_groups(call) -> None:
    y, s = np.tile([0, 1], 10), np.arange(20.0)
    for wrong in (np.arange(19), np.arange(21), np.arange(40).reshape(20, 2)):
        with pytest.raises(ValueError, match="groups must have one entry per row"):
            call(y, s, wrong)


@pytest.mark.parametrize("seed", range(5))
def test_the_null_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, scores, groups = clustered_scores(rng, 40, 0.6)
    order = rng.permutation(len(y))
    one, two = (
        max_statistic_null(y[o], np.stack([scores, -scores])[:, o], groups[o], n_permutations=99)
        for o in (np.arange(len(y)), order)
    )
    np.testing.assert_allclose(one.null, two.null, atol=1e-12)
    assert one.p_value == two.p_value


def test_one_right_and_one_wrong_row_per_question_is_a_null_with_spread() -> None:
    a, b = make("a", [f"a{i // 2}" for i in range(120)], 3), make("b", [f"b{i // 2}" for i in range(120)], 3)
    result = transfer(a, b, "mean-difference", options=QUICK)
    (d1,) = [e for e in result.evaluations if e.design == "D1"]
    assert d1.p_value is not None
    assert d1.p_value < 0.01
    noise = np.random.default_rng(0).normal(size=(200, 120))
    values = [max_statistic_null(Y, s, np.arange(120) // 2, n_permutations=99).p_value for s in noise]
    assert 0.02 <= np.mean(np.array(values) <= 0.1) <= 0.18, "p-values keep their size"


def test_a_null_without_spread_has_no_p_value_and_warns() -> None:
    y, groups = np.array([0, 0, 1, 1, 1]), ["a", "a", "b", "b", "b"]
    with pytest.warns(UserWarning, match="no permutation of the labels"):
        assert max_statistic_null(y, np.arange(5.0), groups).p_value is None
    with pytest.warns(UserWarning, match="no permutation of the labels"):
        assert max_statistic_null(Y, np.ones(120)).p_value is None
