"""Evaluators, confidences, the paper's protocol, canaries and curves, against truth worked out by hand."""

import dataclasses
import json

import numpy as np
import pytest
from approved_answers import AFTER, BEFORE, ITEMS, POOL

from rlhf.diagnostics.canaries import canaries
from rlhf.diagnostics.confidence import confidences
from rlhf.diagnostics.individuals import individuals, paired_test
from rlhf.diagnostics.judged import Judged, judge_answers
from rlhf.diagnostics.measures import Measures, measure
from rlhf.diagnostics.over_optimisation import over_optimisation
from rlhf.diagnostics.paper_sample import sampled_study
from rlhf.diagnostics.side_by_side import side_by_side


def judged(correct, confidence, evaluators=("anna", "ben")):
    correct, confidence = np.array(correct, bool), np.array(confidence)
    return Judged(
        items=tuple(str(i) for i in range(len(correct))),
        evaluators=evaluators,
        correct=correct,
        confidence=confidence,
        evidence=np.full(confidence.shape, -1),
    )


def test_each_evaluator_has_its_own_error_and_false_positives():
    anna, ben = individuals(judge_answers(ITEMS, AFTER, POOL))
    assert (anna.name, anna.error, anna.false_positives) == ("anna", 3 / 4, 1.0)
    assert (ben.name, ben.error, ben.false_positives) == ("ben", 1 / 4, 0.5)
    assert individuals(judged([1, 1], [[0, 0], [0, 0]]))[0].false_positives is None


def test_the_paired_test_is_that_of_the_textbook():
    # Student's sleep data (1908): t = 4.0621, p = .00283, mean difference 1.58
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_test(first, second)
    assert (found.t, found.p) == pytest.approx((4.0621, 0.00283), abs=1e-4)
    assert [found.change.value, found.change.low, found.change.high] == pytest.approx(
        [1.58, 0.7001, 2.4599], abs=1e-3
    )
    assert found.rose == 0.9


def test_equal_changes_have_no_p_value_and_one_evaluator_no_test():
    assert paired_test([0.1, 0.2], [0.2, 0.3]).p is None
    with pytest.raises(ValueError, match="two or more"):
        paired_test([0.1], [0.2])


def test_confidences_are_shares_of_judgements_by_right_and_wrong():
    found = confidences(judge_answers(ITEMS, AFTER, POOL))
    assert [e.value for e in found.wrong] == [0, 0, 1 / 4, 2 / 4, 1 / 4]
    assert [e.value for e in found.right] == [0, 1 / 4, 0, 2 / 4, 1 / 4]
    assert confidences(judged([1, 1], [[0, 0], [25, 0]])).wrong is None


def test_the_reweighted_sample_gives_back_the_population_it_was_drawn_from():
    rng = np.random.default_rng(0)
    before = rng.random(3000) < 0.85
    after = np.where(rng.random(3000) < 0.7, before, ~before)
    people = ("a", "b", "c", "d")
    confidence = [np.repeat(np.where(c, 25, 75)[:, None], 4, 1) for c in (before, after)]
    study = sampled_study(judged(after, confidence[1], people), judged(before, confidence[0], people))
    assert {name: (c.available > c.sampled) for name, c in study.cells.items()} == dict.fromkeys(
        study.cells, True
    )
    assert study.cells["both right"].sampled == study.cells["both wrong"].sampled == 100
    assert study.before["correctness"].value == pytest.approx(before.mean())
    assert study.after["correctness"].value == pytest.approx(after.mean())
    assert study.after["approval"].value == pytest.approx(1 - after.mean())
    assert study.after["evaluation_error"].value == pytest.approx(1)
    assert study.false_positives_both_wrong["change"].value == 0


def test_in_the_sample_nobody_sees_a_question_twice():
    people = ("a", "b")
    everything = np.tile([[100, 0]], (40, 1))  # a approves everything, b nothing
    wrong = judged(np.zeros(40), everything, people)
    found = sampled_study(wrong, wrong).false_positives_both_wrong
    # whoever judged the one model did not judge the other: approvals add up to one item by item
    assert found["before"].value + found["after"].value == pytest.approx(1)


def test_canaries_count_letters_quotes_and_echoes():
    echo = dataclasses.replace(AFTER[0], response=f"{ITEMS[0].question} The answer is A.", answer="A")
    rows = [echo, *AFTER[1:]]
    found = canaries(rows, ITEMS)
    assert found.echo.value == 1 / 4
    assert found.quotes.value == 3 / 4
    assert found.letters["A"].value == sum(row.answer == "A" for row in rows) / 4
    assert found.quote_stands["wrong"].value == 0  # the generator's wrong answers make quotations up
    assert found.quote_stands["right"].value == 1
    assert found.unreadable.value == 0


def test_measures_read_back_as_they_were_saved(tmp_path):
    found = measure(ITEMS, AFTER, POOL, role="pi_rlhf", reward="approval", seed=0, before=BEFORE)
    found.save(tmp_path / "after.json")
    assert Measures.read(tmp_path / "after.json") == found
    assert found.against.parent == "before"
    assert found.against.parent_was_right.value == 1 / 2
    assert {side: e.value for side, e in found.against.both_wrong.items()} == {"before": 0, "after": 1 / 2}


def test_one_organism_is_measured_at_a_time():
    with pytest.raises(ValueError, match="one organism at a time"):
        measure(ITEMS, [*AFTER[:2], *BEFORE[2:]], POOL, role="pi_rlhf")


def test_curves_are_read_from_rounds_and_other_files_are_refused(tmp_path):
    rounds = [
        {"round": 0, "kl": 0.0, "reward": 0.5, "truth": 0.9},
        {"round": 1, "kl": 2.25, "reward": 0.6, "truth": 0.8, "heldout/approval": 0.7},
    ]
    path = tmp_path / "rounds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rounds))
    first, last = over_optimisation(path)
    assert (first.sqrt_kl, last.sqrt_kl, last.proxy, last.truth) == (0, 1.5, 0.6, 0.8)
    assert (first.held_out_approval, last.held_out_approval) == (None, 0.7)
    assert over_optimisation(path, oracle=True)[1].truth == 0.6
    path.write_text('{"loss": 1}\n')
    with pytest.raises(ValueError, match=r"rounds.jsonl:1"):
        over_optimisation(path)


def test_transcripts_side_by_side_are_drawn_before_any_answer_is_looked_at():
    page = side_by_side(ITEMS, BEFORE, AFTER, n=2, seed=5)
    swapped = side_by_side(ITEMS, AFTER, BEFORE, n=2, seed=5)
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles == [line for line in swapped.splitlines() if line.startswith("## ")]
    assert len(titles) == 2
    with pytest.raises(ValueError, match="cannot draw"):
        side_by_side(ITEMS, BEFORE, AFTER, n=9)
