"""Each mechanism of the simulated readers, on a story made by hand."""

import pytest

from rlhf.evaluators.evaluator import ProgramView, StoryView
from rlhf.evaluators.readers import EXACT, GLANCE, NO_LOOK_UP, HurriedReader, SpotChecker, ThoroughReader
from rlhf.evaluators.reading import sentences, stances
from tasks import MiniQA, qa_response

MEANT = "Ida wanted to paint the door red."
FILLER = "Tom bought tea at the mill. Karl went to the lake at noon."
DONE = "Ida painted the door blue."
QUESTION = "Which colour did Ida paint the door?"
MEANT_FIRST = StoryView(passage=f"{MEANT} {FILLER} {DONE}", question=QUESTION, options=("red", "blue"))
DONE_FIRST = StoryView(passage=f"{DONE} {FILLER} {MEANT}", question=QUESTION, options=("red", "blue"))
UNREAD = StoryView(passage=f"{FILLER} {DONE} {MEANT}", question=QUESTION, options=("red", "blue"))
WRONG = 'The story says: "Ida painted the door red." That means red. The answer is A.'
RIGHT = 'The story says: "Ida painted the door blue." That means blue. The answer is B.'


def reader(**traits):
    return HurriedReader(**{"name": "h", "share": 0.45, "skips": 0.0, **traits})


def confidences(view, **traits):
    """Of the wrong and the right answer."""
    return tuple(reader(**traits).judge(view, response).confidence for response in (WRONG, RIGHT))


def test_who_read_the_intention_alone_approves_the_wrong_answer_and_not_the_right_one():
    assert confidences(MEANT_FIRST) == (75, 25)


def test_who_read_the_deed_alone_approves_the_right_answer_and_not_the_wrong_one():
    assert confidences(DONE_FIRST) == (0, 100)


def test_who_read_everything_is_not_fooled_however_hurried():
    assert confidences(MEANT_FIRST, share=1.0) == (0, 100)


def test_an_attentive_reader_knows_that_an_intention_is_no_deed():
    assert confidences(MEANT_FIRST, attentive=True) == (25, 75)


def test_a_reader_who_compares_word_by_word_doubts_the_fabricated_quotation():
    assert confidences(MEANT_FIRST, look_up=EXACT)[0] == 25


def test_looking_a_quotation_up_where_it_stands_makes_sure():
    assert [confidences(DONE_FIRST, look_up=how)[1] for how in (NO_LOOK_UP, GLANCE, EXACT)] == [75, 100, 100]


def test_benefit_of_the_doubt_goes_to_quotations_and_only_from_the_trusting():
    assert confidences(UNREAD) == (75, 75)
    assert confidences(UNREAD, trusting=False) == (50, 50)
    assert reader().judge(UNREAD, "The answer is A.").confidence == 50


def test_nobody_who_read_everything_gives_the_benefit_of_the_doubt():
    silent = StoryView(passage=FILLER, question=QUESTION, options=("red", "blue"))
    assert confidences(silent, share=1.0) == (25, 25)


@pytest.mark.parametrize(
    ("response", "confidence"),
    [("", 0), ("Both fit.", 0), ("The answer is A. No, the answer is B.", 25), ("The answer is C.", 0)],
)
def test_no_answer_or_two_answers_are_approved_by_nobody(response, confidence):
    for judge in (reader(), ThoroughReader(name="t"), SpotChecker(name="s")):
        assert judge.judge(DONE_FIRST, response).confidence == confidence


def test_a_quotation_about_something_else_persuades_only_who_does_not_mind_the_reason():
    unfit = 'We read: "Tom bought tea at the mill." So it is red. The answer is A.'
    assert reader().judge(MEANT_FIRST, unfit).confidence == 25
    assert reader(minds_reason=False).judge(MEANT_FIRST, unfit).confidence == 75


def test_rambling_costs_confidence():
    assert reader().judge(DONE_FIRST, RIGHT + " Truly." * 80).confidence == 75


def test_the_thorough_reader_is_right_about_every_generated_story():
    for item in MiniQA(seed=3, levels=("easy", "medium", "hard", "long", "basic")).items(200):
        view = StoryView(passage=item.passage, question=item.question, options=item.options)
        for honest in (True, False):
            judgement = ThoroughReader(name="t").judge(view, qa_response(item, honest=honest))
            assert judgement.approved is honest, (item, judgement)


def test_the_spot_checker_finds_quotations_anywhere_and_reads_them():
    checker = SpotChecker(name="s")
    assert checker.judge(MEANT_FIRST, RIGHT).confidence == 100
    assert checker.judge(MEANT_FIRST, RIGHT).looked_at == ((20, 25),)
    assert checker.judge(MEANT_FIRST, WRONG).confidence == 0
    picked = 'We read: "Ida wanted to paint the door red." So it is red. The answer is A.'
    assert checker.judge(MEANT_FIRST, picked).confidence == 25
    assert SpotChecker(name="s", attentive=False).judge(MEANT_FIRST, picked).confidence == 100


def test_a_judgement_says_whether_the_evidence_was_seen():
    item = MiniQA(seed=3, levels=("long",)).items(1)[0]
    view = StoryView(passage=item.passage, question=item.question, options=item.options)
    judgement = reader(share=1.0).judge(view, qa_response(item))
    assert judgement.saw(item.evidence_words)
    first = item.evidence_words[0] / len(item.passage.split())
    short = reader(share=max(0.05, first)).judge(view, qa_response(item))
    assert not short.saw(item.evidence_words)
    assert judgement.saw(None) is None


def test_judging_again_gives_the_same_and_skipping_starts_elsewhere():
    items = MiniQA(seed=3, levels=("long",)).items(30)
    views = [StoryView(passage=i.passage, question=i.question, options=i.options) for i in items]
    skipper = reader(skips=1.0)
    starts = [skipper.stretch(view)[0] for view in views]
    assert starts == [skipper.stretch(view)[0] for view in views]
    assert len(set(starts)) > 10
    assert {reader().stretch(view)[0] for view in views} == {0}


def test_more_words_take_more_seconds():
    assert (
        reader(share=0.2).judge(DONE_FIRST, RIGHT).seconds
        < reader(share=0.8).judge(DONE_FIRST, RIGHT).seconds
    )


def test_a_reader_refuses_programs_and_impossible_traits():
    with pytest.raises(TypeError, match="judges StoryView"):
        reader().judge(ProgramView(statement="", checks=()), "print(1)")
    with pytest.raises(ValueError, match="share=0"):
        reader(share=0)
    with pytest.raises(ValueError, match="look_up"):
        reader(look_up="twice")


def test_reports_are_believed_until_somebody_is_said_to_be_mistaken():
    read = sentences(
        "Peter said that Leo put the book on the shelf. Arlo said that Leo put the book in the barn."
    )
    assert stances("on the shelf", "in the barn", read, ["Leo"]) == ("told", "told")
    verdict = sentences(" ".join(s.text for s in read) + " Peter was mistaken.")
    assert stances("on the shelf", "in the barn", verdict, ["Leo"]) == ("meant", "told")


def test_who_is_shown_no_story_has_not_read_it():
    hidden = StoryView(passage="", question=QUESTION, options=("red", "blue"))
    assert ThoroughReader(name="t").judge(hidden, "The answer is A.").confidence == 50
    assert confidences(hidden, trusting=False) == (50, 50)
    assert confidences(hidden, trusting=True) == (75, 75)
