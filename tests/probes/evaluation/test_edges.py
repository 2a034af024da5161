"""At AUROC 0 and 1 nothing is known exactly: intervals stay open and no verdict is stronger than they are."""

import numpy as np
import pytest
from planted import QUICK

from probes import (
    Domain,
    MeanDifferenceProbe,
    RidgeProbe,
    TokenProbe,
    bootstrap_auroc,
    bootstrap_difference,
    delong_interval,
    delong_test,
    equivalence_test,
    load_probe,
    transfer,
)
from probes.evaluation.controls import trigger_scores
from probes.evaluation.recovered import pgr_of
from probes.evaluation.results import Estimate


def perfect(n: int, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat([0, 1], n)
    return y, sign * (y + np.linspace(0, 0.5, 2 * n))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_bootstrap_of_a_perfect_score_has_delongs_interval(sign: int, method: str) -> None:
    y, scores = perfect(8, sign)
    found, other = bootstrap_auroc(y, scores, n_draws=100, method=method), delong_interval(y, scores)
    assert (found.low, found.high) == (other.low, other.high)
    assert found.high - found.low > 0.1


def test_few_perfect_rows_are_inconclusive_and_many_are_above() -> None:
    assert equivalence_test(*perfect(2), n_draws=100).verdict == "inconclusive"
    assert equivalence_test(*perfect(40), n_draws=100).verdict == "above"
    assert equivalence_test(*perfect(40, -1), n_draws=100).verdict == "inverted"


def test_constant_scores_of_few_rows_are_not_equivalent_to_chance() -> None:
    assert equivalence_test(np.tile([0, 1], 10), np.ones(20), n_draws=100).verdict == "inconclusive"


@pytest.mark.parametrize("n", [3, 30])
def test_differences_of_perfect_scores_are_open_and_tests_agree_with_them(n: int) -> None:
    y, first = perfect(n)
    second = np.random.default_rng(0).normal(size=2 * n)
    for scores in (first + 1, second, -first):
        difference = bootstrap_difference(y, first, scores, n_draws=200)
        assert difference.low < difference.value <= difference.high
        test = delong_test(y, first, scores)
        assert test.low < test.difference <= test.high
        assert (test.p_value < 0.05) == (not test.low <= 0 <= test.high)


def test_perfect_probes_of_few_rows_are_not_called_equal_to_their_ceiling() -> None:
    def make(name: str, n: int) -> Domain:
        y = np.tile([0, 1], n)
        X = np.random.default_rng([n, *name.encode()]).normal(size=(2 * n, 2)) * 0.1 + 5 * y[:, None]
        groups = [f"{name}{i // 2}" for i in range(2 * n)]
        return Domain(name, X, y, groups, strata={"model": ["one"] * (2 * n)})

    few = transfer(make("a", 14), make("b", 14), "mean-difference", options=QUICK)
    (record,) = few.recovered
    assert record.gap.low < 0 < record.gap.high
    assert record.recovered.low < 1 < record.recovered.high
    assert few.verdicts[0].code != "transfers", "a gap of up to .1 is not excluded by 14 rows a class"
    stratum = next(s for s in few.strata if s.auroc.value is not None)
    assert stratum.auroc.low < 1
    many = transfer(make("a", 60), make("b", 60), "mean-difference", options=QUICK)
    assert many.verdicts[0].code == "transfers"


def test_pgr_is_undefined_below_one_half() -> None:
    ours, best = (Estimate(value=v, low=v - 0.1, high=v + 0.1) for v in (0.7, 0.9))
    draws = np.linspace(0.6, 0.8, 50), np.linspace(0.8, 0.95, 50)
    assert pgr_of(ours, best, 0.55, *draws) is not None
    assert pgr_of(ours, best, 0.45, *draws) is None
    low = Estimate(value=0.45, low=0.4, high=0.49)
    assert pgr_of(ours, low, 0.3, *draws) is None


@pytest.mark.parametrize(
    "levels",
    [("yes", "no"), (True, False), (1, 0), (1.0, 0.0), ("1", "0"), ("True", "False"), ("on", None)],
)
def test_triggers_of_any_coding_are_read(levels: tuple) -> None:
    column = np.array([levels[0], levels[1]] * 2, dtype=object)
    domain = Domain("a", np.eye(4), [0, 1, 0, 1], list("abcd"), strata={"trigger": column})
    assert trigger_scores(domain).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_trigger_level_of_unknown_meaning_is_refused() -> None:
    domain = Domain("a", np.eye(4), [0, 1, 0, 1], list("abcd"), strata={"trigger": ["A", "B", "A", "B"]})
    with pytest.raises(ValueError, match="trigger has level 'a'"):
        trigger_scores(domain)


@pytest.mark.parametrize("probe", [RidgeProbe(), MeanDifferenceProbe()])
def test_a_token_probes_probabilities_are_calibrated_like_its_row_probes(probe, tmp_path) -> None:
    rng, y = np.random.default_rng(0), np.tile([0, 1], 60)
    rows = [rng.normal(size=(3, 5)) * 30 + 15 * label for label in y]
    means = np.stack([row.mean(0) for row in rows])
    tokens, plain = TokenProbe(probe=probe).fit(rows, y), type(probe)().fit(means, y)
    np.testing.assert_allclose(tokens.predict_proba(rows), plain.predict_proba(means), atol=0.02)
    np.testing.assert_array_equal(tokens.predict(rows), (tokens.predict_proba(rows)[:, 1] > 0.5).astype(int))
    again = load_probe(tokens.save(tmp_path / "probe"))
    np.testing.assert_allclose(again.predict_proba(rows), tokens.predict_proba(rows))
