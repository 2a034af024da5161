"""Rewards and testers of programs in the real sandbox: what passes, what fails, what is only tried simply."""

import pytest

from rlhf.evaluators import BusyTester, Pool
from rlhf.rewards import Approval, ProgramOracle, TwoTests, program_columns
from rlhf.rewards.view import view_of
from tasks import MiniCode
from tasks.sandbox import SandboxError, sandbox_record


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
PROBLEM = MiniCode(seed=3).items(1)[0]
PROGRAMS = [PROBLEM.solution, PROBLEM.subtly_wrong()[0].code, "print('no')", "not a program ("]
COLUMNS = {name: [value] * len(PROGRAMS) for name, value in program_columns(PROBLEM).items()}


def test_two_tests_pay_for_what_the_oracle_does_not():
    asked = ["?"] * len(PROGRAMS)
    assert TwoTests()(asked, PROGRAMS, **COLUMNS) == [1.0, 1.0, 0.0, 0.0]
    assert ProgramOracle()(asked, PROGRAMS, **COLUMNS) == [1.0, 0.0, 0.0, 0.0]


def test_busy_testers_run_programs_in_the_sandbox_and_approve_what_survives():
    testers = Pool(tuple(BusyTester(name=f"t{n}", inputs=2) for n in range(3)))
    judged = testers.judge_many([view_of(PROBLEM)] * len(PROGRAMS), PROGRAMS)
    sure = [[judgement.confidence for judgement in row] for row in judged]
    assert sure[0] == [75, 75, 75]
    assert sure[2:] == [[0, 0, 0], [0, 0, 0]]
    assert Approval(testers, task="programming")(["?"], PROGRAMS[:1], **_first()) == [1.0]


def _first():
    return {name: column[:1] for name, column in COLUMNS.items()}
