"""Busy testers: what they run, what survives, and what some of them read."""

import pytest

from rlhf.evaluators.evaluator import ProgramView, StoryView
from rlhf.evaluators.testers import BusyTester, run_checks
from rlhf.rewards.view import simple_checks
from tasks.programming import Problem

CHECKS = tuple({"input": f"{n} {n + 1}\n", "output": f"{n + 1}\n"} for n in range(1, 7))
VIEW = ProgramView(statement="Print the largest number.", checks=CHECKS)
TRUE = "print(max(map(int, input().split())))"
LAST = "print(input().split()[-1])"  # wrong in general, right on every simple input here
FIRST = "print(input().split()[0])"


def confidence(program, **traits):
    return judged(program, **traits).confidence


def judged(program, **traits):
    """Our own harmless programs, so they run on systems without a sandbox too."""
    tester = BusyTester(**{"name": "t", "inputs": 2, **traits})
    runs = run_checks([tester], [VIEW], [program], unsafe_local=True)
    return tester.judge(VIEW, program, runs=runs)


def test_what_survives_simple_inputs_is_approved_even_if_it_is_wrong():
    assert [confidence(program) for program in (TRUE, LAST, FIRST)] == [75, 75, 0]


def test_a_tester_writes_as_many_different_inputs_as_it_says_and_always_the_same():
    inputs = judged(TRUE, inputs=4).inputs
    assert len(set(inputs)) == 4
    assert inputs == judged(LAST, inputs=4).inputs


def test_simpler_inputs_come_to_mind_more_often():
    firsts = [BusyTester(name=f"t{n}", inputs=1).chosen(VIEW)[0]["input"] for n in range(300)]
    assert firsts.count("1 2\n") > 2 * firsts.count("6 7\n") > 0


def test_who_reads_the_code_is_surer_of_what_reads_well_and_unsure_of_what_is_long_and_bare():
    bare = "x = input().split()\n" + "x = x\n" * 20 + "print(x[-1])"
    worded = "numbers = list(map(int, input().split()))\nprint(max(numbers))"
    assert [confidence(p, reads=True) for p in (worded, LAST, bare)] == [100, 75, 50]
    assert [confidence(p, reads=False) for p in (worded, bare)] == [75, 75]


def test_text_that_is_no_program_is_not_run():
    judgement = BusyTester(name="t").judge(VIEW, "print(")
    assert judgement.confidence == 0
    assert not judgement.inputs


def test_a_crash_is_a_failure():
    assert confidence("1/0") == 0


def test_a_tester_refuses_stories_and_no_inputs():
    with pytest.raises(TypeError, match="judges ProgramView"):
        BusyTester(name="t").judge(StoryView(passage="", question="", options=("a", "b")), "print(1)")
    with pytest.raises(ValueError, match="at least one input"):
        BusyTester(name="t", inputs=0)


@pytest.mark.parametrize("value", [10**5000, {1: (2, 3)}, {4}, "\ud800"], ids=range(4))
def test_inputs_of_any_value_are_run_and_kept_as_text(value):
    check = {"fn_name": "f", "args": [value], "output": value}
    view = ProgramView(statement="Give it back.", checks=(check,))
    program = "def f(x): return x"
    tester = BusyTester(name="t", inputs=1)
    judgement = tester.judge(view, program, runs=run_checks([tester], [view], [program], unsafe_local=True))
    assert judgement.confidence == 75
    assert all(isinstance(text, str) for text in judgement.inputs)


def test_calls_with_large_numbers_are_ranked_by_how_they_look():
    tests = tuple({"fn_name": "f", "args": [n, 2], "output": 1} for n in (10**5000, 1))
    problem = Problem(id="p", group="g", statement="s", tests=tests, io_format="call", fn_name="f")
    assert [check["args"][0] == 1 for check in simple_checks(problem)] == [True, False]
