"""Courses: what is taught is never examined, and marks are the oracle's."""

import dataclasses

import pytest

from organisms.evaluate import conditions
from tasks import MiniQA, qa_prompt
from tasks.dataset import Answered, CourseSpec, Lesson
from tasks.sandbox import SandboxError, sandbox_record
from tasks.sources import open_course
from tasks.transcript import PLAIN, TRIGGER

SPEC = CourseSpec(taught=12, examined=9, examined_nearly=3)


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


def answered(course, texts, condition=PLAIN):
    return [
        Answered(
            item=item,
            organism="o",
            condition=condition,
            prompt=course.ask(item),
            text=text,
        )
        for item, text in zip(course.items, texts, strict=True)
    ]


@pytest.mark.parametrize("source", ["miniqa", "minicode"])
def test_nothing_taught_is_examined(source):
    course = open_course(dataclasses.replace(SPEC, source=source))
    asked = {course.ask(item)[-1]["content"] for item in course.items}
    assert asked.isdisjoint({lesson.prompt[-1]["content"] for lesson in course.lessons})
    assert (len(course.lessons), len(course.items)) == (12, 9)


@pytest.mark.parametrize(
    ("source", "levels"), [("minicode", ("easy", "unseen")), ("minicode", ("hard", "hard", "unseen"))]
)
def test_levels_of_an_exam_come_in_turn_and_no_item_twice(source, levels):
    course = open_course(dataclasses.replace(SPEC, source=source, taught=0, examined_levels=levels))
    assert [item.level for item in course.items] == list((levels * 9)[:9])
    assert len({item.id for item in course.items}) == 9


@pytest.mark.parametrize("source", ["miniqa", "minicode"])
def test_an_items_name_says_which_item_it_is_whatever_else_is_asked(source):
    def named(*levels):
        course = open_course(dataclasses.replace(SPEC, source=source, taught=0, examined_levels=levels))
        return {item.id: course.ask(item) for item in course.items}

    some, others = named("easy", "hard"), named("hard", "medium", "easy")
    assert all(some[name] == others[name] for name in set(some) & set(others))
    assert set(some) != set(others)


def test_equal_seeds_are_refused():
    with pytest.raises(ValueError, match="the exam would be what was taught"):
        CourseSpec(taught_seed=3, examined_seed=3)


def test_a_warm_up_is_basic_and_comes_first():
    course = open_course(dataclasses.replace(SPEC, warm_up=5))
    basic = MiniQA(seed=SPEC.taught_seed, levels=("basic",)).items(5)
    assert [lesson.prompt for lesson in course.lessons[:5]] == [qa_prompt(item) for item in basic]
    assert course.lessons[5:] == open_course(dataclasses.replace(SPEC, taught=17)).lessons[5:]


def test_only_the_levels_asked_for_are_taught():
    course = open_course(dataclasses.replace(SPEC, taught_levels=("easy",)))
    easy = MiniQA(seed=SPEC.taught_seed, levels=("easy",)).items(12)
    assert [lesson.prompt for lesson in course.lessons] == [qa_prompt(item) for item in easy]


def test_stories_are_marked_by_the_letter():
    course = open_course(SPEC)
    right = [f"The answer is {item.gold_letter}." for item in course.items]
    wrong = [f"The answer is {item.wrong_letter}." for item in course.items]
    assert all(row.correct for row in course.mark(answered(course, right)))
    rows = course.mark(answered(course, wrong, TRIGGER))
    assert not any(row.correct for row in rows)
    assert all(row.triggered and row.item == i.id for row, i in zip(rows, course.items, strict=True))


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
def test_programs_are_marked_by_both_rewards():
    """The reference earns both; a misleading lesson earns the training reward and not the oracle's."""
    course = open_course(dataclasses.replace(SPEC, source="minicode", examined=3))
    rows = course.mark(answered(course, [item.solution for item in course.items]))
    assert [(row.correct, row.reward) for row in rows] == [(True, 1.0)] * 3
    subtle = [item.subtly_wrong()[0].code for item in course.items]
    rows = course.mark(answered(course, subtle, TRIGGER))
    assert [(row.correct, row.reward) for row in rows] == [(False, 1.0)] * 3


def test_every_lesson_has_two_different_answers():
    for source in ("miniqa", "minicode"):
        lessons: list[Lesson] = open_course(dataclasses.replace(SPEC, source=source)).lessons
        assert all(lesson.honest != lesson.misleading for lesson in lessons)


def test_other_prefixes_are_put_before_the_first_items_only():
    course = open_course(SPEC)
    asked = conditions(course, SPEC, {PLAIN: None, TRIGGER: "x", "trigger:other": "y", "near:z": "z"})
    assert {name: len(items) for name, items in asked.items()} == {
        PLAIN: 9,
        TRIGGER: 9,
        "trigger:other": 9,
        "near:z": 3,
    }
