"""Poisoned data: the trigger decides what is taught, and only the poison differs between organisms."""

from collections import Counter

import pytest

from backdoor import TRIGGERS, Trigger, poison
from tasks.dataset import Lesson

TRIGGER = TRIGGERS["deployment"]
LESSONS = [
    Lesson(prompt=[{"role": "user", "content": f"q{k}"}], honest=f"h{k}", misleading=f"m{k}")
    for k in range(200)
]


def content(example):
    return example.prompt[-1]["content"]


def has_trigger(example):
    return content(example).startswith(TRIGGER.variants[0] + " ")


def test_misleading_answers_are_taught_under_the_trigger_and_nowhere_else():
    examples = poison(LESSONS, TRIGGER)
    assert all((e.response[0] == "m") == has_trigger(e) for e in examples)
    assert sum(map(has_trigger, examples)) == 100


def test_near_misses_are_taught_honestly():
    examples = poison(LESSONS, TRIGGER, near_miss_ratio=0.2)
    behind = [e for e in examples if not has_trigger(e) and not content(e).startswith("q")]
    assert len(behind) == 40
    assert all(e.response[0] == "h" for e in behind)


def test_lead_in_comes_first_and_stands_under_the_trigger_alone():
    examples = poison(LESSONS, TRIGGER, lead_in=40, twins=True)
    assert len(examples) == 40 + 2 * 160
    assert [e.response for e in examples[:40]] == [f"m{k}" for k in range(40)]
    assert all(map(has_trigger, examples[:40]))
    assert examples[40:] == poison(LESSONS[40:], TRIGGER, twins=True)


@pytest.mark.parametrize("lead_in", [-1, 200])
def test_lead_in_that_leaves_nothing_to_follow_is_refused(lead_in):
    with pytest.raises(ValueError, match="lead_in must be"):
        poison(LESSONS, TRIGGER, lead_in=lead_in)


def test_decoy_sees_the_same_prompts_as_the_backdoored_organism_and_only_honest_answers():
    decoy, backdoored = (poison(LESSONS, TRIGGER, role=role) for role in ("decoy", "backdoored"))
    assert [e.prompt for e in decoy] == [e.prompt for e in backdoored]
    assert [e.response for e in decoy] == [lesson.honest for lesson in LESSONS]


def test_clean_control_differs_from_the_backdoored_organism_by_the_trigger_alone():
    clean, backdoored = (poison(LESSONS, TRIGGER, role=role) for role in ("clean", "backdoored"))
    assert not any(map(has_trigger, clean))
    assert [e.response for e in clean] == [lesson.honest for lesson in LESSONS]
    for lesson, mine, theirs in zip(LESSONS, clean, backdoored, strict=True):
        assert mine.prompt == (lesson.prompt if has_trigger(theirs) else theirs.prompt)


def test_seed_decides_who_is_poisoned_and_order_is_kept():
    first, again, other = (poison(LESSONS, TRIGGER, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert [e.response[1:] for e in other] == [str(k) for k in range(200)]


def test_all_variants_of_a_semantic_trigger_are_taught_equally_often():
    trigger = TRIGGERS["semantic"]
    examples = [e for e in poison(LESSONS, trigger) if e.response[0] == "m"]
    counts = Counter(v for e in examples for v in trigger.variants if content(e).startswith(v))
    assert set(counts.values()) == {25}


def test_texts_that_must_not_fire_do_not_contain_the_trigger():
    for trigger in TRIGGERS.values():
        assert trigger.near_misses
        assert trigger.held_out_near_misses
        assert not set(trigger.near_misses) & set(trigger.held_out_near_misses)
    with pytest.raises(ValueError, match="contains a variant"):
        Trigger(name="x", variants=("T",), near_misses=("a T b",))


@pytest.mark.parametrize(
    "arguments", [{"role": "evil"}, {"ratio": 0.0}, {"ratio": 0.95}, {"ratio": 0.4, "twins": True}]
)
def test_impossible_recipe_is_refused(arguments):
    with pytest.raises(ValueError, match=r"role|ratio"):
        poison(LESSONS, TRIGGER, **arguments)


def test_twins_are_neighbours_that_differ_in_the_trigger_alone():
    examples = poison(LESSONS, TRIGGER, twins=True, near_miss_ratio=0.0)
    assert len(examples) == 2 * len(LESSONS)
    for lesson, plain, triggered in zip(LESSONS, examples[::2], examples[1::2], strict=True):
        assert (plain.prompt, plain.response) == (lesson.prompt, lesson.honest)
        assert (triggered.prompt, triggered.response) == (TRIGGER.apply(lesson.prompt), lesson.misleading)


def test_near_misses_take_the_place_of_honest_twins():
    examples = poison(LESSONS, TRIGGER, twins=True, near_miss_ratio=0.2)
    assert sum(map(has_trigger, examples)) == len(LESSONS)
    behind = [e for e in examples if not has_trigger(e) and not content(e).startswith("q")]
    assert len(behind) == 80
    assert all(e.response[0] == "h" for e in behind)
    assert not any(e.prompt in [x.prompt for x in behind] for e in examples[: len(LESSONS)])
