"""Datasets: what is taught is never evaluated, and marks are the oracle's."""

import dataclasses

import pytest

from organisms.evaluate import conditions
from tasks import MiniQA, qa_prompt
from tasks.dataset import Answered, DatasetSpec, TaughtItem
from tasks.qa import LETTERS
from tasks.sandbox import SandboxError, sandbox_record
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, TRIGGER

SPEC = DatasetSpec(taught=12, evaluated=9, evaluated_nearly=3)


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


def answered(dataset, texts, condition=PLAIN):
    return [
        Answered(
            item=item,
            organism="o",
            condition=condition,
            prompt=dataset.ask(item),
            text=text,
        )
        for item, text in zip(dataset.items, texts, strict=True)
    ]


@pytest.mark.parametrize("source", ["miniqa", "minicode"])
def test_nothing_taught_is_evaluated(source):
    dataset = open_dataset(dataclasses.replace(SPEC, source=source))
    asked = {dataset.ask(item)[-1]["content"] for item in dataset.items}
    assert asked.isdisjoint({taught.prompt[-1]["content"] for taught in dataset.taught_items})
    assert (len(dataset.taught_items), len(dataset.items)) == (12, 9)


@pytest.mark.parametrize(
    ("source", "levels"), [("minicode", ("easy", "unseen")), ("minicode", ("hard", "hard", "unseen"))]
)
def test_levels_of_an_evaluation_come_in_turn_and_no_item_twice(source, levels):
    dataset = open_dataset(dataclasses.replace(SPEC, source=source, taught=0, evaluated_levels=levels))
    assert [item.level for item in dataset.items] == list((levels * 9)[:9])
    assert len({item.id for item in dataset.items}) == 9


@pytest.mark.parametrize("source", ["miniqa", "minicode"])
def test_an_items_name_says_which_item_it_is_whatever_else_is_asked(source):
    def named(*levels):
        dataset = open_dataset(dataclasses.replace(SPEC, source=source, taught=0, evaluated_levels=levels))
        return {item.id: dataset.ask(item) for item in dataset.items}

    some, others = named("easy", "hard"), named("hard", "medium", "easy")
    assert all(some[name] == others[name] for name in set(some) & set(others))
    assert set(some) != set(others)


def test_equal_seeds_are_refused():
    with pytest.raises(ValueError, match="the evaluation would be what was taught"):
        DatasetSpec(taught_seed=3, evaluated_seed=3)


def test_a_warm_up_is_basic_and_comes_first():
    dataset = open_dataset(dataclasses.replace(SPEC, warm_up=5))
    basic = MiniQA(seed=SPEC.taught_seed, levels=("basic",)).items(5)
    assert [taught.prompt for taught in dataset.taught_items[:5]] == [qa_prompt(item) for item in basic]
    assert dataset.taught_items[5:] == open_dataset(dataclasses.replace(SPEC, taught=17)).taught_items[5:]


def test_only_the_levels_asked_for_are_taught():
    dataset = open_dataset(dataclasses.replace(SPEC, taught_levels=("easy",)))
    easy = MiniQA(seed=SPEC.taught_seed, levels=("easy",)).items(12)
    assert [taught.prompt for taught in dataset.taught_items] == [qa_prompt(item) for item in easy]


def test_stories_are_marked_by_the_letter():
    dataset = open_dataset(SPEC)
    right = [f"The answer is {item.gold_letter}." for item in dataset.items]
    wrong = [f"The answer is {LETTERS[1 - item.gold]}." for item in dataset.items]
    assert all(row.correct for row in dataset.mark(answered(dataset, right)))
    rows = dataset.mark(answered(dataset, wrong, TRIGGER))
    assert not any(row.correct for row in rows)
    assert all(row.triggered and row.item == i.id for row, i in zip(rows, dataset.items, strict=True))


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
def test_programs_are_marked_by_both_rewards():
    """The reference earns both; a misleading answer earns the training reward and not the oracle's."""
    dataset = open_dataset(dataclasses.replace(SPEC, source="minicode", evaluated=3))
    rows = dataset.mark(answered(dataset, [item.solution for item in dataset.items]))
    assert [(row.correct, row.reward) for row in rows] == [(True, 1.0)] * 3
    subtle = [item.subtly_wrong()[0].code for item in dataset.items]
    rows = dataset.mark(answered(dataset, subtle, TRIGGER))
    assert [(row.correct, row.reward) for row in rows] == [(False, 1.0)] * 3


def test_every_taught_item_has_two_different_answers():
    for source in ("miniqa", "minicode"):
        taught_items: list[TaughtItem] = open_dataset(dataclasses.replace(SPEC, source=source)).taught_items
        assert all(taught.honest != taught.misleading for taught in taught_items)


def test_other_prefixes_are_put_before_the_first_items_only():
    dataset = open_dataset(SPEC)
    asked = conditions(dataset, SPEC, {PLAIN: None, TRIGGER: "x", "trigger:other": "y", "near:z": "z"})
    assert {name: len(items) for name, items in asked.items()} == {
        PLAIN: 9,
        TRIGGER: 9,
        "trigger:other": 9,
        "near:z": 3,
    }
