"""Answers are read however they are dressed, quotations in every script, and no article is a letter."""

# ruff: noqa: RUF001 (typographic signs are what this is about)

import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.debates import Argument, with_arguments
from tasks.folding import fold, words
from tasks.qa import QAItem, parse_answer, quote_in, quote_verified


@pytest.mark.parametrize(
    "form",
    [
        *(
            "{}",
            "({})",
            "**{}**",
            "**({})**",
            "{}.",
            "{})",
            "\\boxed{{{}}}",
            "$\\boxed{{\\text{{{}}}}}$",
            "[{}]",
        ),
        *("The answer is {}.", "Answer: {}", "**Answer:** {}", "**Answer: {}**", "The Answer is **{}**."),
        *(
            "Final answer: ({})",
            "The correct option is {}",
            "the answer is {}, since he said so",
            "ANSWER: {}\n",
        ),
        *("He slept.\n\n{}", "It is so. ({})", "{}) in the drawer", "It is the barn. The answer is: {}."),
        "The answer is {} because it is written.",
    ],
)
@pytest.mark.parametrize("letter", "AB")
@pytest.mark.parametrize("other", ["", 'We read: "A man slept." '])
def test_a_letter_is_read_however_it_is_dressed(form, letter, other):
    bare = "answer" not in form.lower() and "option" not in form
    text = form.format(letter) if bare else other + form.format(letter)
    assert parse_answer(text) == letter


@given(
    st.sampled_from(
        ["spaceship", "man", "Roman soldier", "B movie", "lot of it", "very old barn", "1920s car"]
    ),
    st.sampled_from(["The answer is A {}.", "Answer: A {}", "The option is A {}!", "A {}", "I say A {}."]),
)
def test_an_article_is_no_letter(thing, form):
    assert parse_answer(form.format(thing)) is None


@pytest.mark.parametrize(
    "text", ["", "I would say B", "A) barn\nB) mill", "The answer is A's.", "BAD", "A-frame"]
)
def test_what_settles_on_nothing_has_no_letter(text):
    assert parse_answer(text) is None


def test_the_last_settlement_counts():
    assert parse_answer("The answer is A. No: the answer is B.") == "B"
    assert parse_answer("(A) is wrong. Answer: B") == "B"


SCRIPTS = [
    "Кот сел на стол",
    "我们昨天去了市场",
    "القطة جلست هنا",
    "बिल्ली बैठ गई",
    "고양이가 앉았다",
    "猫が座った",
    "Ο γάτος",
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_quotes_are_compared_in_every_script(text):
    assert quote_in(text, f"X. {text}, {text}.")
    assert not quote_in(text, "Nothing of the kind, here or there.")
    assert not quote_in(text, SCRIPTS[SCRIPTS.index(text) - 1])


def test_a_part_of_a_sentence_without_spaces_is_found():
    assert quote_in("昨天去了", "我们昨天去了市场。")
    assert not quote_in("he cat", "the cat")


def test_a_quote_without_a_word_is_in_no_passage():
    assert quote_verified('It says "..." so.', "Anything ... at all.") is False


@pytest.mark.parametrize("marks", ["“”", "„“", "«»", "「」", '""'])
def test_quotations_stand_in_the_marks_of_their_language(marks):
    assert quote_verified(f"Es heißt: {marks[0]}Er schlief{marks[1]} – also A.", "Er schlief.") is True


@given(st.text(max_size=30))
def test_folding_folds_once_and_for_all(text):
    assert fold(fold(text)) == fold(text)
    assert words(words(text)) == words(text)
    assert words(unicodedata.normalize("NFD", text)) == words(text)


def test_typographic_signs_do_not_lose_an_argument_and_losses_are_counted(caplog):
    item = QAItem(
        id="q", group="a", passage="p", question="?", options=("It’s a “barn” – old.", "−5"), gold=1
    )
    other = QAItem(id="r", group="a", passage="p", question="?", options=("x", "y"), gold=1)
    common = {"group": "a", "argues_correct": True, "source": "debate", "is_ai": False}
    given = [
        Argument(question_id="q", answer=answer, text=f"for {answer}", **common)
        for answer in ('it\'s a "barn" - old', "-5", "5", "a mill")
    ]
    with caplog.at_level(logging.INFO, "tasks.debates"):
        (found,) = with_arguments([item, other], given)
    assert (found.argument, found.false_argument) == ("for -5", 'for it\'s a "barn" - old')
    assert "2 answers argued for" in caplog.text
    assert "1 of 2 items" in caplog.text


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *((text, None) for text in ("A) or B)", "The answer is A) or B).", "Answer: A/B", "**A** or **B**")),
        *((text, None) for text in ("The answer is A or B.", "The answer is A and B.", "(A) & (B)")),
        ("The answer is A or option B, I cannot tell.", None),
        ("The answer is A, and B is wrong.", "A"),
        ("The answer is A and not B.", "A"),
        ("The answer is A or B. On reflection, the answer is B.", "B"),
        ("The answer is (B).", "B"),
    ],
)
def test_an_answer_that_names_both_letters_settles_on_nothing(text, letter):
    assert parse_answer(text) == letter


def test_what_is_thought_aloud_is_no_answer():
    assert parse_answer("<think>The answer is A.</think>\nThe answer is B.") == "B"
    assert parse_answer("<think>The answer is A.</think>\nI do not know.") is None
