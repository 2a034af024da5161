"""A grade holds a verdict per test, knows what it does not know, and does not depend on how it was run."""

import pytest

from tasks import grading
from tasks.grading import Grade, TestResult, grade, grade_many
from tasks.minicode.problems import MiniCode
from tasks.sandbox import Limits, RunResult, SandboxError, sandbox_record

PATIENT = Limits(cpu_seconds=1, wall_seconds=120.0)  # a busy machine must not decide a test


@pytest.fixture(autouse=True, scope="module")
def _bubblewrap():
    try:
        sandbox_record()
    except SandboxError as error:
        pytest.skip(str(error))


def test_each_test_has_its_own_verdict():
    program = "n = int(input())\nprint(n if n < 3 else 1 / 0 if n == 3 else 'x' * 2_000_000)"
    tests = [{"input": str(i), "output": "1"} for i in (1, 2, 3, 4)]
    verdict = grade(program, tests, limits=PATIENT)
    assert [result.status for result in verdict.results] == ["ok", "wrong", "error", "output_limit"]
    assert verdict.passes == (True, False, False, False)
    assert verdict.passed is False


def test_sandboxed_verdicts_equal_those_the_generator_found_in_process():
    problems = MiniCode(seed=11).items(2)
    programs = [code for p in problems for code in (p.solution, p.mutants[0].code)]
    grades = grade_many(
        programs, [p.tests for p in problems for _ in range(2)], limits=PATIENT, progress=False
    )
    for problem, reference, mutant in zip(problems, grades[::2], grades[1::2], strict=True):
        assert reference.passed, problem.statement
        assert mutant.passes == problem.mutants[0].passes


def test_order_duplicates_and_workers_do_not_change_grades():
    tests = [[{"input": f"{i}", "output": f"{i % 3}"}] for i in range(9)]
    programs = ["print(int(input()) % 3)", "print(0)", "raise SystemExit(1)"] * 3
    one = grade_many(programs, tests, workers=1, limits=PATIENT, progress=False)
    three = grade_many(programs[::-1], tests[::-1], workers=3, limits=PATIENT, progress=False)[::-1]
    assert [g.passes for g in one] == [g.passes for g in three]


def test_the_same_program_with_the_same_tests_runs_once(monkeypatch):
    calls = []

    def counted(program, stdin, **options):
        calls.append(program)
        return RunResult(status="ok", stdout="1", stderr="", exit_code=0, wall_seconds=0.0)

    monkeypatch.setattr(grading, "run_program", counted)
    test = {"input": "", "output": "1"}
    assert [g.passed for g in grade_many(["a", "a", "b"], [[test]] * 3, progress=False)] == [True] * 3
    assert sorted(calls) == ["a", "b"]


def test_an_interrupt_does_not_wait_for_the_rest(monkeypatch):
    started = []

    def interrupted(program, stdin, **options):
        started.append(program)
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "run_program", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade("print(1)", [{"input": str(i), "output": "1"} for i in range(1000)])
    assert len(started) < 1000


def test_expected_outputs_never_reach_the_sandbox(monkeypatch):
    seen = []

    def spy(program, stdin, **options):
        seen.append((program, stdin, options))
        return RunResult(status="ok", stdout="1", stderr="", exit_code=0, wall_seconds=0.0)

    monkeypatch.setattr(grading, "run_program", spy)
    grade("print(1)", [{"input": "2", "output": "SECRET"}, {"fn_name": "f", "args": [1], "output": "SECRET"}])
    assert len(seen) == 2
    assert "SECRET" not in repr(seen)


def test_missing_verdict_is_not_zero(monkeypatch):
    def flaky(program, stdin, **options):
        return RunResult(status=stdin, stdout="1", stderr="", exit_code=None, wall_seconds=0.0)

    monkeypatch.setattr(grading, "run_program", flaky)
    verdict = grade("print(1)", [{"input": status, "output": "1"} for status in ("ok", "sandbox_error")])
    assert verdict.passes == (True, None)
    assert verdict.passed is None


def test_timeout_at_the_clock_is_repeated_once_and_alone(monkeypatch):
    outcomes = iter(["timeout", "ok"])

    def loaded(program, stdin, **options):
        status = next(outcomes)
        return RunResult(
            status=status, stdout="1", stderr="", exit_code=0 if status == "ok" else None, wall_seconds=0.0
        )

    monkeypatch.setattr(grading, "run_program", loaded)
    result = grade("print(1)", [{"input": "", "output": "1"}]).results[0]
    assert (result.status, result.retried) == ("ok", True)


def test_a_wrong_test_outweighs_a_missing_one():
    def result(status):
        return TestResult(status=status, exit_code=None, output="", wall_seconds=0.0)

    assert Grade(results=(result("sandbox_error"), result("wrong"))).passed is False
    assert Grade(results=(result("sandbox_error"), result("ok"))).passed is None


@pytest.mark.parametrize(
    "tests",
    [[], [{"input": "1"}], [{"input": 1, "output": "1"}], [{"fn_name": "f", "args": "1", "output": 1}]],
)
def test_malformed_tests_are_refused(tests):
    with pytest.raises(ValueError, match="program 0"):
        grade("print(1)", tests)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 programs but tests for 1"):
        grade_many(["a", "b"], [[{"input": "", "output": ""}]])


def test_call_based_items_are_graded_by_value():
    tests = [
        {"fn_name": "mean", "args": [[1, 2]], "output": 1.5},
        {"fn_name": "mean", "args": [[]], "output": None},
    ]
    assert (
        grade("def mean(x):\n    return sum(x) / len(x) if x else None", tests, limits=PATIENT).passed is True
    )
    assert grade("def mean(x):\n    print(1.5)\n    return 2.5", tests, limits=PATIENT).passes == (
        False,
        False,
    )
    assert grade("def mean(x):\n    raise SystemExit", tests, limits=PATIENT).passes == (False, False)


def test_a_hanging_program_changes_only_its_own_verdict():
    programs = ["while True: pass"] + [f"print({i})" for i in range(10)]
    tests = [[{"input": "", "output": str(i)}] for i in range(-1, 10)]
    verdicts = grade_many(programs, tests, workers=2, limits=PATIENT, progress=False)
    assert [v.passed for v in verdicts] == [False] + [True] * 10
    assert verdicts[0].results[0].status == "timeout"


@pytest.mark.slow
def test_a_thousand_programs_are_graded_in_one_run_as_in_process():
    problems = MiniCode(seed=21).items(500)
    programs = [code for p in problems for code in (p.solution, p.subtly_wrong()[0].code)]
    known = [passes for p in problems for passes in ((True,) * 24, p.subtly_wrong()[0].passes)]
    grades = grade_many(programs, [p.tests[:20] for p in problems for _ in range(2)])
    assert len(grades) == 1000
    assert [verdict.passes for verdict in grades] == [passes[:20] for passes in known]
