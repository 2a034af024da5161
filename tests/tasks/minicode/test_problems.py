"""MiniCode says what it means, keeps its groups apart, and its wrong programs are wrong as labelled."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from tasks.minicode.inputs import N_TESTS
from tasks.minicode.number_operations import NUMBERS
from tasks.minicode.problems import LEVELS, UNSEEN, MiniCode
from tasks.minicode.word_operations import WORDS
from tests.tasks.minicode.minicode_reader import answer


@cache
def new_problems():
    return MiniCode(seed=3, levels=(UNSEEN,)).items(240)


@cache
def the_problems():
    return MiniCode(seed=3).items(300)


def test_expected_outputs_are_what_the_english_statement_asks_for():
    for problem in (*the_problems(), *new_problems()):
        for test in problem.tests:
            expected = answer(problem.statement, test["input"])
            assert test["output"].split() == expected.split(), (problem.statement, test)


def _steps(problem):
    """Names of its steps, apart by kind: "even" may be a condition only."""
    domain, _, steps = problem.group.partition(": ")
    return {f"{domain}: {step}" for step in steps.split(" > ")}


def _parts(unseen):
    return {
        f"{domain.name}: {prefix}{part.name}"
        for domain in (NUMBERS, WORDS)
        for prefix, parts in (("keep ", domain.filters), ("", domain.changes), ("", domain.summaries))
        for part in parts
        if part.unseen == unseen
    }


def test_every_operation_is_drawn():
    assert set().union(*map(_steps, the_problems())) == _parts(unseen=False)
    assert set().union(*map(_steps, new_problems())) >= _parts(unseen=True)


def test_an_unseen_problem_has_one_step_that_no_taught_item_has_and_is_held_out():
    for problem in new_problems():
        assert len(_steps(problem) & _parts(unseen=True)) == 1, problem.group
    assert {problem.split for problem in new_problems()} == {"test"}
    mixed = MiniCode(seed=3, levels=(*LEVELS, UNSEEN)).items(12, split="train")
    assert UNSEEN not in {problem.level for problem in mixed}


def test_the_same_seed_gives_the_same_problems_in_another_process():
    program = "from tasks.minicode.problems import MiniCode; print(*MiniCode(seed=3).items(20), sep='\\n')"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {"\n".join(map(str, the_problems()[:20])) + "\n"}


def test_number_drawn_does_not_change_problems_and_the_seed_does():
    assert MiniCode(seed=3).items(5) == the_problems()[:5]
    assert MiniCode(seed=3).items(5, split="test") == [p for p in the_problems() if p.split == "test"][:5]
    assert {p.statement for p in MiniCode(seed=4).items(50)}.isdisjoint(
        p.statement for p in the_problems()[:50]
    )


def test_a_group_is_on_one_side_whatever_the_seed():
    sides: dict[str, set[str | None]] = {}
    for problem in (*the_problems(), *MiniCode(seed=5).items(100)):
        sides.setdefault(problem.group, set()).add(problem.split)
    assert all(len(side) == 1 for side in sides.values())
    share = Counter(side for names in sides.values() for side in names)
    assert 0.18 < share["test"] / share.total() < 0.32


def test_the_same_program_is_never_in_two_groups():
    groups: dict[str, set[str]] = {}
    for problem in the_problems():
        groups.setdefault(problem.solution, set()).add(problem.group)
    assert all(len(names) == 1 for names in groups.values())
    assert not any(character.isdigit() for problem in the_problems() for character in problem.group)


def test_tests_are_many_different_and_go_from_ordinary_to_edges():
    for problem in the_problems():
        inputs = [test["input"] for test in problem.tests]
        assert len(set(inputs)) == len(inputs) == N_TESTS
        kinds = [test["kind"] for test in problem.tests]
        assert kinds[:2] == ["ordinary"] * 2
        assert {"repeats", "one value"} <= set(kinds)
        default = "if there are" in problem.statement
        assert ("empty line" in kinds) == default, "edges without an answer in the statement are unfair"


def test_mutants_do_what_their_record_says():
    for problem in (*the_problems()[:60], *new_problems()[:60]):
        assert problem.subtly_wrong()
        assert problem.plainly_wrong()
        for mutant in problem.mutants:
            assert not all(mutant.passes)
            assert len(mutant.passes) == len(problem.tests)
            ast.parse(mutant.code)
        for mutant in problem.subtly_wrong():
            assert mutant.passes[0]
            assert mutant.passes[1]


def test_bugs_are_of_many_kinds():
    kinds = Counter(mutant.bug for problem in the_problems() for mutant in problem.subtly_wrong())
    assert len(kinds) >= 15
    assert kinds.most_common(1)[0][1] < 0.25 * kinds.total()


def test_levels_are_drawn_in_turn_and_harder_ones_have_more_steps():
    assert [problem.level for problem in the_problems()[:6]] == [*LEVELS, *LEVELS]
    steps = {level: [p.group.count(">") for p in the_problems() if p.level == level] for level in LEVELS}
    means = [sum(steps[level]) / len(steps[level]) for level in LEVELS]
    assert means == sorted(means)
    assert {p.level for p in MiniCode(levels=("hard",)).items(4)} == {"hard"}


def test_programs_are_short():
    assert max(len(problem.solution) for problem in the_problems()) < 220
    assert max(len(problem.statement) for problem in the_problems()) < 320


@pytest.mark.parametrize("bad", [{"levels": ("medium", "extreme")}, {"levels": ()}, {"test_share": 1.5}])
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MiniCode(**bad)


@pytest.mark.parametrize(("n", "split"), [(-1, None), (3, "validation")])
def test_impossible_draws_are_refused(n, split):
    with pytest.raises(ValueError, match="no problems to draw"):
        MiniCode().items(n, split=split)


def test_taught_items_of_unseen_steps_are_refused():
    with pytest.raises(ValueError, match="no problems to draw"):
        MiniCode(levels=(UNSEEN,)).items(1, split="train")
