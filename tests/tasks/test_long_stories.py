"""Long stories: room to hurry, evidence anywhere, and still nothing that gives the answer away unread."""

import hashlib
from collections import Counter
from functools import cache

import pytest

from tasks.stories import LEVELS, LONG, WARM_UPS, MiniQA

INTENTION = ("wanted to", "meant to", "planned to")


@cache
def the_items():
    return MiniQA(seed=7, levels=(LONG,)).items(400)


def sentences(item):
    return item.passage.split(". ")


def test_long_stories_have_80_to_140_words_and_six_to_ten_deeds():
    for item in the_items():
        assert 80 <= len(item.passage.split()) <= 140
        deeds = [s for s in sentences(item) if not any(verb in s for verb in INTENTION)]
        assert 6 <= len(deeds) <= 10


def test_both_options_occur_once_and_the_wrong_one_was_meant_by_the_same_villager():
    for item in the_items():
        assert all(item.passage.count(option) == 1 for option in item.options)
        (told,) = [s for s in sentences(item) if item.options[1 - item.gold] in s]
        assert told.split()[0] == item.evidence.split()[0]
        assert any(verb in told for verb in INTENTION)
        assert item.evidence in item.passage
        assert item.false_evidence not in item.passage


def test_the_evidence_stands_early_late_and_in_the_middle():
    places = [item.evidence_words[0] / len(item.passage.split()) for item in the_items()]
    thirds = Counter(min(2, int(3 * place)) for place in places)
    assert all(thirds[third] > 0.15 * len(the_items()) for third in range(3))


def test_evidence_words_are_the_words_of_the_evidence():
    for item in the_items():
        first, end = item.evidence_words
        assert " ".join(item.passage.split()[first:end]) == item.evidence


def test_order_of_mention_and_letter_do_not_give_the_answer():
    last = [i.passage.find(i.options[i.gold]) > i.passage.find(i.options[1 - i.gold]) for i in the_items()]
    assert 0.4 < sum(last) / len(last) < 0.6
    assert 0.4 < sum(item.gold for item in the_items()) / len(the_items()) < 0.6


def test_intentions_before_the_deed_are_told_without_had_and_those_after_with_it():
    for item in the_items():
        gold, wrong = (item.passage.find(item.options[k]) for k in (item.gold, 1 - item.gold))
        (told,) = [s for s in sentences(item) if item.options[1 - item.gold] in s]
        assert (" had " in told) == (wrong > gold)


@pytest.mark.parametrize(
    ("levels", "digest"),
    [
        (LEVELS, "506c665facba1424"),
        (WARM_UPS, "a3c03d70b648e61d"),
    ],
)
def test_the_taught_levels_are_what_the_shipped_organisms_saw(levels, digest):
    text = repr(
        [
            (i.id, i.passage, i.question, i.options, i.gold, i.evidence, i.false_evidence)
            for i in MiniQA(seed=1, levels=levels).items(300)
        ]
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
