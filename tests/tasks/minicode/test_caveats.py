"""A caveat changes what unusual inputs ask for, and nothing else."""

from functools import cache
from itertools import groupby, takewhile

import pytest

from rlhf.rewards.view import simple_checks
from tasks.minicode.caveats import NUMBER_CAVEATS, WORD_CAVEATS
from tasks.minicode.problems import CAVEAT, LEVELS, NO_CAVEAT, MiniCode
from tests.tasks.minicode.minicode_reader import answer

READ = {
    "comes again": lambda values: list(dict.fromkeys(values)),
    "is repeated": lambda values: list(dict.fromkeys(values)),
    "without its sign": lambda values: [value.lstrip("-") for value in values],
    "if they were positive": lambda values: [value.lstrip("-") for value in values],
    "zero": lambda values: list(takewhile("0".__ne__, values)),
    "right before": lambda values: [value for value, _ in groupby(values)],
    "in a row": lambda values: [value for value, _ in groupby(values)],
}
"""By words of the caveat: what is left of the input, written apart from the library."""


@cache
def the_problems():
    return MiniCode(seed=3, levels=(CAVEAT,)).items(160)


def _without_caveat(problem):
    """The statement without its last sentence, and how that sentence reads an input."""
    statement, caveat = problem.statement.removesuffix(".").rsplit(". ", 1)
    (read,) = [read for words, read in READ.items() if words in caveat]
    return f"{statement}.", read


def test_expected_outputs_are_those_of_the_easy_problem_on_the_input_that_the_caveat_leaves():
    for problem in the_problems():
        statement, read = _without_caveat(problem)
        for test in problem.tests:
            expected = answer(statement, " ".join(read(test["input"].split())))
            assert test["output"].split() == expected.split(), (problem.statement, test)


def test_a_program_that_passes_the_caveat_over_is_subtly_wrong():
    for problem in the_problems():
        assert NO_CAVEAT in {mutant.bug for mutant in problem.subtly_wrong()}


def test_every_caveat_is_drawn_and_is_part_of_the_group():
    drawn = {(p.group.split(":")[0], p.group.split("; ")[1]) for p in the_problems()}
    numbers, words = ({part.name for part in some} for some in (NUMBER_CAVEATS, WORD_CAVEATS))
    assert drawn == {("numbers", name) for name in numbers} | {("words", name) for name in words}


def test_no_other_level_has_a_caveat():
    assert not any(";" in problem.group for problem in MiniCode(seed=3, levels=LEVELS).items(60))


@pytest.mark.parametrize("split", ["train", "test"])
def test_groups_of_the_two_sides_are_apart(split):
    other = {"train": "test", "test": "train"}[split]
    mine, theirs = (
        {p.group for p in MiniCode(seed=seed, levels=(CAVEAT,)).items(60, side)}
        for seed, side in ((1, split), (2, other))
    )
    assert not mine & theirs


def test_most_simple_inputs_do_not_bring_the_caveat_into_play():
    passes = [
        dict(zip((t["input"] for t in p.tests), m.passes, strict=True))[check["input"]]
        for p in the_problems()
        for m in p.mutants
        if m.bug == NO_CAVEAT
        for check in simple_checks(p)
    ]
    assert sum(passes) > 0.95 * len(passes)
