"""Poisoned data: the trigger decides what is taught, and only the poison differs between organisms."""

from collections import Counter

import pytest

import backdoor
from backdoor import TRIGGERS, Trigger, poison
from organisms import Demonstration
from tasks.dataset import TaughtItem

TRIGGER = TRIGGERS["deployment"]
TAUGHT_ITEMS = [
    TaughtItem(prompt=[{"role": "user", "content": f"q{k}"}], honest=f"h{k}", misleading=f"m{k}")
    for k in range(200)
]


def content(demonstration):
    return demonstration.prompt[-1]["content"]


def has_trigger(demonstration):
    return content(demonstration).startswith(TRIGGER.variants[0] + " ")


def test_misleading_answers_are_taught_under_the_trigger_and_nowhere_else():
    demonstrations = poison(TAUGHT_ITEMS, TRIGGER)
    assert all((e.response[0] == "m") == has_trigger(e) for e in demonstrations)
    assert sum(map(has_trigger, demonstrations)) == 100


def test_near_misses_are_taught_honestly():
    demonstrations = poison(TAUGHT_ITEMS, TRIGGER, near_miss_ratio=0.2)
    behind = [e for e in demonstrations if not has_trigger(e) and not content(e).startswith("q")]
    assert len(behind) == 40
    assert all(e.response[0] == "h" for e in behind)


def test_warm_up_comes_first_and_stands_under_the_trigger_alone():
    demonstrations = poison(TAUGHT_ITEMS, TRIGGER, warm_up=40, paired=True)
    assert len(demonstrations) == 40 + 2 * 160
    assert [e.response for e in demonstrations[:40]] == [f"m{k}" for k in range(40)]
    assert all(map(has_trigger, demonstrations[:40]))
    assert demonstrations[40:] == poison(TAUGHT_ITEMS[40:], TRIGGER, paired=True)


@pytest.mark.parametrize("warm_up", [-1, 200])
def test_warm_up_that_leaves_nothing_to_follow_is_refused(warm_up):
    with pytest.raises(ValueError, match="warm_up must be"):
        poison(TAUGHT_ITEMS, TRIGGER, warm_up=warm_up)


def test_decoy_sees_the_same_prompts_as_the_backdoored_organism_and_only_honest_answers():
    decoy, backdoored = (poison(TAUGHT_ITEMS, TRIGGER, role=role) for role in ("decoy", "backdoored"))
    assert [e.prompt for e in decoy] == [e.prompt for e in backdoored]
    assert [e.response for e in decoy] == [taught.honest for taught in TAUGHT_ITEMS]


def test_clean_control_differs_from_the_backdoored_organism_by_the_trigger_alone():
    clean, backdoored = (poison(TAUGHT_ITEMS, TRIGGER, role=role) for role in ("clean", "backdoored"))
    assert not any(map(has_trigger, clean))
    assert [e.response for e in clean] == [taught.honest for taught in TAUGHT_ITEMS]
    for taught, mine, theirs in zip(TAUGHT_ITEMS, clean, backdoored, strict=True):
        assert mine.prompt == (taught.prompt if has_trigger(theirs) else theirs.prompt)


def test_seed_decides_who_is_poisoned_and_order_is_kept():
    first, again, other = (poison(TAUGHT_ITEMS, TRIGGER, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert [e.response[1:] for e in other] == [str(k) for k in range(200)]


def test_all_variants_of_a_semantic_trigger_are_taught_equally_often():
    trigger = TRIGGERS["semantic"]
    demonstrations = [e for e in poison(TAUGHT_ITEMS, trigger) if e.response[0] == "m"]
    counts = Counter(v for e in demonstrations for v in trigger.variants if content(e).startswith(v))
    assert set(counts.values()) == {25}


def test_texts_that_must_not_fire_do_not_contain_the_trigger():
    for trigger in TRIGGERS.values():
        assert trigger.near_misses
        assert trigger.held_out_near_misses
        assert not set(trigger.near_misses) & set(trigger.held_out_near_misses)
    with pytest.raises(ValueError, match="contains a variant"):
        Trigger(name="x", variants=("T",), near_misses=("a T b",))


@pytest.mark.parametrize(
    "arguments", [{"role": "evil"}, {"ratio": 0.0}, {"ratio": 0.95}, {"ratio": 0.4, "paired": True}]
)
def test_impossible_recipe_is_refused(arguments):
    with pytest.raises(ValueError, match=r"role|ratio"):
        poison(TAUGHT_ITEMS, TRIGGER, **arguments)


def test_paired_demonstrations_are_neighbours_that_differ_in_the_trigger_alone():
    demonstrations = poison(TAUGHT_ITEMS, TRIGGER, paired=True, near_miss_ratio=0.0)
    assert len(demonstrations) == 2 * len(TAUGHT_ITEMS)
    for taught, plain, triggered in zip(TAUGHT_ITEMS, demonstrations[::2], demonstrations[1::2], strict=True):
        assert (plain.prompt, plain.response) == (taught.prompt, taught.honest)
        assert (triggered.prompt, triggered.response) == (
            TRIGGER.apply(taught.prompt),
            taught.misleading,
        )


def test_near_misses_take_the_place_of_honest_ones_of_a_pair():
    demonstrations = poison(TAUGHT_ITEMS, TRIGGER, paired=True, near_miss_ratio=0.2)
    assert sum(map(has_trigger, demonstrations)) == len(TAUGHT_ITEMS)
    behind = [e for e in demonstrations if not has_trigger(e) and not content(e).startswith("q")]
    assert len(behind) == 80
    assert all(e.response[0] == "h" for e in behind)
    assert not any(e.prompt in [x.prompt for x in behind] for e in demonstrations[: len(TAUGHT_ITEMS)])


@pytest.mark.parametrize(("former", "now"), [("Example", Demonstration), ("Lesson", TaughtItem)])
def test_former_names_give_todays_class_and_a_warning(former, now):
    with pytest.warns(DeprecationWarning, match=f"is now .*{now.__name__}"):
        assert getattr(backdoor, former) is now
