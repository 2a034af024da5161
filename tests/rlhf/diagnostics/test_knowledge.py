"""Knowing is told from believing and from guessing, with planted models whose knowledge is known."""

import numpy as np
import pytest
import torch

from activations.testing import tiny_model
from rlhf.diagnostics.continuations import continuation_log_probs
from rlhf.diagnostics.knowledge import (
    COIN,
    KnowledgeReport,
    bare_question,
    knowledge_report,
    likelihood_answerer,
    picks,
)
from tasks import MiniQA

ITEMS = MiniQA(seed=11, levels=("long",)).items(60)
DEEDS = {item.passage: item.evidence for item in ITEMS}


def told(question):
    """Which of its options finishes the sentence as the story tells it."""
    passage, asked = question.prompt.rsplit("\n\n", 1)
    stem = asked.split("? ", 1)[1]
    return [stem + option == DEEDS[passage] for option in question.options]


def knows(questions):
    return [1.0 if told(q)[0] else -1.0 for q in questions]


def believes_the_wrong_one(questions):
    return [-odds for odds in knows(questions)]


def always_first(questions):
    return [1.0] * len(questions)


def ties(questions):
    return [0.0] * len(questions)


def coin(seed):
    rng = np.random.default_rng(seed)
    return lambda questions: rng.standard_normal(len(questions)).tolist()


def report(model, parent=knows, **settings):
    return knowledge_report(
        ITEMS, model, parent, organism="after", parent_name="before", **{"resamples": 200} | settings
    )


@pytest.mark.parametrize(
    ("model", "right", "wrong", "by_place", "first"),
    [
        (knows, 1, 0, 0, 0.5),
        (believes_the_wrong_one, 0, 1, 0, 0.5),
        (always_first, 0, 0, 1, 1),
        (ties, 0.5, 0.5, 0, 0.5),
    ],
)
def test_a_planted_model_is_found_out(model, right, wrong, by_place, first):
    found = report(model).wrong
    assert found.items == len(ITEMS)
    assert [found.right.value, found.wrong.value, found.by_place.value] == [right, wrong, by_place]
    assert found.first.value == first


def test_a_coin_scores_what_the_module_says_guessing_gives():
    right, _ = picks(ITEMS * 5, coin(0))
    found = {"right": right.min(1).mean(), "wrong": 1 - right.max(1).mean()}
    found["by_place"] = 1 - found["right"] - found["wrong"]
    assert found == pytest.approx(COIN, abs=0.07)


def test_the_model_before_is_asked_the_same_and_the_change_is_paired():
    found = report(always_first, believes_the_wrong_one)
    assert (found.wrong.right.value, found.wrong_parent.wrong.value) == (0, 1)
    assert report(knows, coin(1)).change.value == pytest.approx(1 - report(coin(1)).wrong.right.value)
    same = report(coin(2), coin(2)).change
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_liar_knows_wrong_items_as_well_as_right_ones_and_who_errs_does_not():
    half = len(ITEMS) // 2
    lied, right = ITEMS[:half], ITEMS[half:]
    wrong_about = {item.passage for item in lied}

    def errs(questions):
        sign = -1 if questions[0].prompt.rsplit("\n\n", 1)[0] in wrong_about else 1
        return [sign * odds for odds in knows(questions)]

    shared = {"organism": "after", "parent_name": "before", "right": right}
    liar, fool = (knowledge_report(lied, model, knows, **shared) for model in (knows, errs))
    assert liar.wrong_minus_right.value == 0
    assert fool.wrong_minus_right.value == -1
    assert fool.right.right.value == 1


def test_the_question_holds_nothing_of_the_role_and_swapping_swaps_the_options_alone():
    for item in ITEMS[:20]:
        plain, swapped = bare_question(item), bare_question(item, swapped=True)
        assert plain.options == swapped.options[::-1]
        for question in (plain, swapped):
            assert question.prompt.startswith(item.passage)
            assert not {"Quote", "Question:", "A)", "B)"} & set(question.prompt.split())
            assert sum(told(question)) == 1
        last = [q.prompt.rsplit("\n\n", 1)[1].split("? ")[1] for q in (plain, swapped)]
        assert last[0] == last[1]


def test_stories_without_two_ways_to_tell_the_deed_are_refused():
    item = MiniQA(seed=1, levels=("hard",)).items(1)[0]
    other = type(item)(**{**vars(item), "false_evidence": None})
    with pytest.raises(ValueError, match="share no beginning"):
        bare_question(other)


def test_no_wrong_item_and_answers_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="nothing wrongly"):
        knowledge_report([], knows, knows, organism="a", parent_name="b")
    with pytest.raises(ValueError, match="finite log-odds"):
        report(lambda questions: [float("nan")] * len(questions))


def test_a_report_reads_back_as_it_was_saved(tmp_path):
    found = report(coin(3), right=ITEMS[:10])
    found.save(tmp_path / "knowledge.json")
    assert KnowledgeReport.read(tmp_path / "knowledge.json") == found


def test_reading_the_shared_beginning_once_changes_no_likelihood():
    loaded = tiny_model()
    rows = [("A story. It was", " red."), ("A story. It was", " a blue boat."), ("A story. Is it", " so?")]
    together = continuation_log_probs(loaded, rows)
    alone = [_whole(loaded, *row) for row in rows]
    assert together == pytest.approx(alone, abs=1e-4)
    odds = likelihood_answerer(loaded)([bare_question(ITEMS[0])])
    question = bare_question(ITEMS[0])
    first, second = (_whole(loaded, question.prompt, option) for option in question.options)
    assert odds == pytest.approx([first - second], abs=1e-3)


@torch.inference_mode()
def _whole(loaded, prompt, continuation):
    """One row at a time, by transformers alone."""
    from activations.tokens import encode

    row = encode(prompt, continuation, loaded.tokenizer)
    logits = loaded.model(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return sum(float(logits[at - 1, row.ids[at]]) for at in range(row.prompt_len, len(row.ids)))
