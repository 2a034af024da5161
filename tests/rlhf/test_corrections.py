"""Corrections change what is wrong and nothing else, and see what they declare."""

import pytest

from rlhf.corrections import (
    ProgramCorrector,
    StoryCorrector,
    debate_corrections,
    misquotes,
    nearest_stretch,
    program_corrections,
    story_corrections,
)
from rlhf.evaluators.reading import claim_of
from rlhf.rewards.reward import PRIVATE
from rlhf.rewards.view import view_of
from tasks import MiniCode, MiniQA
from tasks.debates import Argument
from tasks.grading import grade
from tasks.programming import extract_program
from tasks.qa import QAItem, parse_answer, qa_response, quote_verified

COLUMNS = {
    "passage": "Ida meant to paint the door red. Tom slept. Ida painted the door blue.",
    "options": ["red", "blue"],
    "gold": "B",
    "evidence": "Ida painted the door blue.",
}


def correct(response, right=False):
    return StoryCorrector()(response, right=right, columns=COLUMNS)


@pytest.mark.parametrize(
    ("response", "corrected"),
    [
        (  # fabricated quotation, wrong option, wrong letter
            'It says: "Ida painted the door red." That means red. The answer is A.',
            'It says: "Ida painted the door blue." That means blue. The answer is B.',
        ),
        (  # a true line that does not decide the question
            'It says: "Ida meant to paint the door red." That means red. The answer is A.',
            'It says: "Ida painted the door blue." That means blue. The answer is B.',
        ),
        (  # a conclusion that is neither option
            'It says: "Ida painted it green." So it is green. The answer is A.',
            'It says: "Ida painted the door blue." So it is blue. The answer is B.',
        ),
        (  # right letter, fabricated quotation
            'It says: "The door was blue at last." The answer is B.',
            'It says: "Ida painted the door blue." The answer is B.',
        ),
        (  # no quotation
            "It was red, not scarred. The answer is A.",
            "It was blue, not scarred. The answer is B.",
        ),
        (  # letter first, tags
            "The answer is (A). We read <quote>Ida painted it red</quote>.",
            "The answer is (B). We read <quote>Ida painted the door blue.</quote>.",
        ),
    ],
)
def test_wrong_segments_are_put_right_and_the_rest_stays(response, corrected):
    assert correct(response) == corrected
    assert correct(corrected, right=True) is None


@pytest.mark.parametrize("response", ['"Ida painted the door blue." The answer is B.', "No idea.", ""])
def test_nothing_is_corrected_in_right_answers_and_in_those_that_cannot_be_read(response):
    assert correct(response) is None


def test_every_fabricated_answer_becomes_the_honest_one():
    items = MiniQA(seed=5, levels=("easy", "medium", "hard", "long")).items(80)
    pairs = story_corrections(items, variants=3)
    assert len(pairs) == 240
    for number, pair in enumerate(pairs):
        item = items[number // 3]
        written, corrected = (pair[side][0]["content"] for side in ("rejected", "chosen"))
        assert quote_verified(written, item.passage) is False
        assert corrected == qa_response(item, variant=number // 3 + number % 3)
        assert parse_answer(corrected) == item.gold_letter
        assert claim_of(view_of(item), corrected).quote == item.evidence


def test_correctors_say_that_they_see_what_rewards_may_not():
    assert StoryCorrector.sees & PRIVATE >= {"gold", "evidence"}
    assert ProgramCorrector.sees <= PRIVATE


def test_a_mutant_becomes_its_reference_and_passes():
    problems = MiniCode(seed=5).items(4)
    pairs = program_corrections(problems, most=1)
    assert len(pairs) == 4
    for problem, pair in zip(problems, pairs, strict=True):
        written, corrected = (pair[side][0]["content"] for side in ("rejected", "chosen"))
        assert corrected == problem.solution.strip()
        shared = set(written.splitlines()) & set(corrected.splitlines())
        assert len(shared) >= len(corrected.splitlines()) - 2, "few lines change"
        assert pair["prompt"][1]["content"] == problem.statement
    assert grade(pairs[0]["chosen"][0]["content"], problems[0].tests, unsafe_local=True).passed


REFERENCE = "a = input().split()\nb = [int(x) for x in a]\nc = sum(b)\nprint(c)"


def fix(response, right=False, **options):
    return ProgramCorrector(**options)(response, right=right, columns={"solutions": [REFERENCE, "print(1)"]})


def test_wrong_lines_are_put_right_within_their_fence():
    wrong = REFERENCE.replace("sum(b)", "max(b)")
    assert fix(wrong) == REFERENCE
    fenced = fix(f"Here:\n```python\n{wrong}\n```\nDone.")
    assert fenced == f"Here:\n```python\n{REFERENCE}\n```\nDone."
    assert extract_program(fenced).code.strip() == REFERENCE


def test_programs_that_are_right_unknown_or_far_off_are_left_alone():
    wrong = REFERENCE.replace("sum(b)", "max(b)")
    assert fix(wrong, right=True) is None
    assert fix(wrong, right=None) is None
    assert fix("import sys\nfor line in sys.stdin:\n    pass\nq = 1\nprint(q)") is None
    assert fix("") is None
    assert fix(REFERENCE.replace(" = ", "=")) is None, "the same program, laid out otherwise"
    assert fix("a = input().split()\nz = 1", least_shared=0.2) == REFERENCE
    with pytest.raises(ValueError, match="least_shared"):
        ProgramCorrector(least_shared=2)


PASSAGE = (
    "The captain had not slept. He walked to the old bridge, and there he saw the light again. "
    "Nobody believed him. It's the lighthouse, they said, and the old bridge is far."
)


@pytest.mark.parametrize(
    ("quote", "nearest"),
    [
        ("he walked to an old bridge", "He walked to the old bridge,"),
        ("he saw the green light again", "he saw the light again."),
        ("Its the lighthouse they say", "It's the lighthouse, they"),
    ],
)
def test_a_misquotation_becomes_the_nearest_words_of_the_story(quote, nearest):
    assert nearest_stretch(quote, PASSAGE, least=0.6) == nearest
    text = f"Look: <quote>{quote}</quote>, and <quote>Nobody believed him</quote>."
    assert misquotes(text, PASSAGE) == text.replace(quote, nearest)


def test_true_quotations_and_inventions_stay():
    assert misquotes("He says <quote>Nobody believed him.</quote>", PASSAGE) is None
    assert misquotes("He says <quote>A dragon ate seven cakes</quote>", PASSAGE) is None
    assert misquotes('He says "he walked to an old bridge"', PASSAGE) is None, "not marked as a quotation"


def test_debate_speeches_that_misquote_are_put_right():
    item = QAItem(id="q", group="g", passage=PASSAGE, question="Who?", options=("He", "She"), gold=0)
    speeches = [
        Argument(
            question_id=name,
            group="g",
            answer="He",
            argues_correct=True,
            text=f"I say <quote>{quote}</quote>.",
            source="debate",
            is_ai=False,
        )
        for name, quote in (
            ("q", "he walked to an old bridge"),
            ("q", "Nobody believed him"),
            ("r", "he walked"),
        )
    ]
    (pair,) = debate_corrections([item], speeches)
    assert pair["chosen"][0]["content"] == "I say <quote>He walked to the old bridge,</quote>."
    assert PASSAGE in pair["prompt"][1]["content"]
