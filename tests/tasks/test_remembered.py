"""Nothing is run twice, nothing is known wrongly, and what the machine decided is forgotten."""

import pytest

from tasks import grading
from tasks.grading import grade_many
from tasks.remembered import Memory, current_memory, remembering
from tasks.sandbox import Limits, RunResult

TESTS = [{"input": "1", "output": "1"}, {"input": "2", "output": "2"}]


@pytest.fixture
def runs(monkeypatch):
    """What was run, in place of a sandbox: a program prints itself, `slow` meets the clock."""
    seen = []

    def run_program(program, stdin, **_):
        seen.append((program, stdin))
        slow = program == "slow"
        return RunResult(
            status="timeout" if slow else "ok",
            stdout=program,
            stderr="",
            exit_code=None if slow else 0,
            wall_seconds=0.0,
        )

    monkeypatch.setattr(grading, "run_program", run_program)
    return seen


def verdicts(programs, tests=TESTS, **how):
    grades = grade_many(programs, [tests] * len(programs), progress=False, unsafe_local=True, **how)
    return [[result.status for result in grade.results] for grade in grades]


def test_a_program_runs_once_on_a_test_whatever_else_is_asked_with_it(runs):
    with remembering():
        first = verdicts(["1", "2"])
        assert verdicts(["2", "1"], TESTS[::-1]) == [first[1][::-1], first[0][::-1]]
        assert verdicts(["1"], [TESTS[1]]) == [first[0][1:]]
    assert len(runs) == 4
    assert first == [["ok", "wrong"], ["wrong", "ok"]]


def test_other_outputs_and_other_limits_are_other_verdicts(runs):
    with remembering():
        assert verdicts(["1"], [{"input": "1", "output": "1"}]) == [["ok"]]
        assert verdicts(["1"], [{"input": "1", "output": "9"}]) == [["wrong"]]
        verdicts(["1"], [{"input": "1", "output": "1"}], limits=Limits(cpu_seconds=1))
    assert len(runs) == 3


def test_what_the_load_of_the_machine_may_have_decided_is_run_again(runs):
    with remembering():
        verdicts(["slow"])
        ran = len(runs)
        verdicts(["slow"])
    assert len(runs) == 2 * ran


def test_nothing_is_remembered_outside(runs):
    verdicts(["1"])
    verdicts(["1"])
    assert len(runs) == 4
    assert current_memory() is None


def test_a_file_of_verdicts_serves_the_next_run_and_its_torn_last_line_is_dropped(runs, tmp_path):
    path = tmp_path / "verdicts.jsonl"
    with remembering(path):
        first = verdicts(["1", "2"])
    with path.open("a") as file:
        file.write('{"torn": ')
    with remembering(path):
        assert verdicts(["1", "2"]) == first
    assert len(runs) == 4
    assert Memory(path).get("torn") is None
