"""Mutants of any program: one bug each, and what is claimed of them is what running them finds."""

import ast

import pytest

from tasks.mutants import bugs, with_mutants
from tasks.programming import Problem
from tasks.sandbox import SandboxError, sandbox_record

PROGRAM = (
    "n = int(input())\nvalues = [abs(x) for x in range(n)]\nprint(max(values) if n > 2 and n < 9 else 7)"
)


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


def test_every_bug_is_one_change_that_still_parses():
    found = list(bugs(PROGRAM))
    assert {kind for kind, _ in found} == {"comparison", "constant", "and/or", "built-in", "no abs"}
    whole = ast.dump(ast.parse(PROGRAM))
    assert all(ast.dump(ast.parse(code)) != whole for _, code in found)
    assert len({code for _, code in found}) == len(found)


def test_true_and_false_are_no_constants_to_be_off_by_one():
    assert list(bugs("print(True)")) == []


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
def test_kept_mutants_earn_the_training_reward_and_not_the_oracles():
    """A boundary at 5 that only the third test touches: `>` for `>=` passes the two simplest tests."""
    tests = tuple({"input": str(n), "output": str(int(n >= 5))} for n in (1, 9, 5))
    solution = "n = int(input())  # a comment, and spaces\nprint( int( n >= 5 ) )"
    problem = Problem(id="p", group="p", statement="s", tests=tests, solutions=(solution,))
    (made,) = with_mutants([problem], progress=False)
    subtle = made.subtly_wrong()
    assert "n > 5" in subtle[0].code
    assert all(m.passes[:2] == (True, True) and not m.passes[2] for m in subtle)
    assert {m.bug for m in made.plainly_wrong()} <= {"constant", "comparison"}
    assert subtle[0].code == made.solution.replace(">=", ">"), "they differ in the bug alone"


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
def test_a_problem_without_subtly_wrong_programs_is_left_out():
    tests = tuple({"input": "", "output": "7"} for _ in range(3))
    problem = Problem(id="p", group="p", statement="s", tests=tests, solutions=("print('7')",))
    assert with_mutants([problem], progress=False) == []
