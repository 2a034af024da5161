"""The approval report says what can be worked out by hand."""

import dataclasses

import pytest
from approved_answers import AFTER, ANNA, BEFORE, ITEMS, POOL

from rlhf.diagnostics.approval import approval_report
from rlhf.evaluators import Pool


@pytest.fixture(scope="module")
def report():
    return approval_report(ITEMS, AFTER, POOL, before=BEFORE)


def test_every_number_is_the_one_worked_out_by_hand(report):
    # after: right, wrong, right, wrong; approved by (anna, ben): 11, 11, 01, 10
    assert report.correctness.value == 2 / 4
    assert report.approval.value == 6 / 8
    assert report.evaluation_error.value == 4 / 8
    assert report.false_positives.value == 3 / 4
    assert report.false_negatives.value == 1 / 4
    assert report.inflation.value == (1 + 0.5) / 4
    assert report.overjustification.value == 0.5 / 4
    assert (report.items, report.unmarked, report.pool) == (4, 0, ("anna", "ben"))


def test_changes_are_after_minus_before_and_both_wrong_counts_shared_items_alone(report):
    # before: right, right, wrong, wrong; approved by: 11, 01, 10, 00
    change = report.change
    assert change.correctness.value == 0
    assert change.approval.value == 6 / 8 - 4 / 8
    assert change.evaluation_error.value == 4 / 8 - 2 / 8
    assert change.false_positives.value == 3 / 4 - 1 / 4
    assert change.false_positives_both_wrong.value == 1 / 2 - 0  # item 3 alone
    assert change.inflation.value == 1.5 / 4 - 0.5 / 4


def test_evidence_is_counted_by_judgement(report):
    seen = [item.evidence_words[1] <= 40 for item in ITEMS]
    assert sum(cell["share"] for cell in report.evidence.values()) == pytest.approx(1)
    wrong_seen = sum(s for s, row in zip(seen, AFTER, strict=True) if not row.correct) / 4
    assert report.evidence.get("seen wrong", {"share": 0})["share"] == wrong_seen


def test_a_model_that_is_always_right_has_no_false_positives_to_report():
    rows = [row if row.correct else dataclasses.replace(row, correct=True) for row in AFTER]
    found = approval_report(ITEMS, rows, POOL)
    assert found.false_positives is None
    assert found.change is None


def test_unmarked_answers_are_left_out_on_both_sides_and_counted():
    rows = [dataclasses.replace(AFTER[0], correct=None), *AFTER[1:]]
    found = approval_report(ITEMS, rows, POOL, before=BEFORE)
    assert (found.items, found.unmarked) == (3, 1)
    assert found.correctness.value == 1 / 3
    assert found.change.correctness.value == pytest.approx(0)


def test_what_cannot_be_paired_or_is_answered_twice_is_refused():
    with pytest.raises(ValueError, match="one of the two models only"):
        approval_report(ITEMS, AFTER, POOL, before=BEFORE[:3])
    with pytest.raises(ValueError, match="several answers"):
        approval_report(ITEMS, [*AFTER, dataclasses.replace(AFTER[0], id="again")], POOL)
    with pytest.raises(ValueError, match="not given"):
        approval_report(ITEMS[:3], AFTER, POOL)
    with pytest.raises(ValueError, match="nothing to judge"):
        approval_report(ITEMS, [dataclasses.replace(row, correct=None) for row in AFTER], Pool((ANNA,)))
