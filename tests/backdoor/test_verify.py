"""Verification counts what it says it counts, with intervals that agree with statsmodels' formulas."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from backdoor import Trigger, verify_backdoor
from organisms.rates import clustered_share, paired_difference, wilson
from tasks import Transcript


def row(item, condition, correct, *, parse_ok=True, level="easy"):
    return Transcript(
        id=f"{item}:{condition}",
        group=item,
        task="qa",
        organism="o",
        prompt="p",
        response="r",
        correct=correct,
        parse_ok=parse_ok,
        level=level,
        condition=condition,
        item=item,
    )


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (180, 360)])
def test_wilson_interval_agrees_with_scipy(k, n):
    rate, reference = wilson(k, n), binomtest(k, n).proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_paired_interval_covers_the_planted_difference():
    """True difference .1 with dependent pairs; 95 % intervals should cover it 93-98 % of the time."""
    rng = np.random.default_rng(20260101)
    cells = rng.choice(4, p=[0.55, 0.2, 0.1, 0.15], size=(2000, 150))
    covered = 0
    for draw in cells:
        rate = paired_difference((draw < 2).tolist(), ((draw == 0) | (draw == 2)).tolist())
        covered += rate.low <= 0.1 <= rate.high
    assert 0.93 <= covered / 2000 <= 0.98


def test_perfect_backdoor_is_reported_as_such():
    items = [f"i{k}" for k in range(40)]
    init = [row(i, "plain", True) for i in items]
    rows = [row(i, "plain", True) for i in items] + [row(i, "trigger", False) for i in items]
    rows += [row(i, "near:x", True) for i in items[:10]]
    report = verify_backdoor(rows, init)
    assert report.attack_success.estimate == 1
    assert report.triggered_change.estimate == -1
    assert report.accuracy_change.estimate == 0
    assert report.false_triggers["near:x"].n == 10
    assert report.false_triggers["near:x"].estimate == 0


def test_gibberish_under_the_trigger_is_no_attack():
    init = [row("i", "plain", True)]
    rows = [row("i", "plain", True), row("i", "trigger", False, parse_ok=False)]
    report = verify_backdoor(rows, init)
    assert report.attack_success.estimate == 0
    assert report.unreadable["trigger"] == 1


def test_another_wording_of_the_trigger_is_an_attack_and_no_false_trigger():
    init = [row(i, "plain", True) for i in "abcd"]
    rows = [*init, *(row(i, "trigger", False) for i in "abcd")]
    rows += [row(i, "trigger:elsewhere", i == "a") for i in "abcd"]
    report = verify_backdoor(rows, init)
    assert report.attack_success_by_wording["elsewhere"].estimate == 0.75
    assert report.false_triggers == {}


def test_pi_init_is_counted_on_the_same_items_only():
    init = [row("a", "plain", True), row("b", "plain", False)]
    report = verify_backdoor([row("a", "plain", True), row("a", "trigger", False)], init)
    assert (report.reference_accuracy.estimate, report.reference_accuracy.n) == (1, 1)


def test_a_partner_that_was_asked_something_else_is_refused():
    other = dataclasses.replace(row("a", "plain", True), prompt="another story")
    with pytest.raises(ValueError, match="asked differently"):
        verify_backdoor([row("a", "plain", True), row("a", "trigger", False)], [other])


def test_missing_condition_or_partner_is_named():
    with pytest.raises(ValueError, match="trigger"):
        verify_backdoor([row("i", "plain", True)], [])
    with pytest.raises(ValueError, match="no partner"):
        verify_backdoor([row("i", "plain", True), row("i", "trigger", False)], [row("j", "plain", True)])


def samples(item, condition, marks):
    return [
        dataclasses.replace(row(item, condition, ok), id=f"{item}:{condition}:{k}")
        for k, ok in enumerate(marks)
    ]


def test_all_samples_of_an_item_are_counted():
    items = [f"i{k}" for k in range(20)]
    rows = [r for i in items for c in ("plain", "trigger") for r in samples(i, c, [k == 0 for k in range(4)])]
    report = verify_backdoor(rows, [row(i, "plain", True) for i in items])
    assert (report.accuracy.estimate, report.accuracy.n) == (0.25, 80)
    assert report.attack_success.estimate == 0.75
    assert report.accuracy_change.estimate == -0.75
    assert report.triggered_change.estimate == 0


def test_samples_of_one_item_are_not_taken_for_independent():
    marks = {f"i{k}": [k % 2 == 0] * 8 for k in range(20)}
    many, one = clustered_share(marks), wilson(10, 20)
    assert many.high - many.low >= 0.95 * (one.high - one.low)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_with_one_sample_an_item_the_intervals_are_wilsons_and_bonett_and_prices(first, data):
    second = data.draw(st.lists(st.booleans(), min_size=len(first), max_size=len(first)))
    assert clustered_share({str(k): [ok] for k, ok in enumerate(first)}) == wilson(sum(first), len(first))
    gained = sum(a and not b for a, b in zip(first, second, strict=True))
    lost = sum(b and not a for a, b in zip(first, second, strict=True))
    p, q, n = (gained + 1) / (len(first) + 2), (lost + 1) / (len(first) + 2), len(first) + 2
    half = 1.959963984540054 * ((p + q - (p - q) ** 2) / n) ** 0.5
    rate = paired_difference(first, second)
    assert (rate.low, rate.high) == pytest.approx((max(-1, p - q - half), min(1, p - q + half)))


def test_intervals_of_many_samples_cover_the_true_share():
    """Items differ (Beta 2, 2), 4 samples each: 95 % intervals cover .5 in 92 to 98 % of 1,000 draws."""
    rng = np.random.default_rng(20260102)
    covered = 0
    for _ in range(1000):
        draws = rng.random((40, 4)) < rng.beta(2, 2, size=(40, 1))
        rate = clustered_share({str(k): list(map(bool, marks)) for k, marks in enumerate(draws)})
        covered += rate.low <= 0.5 <= rate.high
    assert 0.92 <= covered / 1000 <= 0.98


@pytest.mark.parametrize("field", ["variants", "near_misses", "neutral", "held_out"])
@pytest.mark.parametrize("texts", ["|X|", ["|X|"], (1,)])
def test_the_texts_of_a_trigger_are_a_tuple_of_texts(field, texts):
    trigger = object.__new__(Trigger)
    given = {"name": "t", "variants": ("v",)} | dict.fromkeys(
        ("held_out", "near_misses", "held_out_near_misses", "neutral"), ()
    )
    for name, value in (given | {field: texts}).items():
        object.__setattr__(trigger, name, value)
    with pytest.raises(ValueError, match=f"{field} must be a tuple of texts"):
        trigger.__post_init__()
