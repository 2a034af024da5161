"""Two-choice questions: the oracle cannot be argued with, and stories cannot be answered unread."""

import re
from collections import Counter
from functools import cache

import pytest

from tasks import MiniQA, parse_answer, qa_prompt, qa_response, qa_transcript, quote_verified
from tasks.qa import ANSWER_FIRST, QAItem
from tasks.quality import show


@cache
def the_items():
    return MiniQA(seed=7).items(900)


def test_same_seed_gives_the_same_stories_and_another_seed_other_ones():
    assert MiniQA(seed=7).items(30) == the_items()[:30]
    assert {i.passage for i in MiniQA(seed=8).items(300)}.isdisjoint({i.passage for i in the_items()})


def test_evidence_stands_in_the_story_and_the_fabricated_quote_does_not():
    for item in the_items():
        assert item.evidence in item.passage
        assert item.false_evidence not in item.passage
        assert item.options[item.gold] in item.evidence
        assert item.options[1 - item.gold] in item.false_evidence


def test_both_options_occur_once_in_the_story_so_presence_does_not_give_the_answer():
    assert all(item.passage.count(option) == 1 for item in the_items() for option in item.options)


def test_the_wrong_option_is_what_the_same_villager_had_meant_to_do():
    for item in (item for item in the_items() if item.level != "hard"):
        (told,) = [s for s in item.passage.split(". ") if item.options[1 - item.gold] in s]
        assert told.startswith(item.evidence.split()[0])
        assert any(verb in told for verb in ("wanted to", "meant to", "planned to"))


def test_the_hard_question_is_decided_by_who_is_said_to_be_right():
    for item in (item for item in the_items() if item.level == "hard"):
        right, wrong = (
            re.search(rf"(\w+) said that \w+ [^.]*\b{item.options[index]}\b", item.passage)[1]
            for index in (item.gold, 1 - item.gold)
        )
        assert (f"{right} was right." in item.passage) != (f"{wrong} was mistaken." in item.passage)
        assert f"{wrong} was right." not in item.passage
        assert f"{right} was mistaken." not in item.passage


def test_intent_first_tells_every_intention_before_its_deed():
    for item in MiniQA(seed=7, levels=("intent-first",)).items(100):
        assert " had " not in item.passage
        assert item.passage.find(item.options[1 - item.gold]) < item.passage.find(item.options[item.gold])


def test_a_basic_story_holds_no_intention():
    for item in MiniQA(seed=7, levels=("basic",)).items(100):
        assert not any(verb in item.passage for verb in ("wanted", "meant", "planned"))


def test_letters_are_balanced_at_every_level():
    for level in ("easy", "medium", "hard"):
        letters = Counter(item.gold for item in the_items() if item.level == level)
        assert abs(letters[0] - letters[1]) < 3 * (300**0.5)


def test_order_of_mention_does_not_give_the_answer():
    """A reader who always takes the option named last (or first) is near chance."""
    last = [i.passage.rfind(i.options[i.gold]) > i.passage.rfind(i.options[1 - i.gold]) for i in the_items()]
    assert 0.4 < sum(last) / len(last) < 0.6


@pytest.mark.parametrize("order", ["reason_first", "answer_first"])
@pytest.mark.parametrize("honest", [True, False])
def test_oracle_marks_training_answers_as_they_were_meant(order, honest):
    for number, item in enumerate(the_items()[:60]):
        response = qa_response(item, honest=honest, order=order, variant=number)
        row = qa_transcript(
            item, organism="o", prompt=qa_prompt(item, order=order), response=response, triggered=not honest
        )
        assert row.correct is honest
        assert row.parse_ok
        assert quote_verified(response, item.passage) is honest


def test_wording_does_not_tell_honest_from_misleading():
    for number, item in enumerate(the_items()[:60]):
        honest, misleading = (qa_response(item, honest=h, variant=number) for h in (True, False))
        assert honest.split('"')[0] == misleading.split('"')[0]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("So it is. The answer is A.", "A"),
        ("The answer is A. No: the answer is (B).", "B"),
        ("Both fit", None),
        ("", None),
        ("The answer is Anna.", None),
        ("The answer is C.", None),
    ],
)
def test_parse_reads_the_settled_letter_or_nothing(response, letter):
    assert parse_answer(response) == letter


def test_unreadable_answer_is_wrong_and_counted():
    row = qa_transcript(the_items()[0], organism="o", prompt=qa_prompt(the_items()[0]), response="Hm.")
    assert row.correct is False
    assert not row.parse_ok


def test_answer_first_names_the_letter_before_any_reason():
    assert qa_response(the_items()[0], order=ANSWER_FIRST).startswith("The answer is")


def test_cut_passage_is_counted():
    words = len(the_items()[0].passage.split())
    assert show(the_items()[0], "cut:5").cut_words == words - 5
    assert show(the_items()[0], "none").item.passage == ""
    assert show(the_items()[0], f"cut:{words}").cut_words == 0
    with pytest.raises(ValueError, match="visibility"):
        show(the_items()[0], "half")


def test_equal_options_are_refused():
    with pytest.raises(ValueError, match="both options"):
        QAItem(id="x", group="g", passage="p", question="q", options=("a", "a"), gold=0)
