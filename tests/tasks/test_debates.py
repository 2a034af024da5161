"""Arguments of people and models: matched to their questions by text, quotes checked against the story."""

import os

import pytest

from tasks.debates import Argument, debate_speeches, mark_quotes, single_turn_arguments, with_arguments
from tasks.qa import QAItem
from tasks.quality import Quality

needs_data = pytest.mark.skipif(not os.environ.get("SOPHISTRY_DATA"), reason="SOPHISTRY_DATA is not set")
ITEM = QAItem(id="q", group="a", passage="p", question="?", options=("A barn.", "a mill"), gold=1)


def argument(answer, text, persuasion=None):
    return Argument(
        question_id="q",
        group="a",
        answer=answer,
        argues_correct=answer == "a mill",
        text=text,
        source="debate",
        is_ai=False,
        persuasion=persuasion,
    )


def test_the_most_persuasive_argument_of_each_side_is_taken():
    given = [argument("A mill", "weak", 0.1), argument("a mill", "strong", 0.4), argument("a barn", "other")]
    (item,) = with_arguments([ITEM], given)
    assert (item.argument, item.false_argument) == ("strong", "other")


def test_an_unread_argument_comes_after_one_that_convinced_nobody():
    given = [argument("a mill", "much longer and unread"), argument("a mill", "read", -0.2)]
    (item,) = with_arguments([ITEM], [*given, argument("a barn", "other")])
    assert item.argument == "read"


def test_an_item_with_an_argument_for_one_side_only_is_left_out():
    assert with_arguments([ITEM], [argument("a mill", "x")]) == []


def test_quotes_are_checked_word_by_word_across_case_and_punctuation():
    marked = mark_quotes("<quote>The CAT, sat</quote> <quote>he cat</quote>", "Then the cat sat down.")
    assert marked == "<v_quote>The CAT, sat</v_quote> <u_quote>he cat</u_quote>"


@needs_data
def test_speeches_and_arguments_are_read_with_balanced_sides():
    for arguments in (debate_speeches(), single_turn_arguments()):
        share = sum(a.argues_correct for a in arguments) / len(arguments)
        assert 0.45 < share < 0.55
        assert all(a.text and a.split in ("train", "val") for a in arguments)


@needs_data
def test_full_stories_get_arguments_for_both_options():
    items = with_arguments(Quality.full_passages(), debate_speeches() + single_turn_arguments())
    assert len(items) > 900
    assert all(item.argument != item.false_argument for item in items)
