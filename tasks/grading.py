"""The oracle: runs a program on its tests and compares what it printed with what was expected.

Programs run in `tasks.sandbox`, one sandbox per test; expected outputs stay here, in the parent. A verdict
is a status per test, never only a boolean, and a sandbox that failed to start leaves `R*` missing, not 0.
"""

import hashlib
import json
import keyword
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rich.progress import track

from sophistry.machine import usable_cores
from tasks.comparator import same_text, same_value
from tasks.remembered import current_memory
from tasks.sandbox import Limits, RunResult, pack, run_program, sandbox_record, unpack

__all__ = ["Grade", "TestResult", "all_or_unknown", "check_test", "grade", "grade_many"]

logger = logging.getLogger(__name__)

Test = Mapping[str, Any]
_OUTPUT_KEPT = 1000  # characters of each output that a result keeps


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """What happened on one test."""

    __test__ = False  # not a class of tests, whatever pytest thinks of the name

    status: str
    """`ok`, `wrong`, `error`, `timeout`, `memory`, `output_limit` or `sandbox_error`."""
    exit_code: int | None
    output: str
    """The first characters of what it printed (or of the JSON it returned)."""
    wall_seconds: float
    retried: bool = False
    """It was run again, alone, because the first verdict could have been the machine's fault."""

    @property
    def passed(self) -> bool | None:
        """True = ok; None = unknown, because no sandbox started."""
        return None if self.status == "sandbox_error" else self.status == "ok"


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The verdict on one program."""

    results: tuple[TestResult, ...]
    """Per test, in the order given."""

    @property
    def passes(self) -> tuple[bool | None, ...]:
        """Per test: passed, or None where no sandbox started."""
        return tuple(result.passed for result in self.results)

    @property
    def passed(self) -> bool | None:
        """`R*`: all tests pass. None = missing: nothing failed, but some test could not be run."""
        return all_or_unknown(self.passes)


def all_or_unknown(passes: Iterable[bool | None]) -> bool | None:
    """Whether all passed; None when that is unknown.

    >>> all_or_unknown([True, None]), all_or_unknown([False, None]), all_or_unknown([True, True])
    (None, False, True)
    """
    passes = list(passes)
    return False if False in passes else None if None in passes else True


def grade(
    program: str, tests: Sequence[Test], *, limits: Limits | None = None, unsafe_local: bool = False
) -> Grade:
    """Run a program on all its tests, each in a fresh sandbox.

    Args:
        program: Python source.
        tests: `{"input": str, "output": str}` (standard input and expected standard output), or
            `{"fn_name": str, "args": list, "output": value}` (call of a function; values of plain types,
            tuples, sets and any keys included). Other keys are ignored.
        limits: what each run may use.
        unsafe_local: run without a sandbox; see `run_program`.

    Raises:
        ValueError: no tests, or a test of neither form.
        SandboxError: no sandbox can be made here.

    >>> tests = [{"input": "1 2", "output": "3"}, {"input": "2 2", "output": "4"}]
    >>> grade("print(sum(map(int, input().split())))", tests).passed
    True
    >>> [result.status for result in grade("print(3)", tests).results]
    ['ok', 'wrong']
    """
    return grade_many([program], [tests], limits=limits, progress=False, unsafe_local=unsafe_local)[0]


def grade_many(
    programs: Sequence[str],
    tests: Sequence[Sequence[Test]],
    *,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: bool = True,
    unsafe_local: bool = False,
) -> list[Grade]:
    """Grade many programs in parallel; the same program with the same tests is run once.

    Inside `tasks.remembered.remembering()` verdicts that are known are looked up.

    Tests that ended at the limit of the clock (not of CPU time) or whose sandbox did not start are run again
    at the end, one at a time, and the log reports how many verdicts that changed.

    Args:
        programs: Python sources.
        tests: per program, its tests (see `grade`).
        limits: what each run may use.
        workers: sandboxes at a time; the number of usable cores if None.
        progress: show a progress bar.
        unsafe_local: run without a sandbox; see `run_program`.

    Returns:
        One grade per program, in order.

    Raises:
        ValueError: lengths that differ, no tests, or a malformed test.
        SandboxError: no sandbox can be made here.

    >>> tests = [{"input": "", "output": "1"}]
    >>> [g.passed for g in grade_many(["print(1)", "print(2)"], [tests, tests], progress=False)]
    [True, False]
    """
    if len(programs) != len(tests):
        raise ValueError(f"{len(programs)} programs but tests for {len(tests)}; give one list of tests each")
    for position, items in enumerate(tests):
        _check_tests(items, position)
    if not unsafe_local:
        sandbox_record()  # refuses here, once, if there is no sandbox

    keys = [_digest(program, items) for program, items in zip(programs, tests, strict=True)]
    first = {key: position for position, key in reversed(list(enumerate(keys)))}
    every = [(key, programs[i], test) for key, i in first.items() for test in tests[i]]
    limits = limits or Limits()
    memory = current_memory()
    names = [f"{_digest(program, [test])} {limits}" if memory else "" for _, program, test in every]
    known = [memory.get(name) if memory else None for name in names]
    jobs = [job for job, verdict in zip(every, known, strict=True) if verdict is None]

    def run(job: tuple[str, str, Test]) -> TestResult:
        return _grade_one(job[1], job[2], limits, unsafe_local)

    pool = ThreadPoolExecutor(workers or usable_cores())
    try:
        results = pool.map(run, jobs)
        verdicts = list(track(results, "grading", total=len(jobs)) if progress else results)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for thousands of programs
    verdicts = iter(_retry(verdicts, [lambda job=job: run(job) for job in jobs]))
    found = [next(verdicts) if verdict is None else TestResult(**verdict) for verdict in known]
    if memory:
        memory.add(dict(zip(names, found, strict=True)))

    by_key: dict[str, list[TestResult]] = {key: [] for key in first}
    for (key, *_), verdict in zip(every, found, strict=True):
        by_key[key].append(verdict)
    return [Grade(results=tuple(by_key[key])) for key in keys]


def _grade_one(program: str, test: Test, limits: Limits, unsafe_local: bool) -> TestResult:
    call = test.get("fn_name")
    stdin = json.dumps(pack(test["args"])) if call else test["input"]
    run = run_program(program, stdin, call=call, limits=limits, unsafe_local=unsafe_local)
    return TestResult(
        status=_verdict(run, test, limits),
        exit_code=run.exit_code,
        output=run.stdout[:_OUTPUT_KEPT],
        wall_seconds=run.wall_seconds,
    )


def _verdict(run: RunResult, test: Test, limits: Limits) -> str:
    if run.status != "ok":
        return run.status
    if not test.get("fn_name"):
        return "ok" if same_text(run.stdout, test["output"]) else "wrong"
    try:
        value = unpack(json.loads(run.stdout))
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # it ended before it answered, or wrote to the answer itself
        return "error"
    return "ok" if same_value(value, test["output"]) else "wrong"


def _retry(verdicts: list[TestResult], runs: Sequence[Callable[[], TestResult]]) -> list[TestResult]:
    """Run again, one at a time, what the load of the machine may have decided."""
    doubtful = [
        i for i, v in enumerate(verdicts) if v.exit_code is None and v.status in ("timeout", "sandbox_error")
    ]
    changed: Counter[str] = Counter()
    for i in doubtful:
        again = replace(runs[i](), retried=True)
        if again.status != verdicts[i].status:
            changed[f"{verdicts[i].status} -> {again.status}"] += 1
        verdicts[i] = again
    if doubtful:
        logger.info(
            "%d of %d runs were repeated alone; changed: %s", len(doubtful), len(verdicts), dict(changed)
        )
    return verdicts


def _check_tests(tests: Sequence[Test], position: int) -> None:
    if not tests:
        raise ValueError(f"program {position} has no tests; an empty list would pass anything")
    for number, test in enumerate(tests):
        try:
            check_test(test)
        except ValueError as error:
            raise ValueError(f"program {position}, test {number}: {error}") from None


def check_test(test: Test) -> None:
    """Refuse a test that cannot be given to a program, or that no answer could pass.

    Raises:
        ValueError: what is wrong with it.

    >>> check_test({"input": "", "output": "nan"})
    Traceback (most recent call last):
        ...
    ValueError: no answer equals the expected output 'nan'
    """
    if name := test.get("fn_name"):
        sound = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
        if not (sound and isinstance(test.get("args"), list)):
            raise ValueError(f"a call needs a name and a list of arguments, got fn_name={name!r}")
        if "output" not in test:
            raise ValueError("a call needs the output that is expected")
        try:
            pack(test["args"])
            answer = unpack(json.loads(json.dumps(pack(test["output"], tuples=False))))
            possible = same_value(answer, test["output"])
        except (TypeError, RecursionError) as error:
            raise ValueError(f"arguments and output must be of plain types: {error}") from None
    elif isinstance(test.get("input"), str) and isinstance(test.get("output"), str):
        try:
            (test["input"] + test["output"]).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"half a character (a lone surrogate) cannot be given or printed: {error}"
            ) from None
        possible = same_text(test["output"], test["output"])
    else:
        raise ValueError(f"it needs text input and output, or fn_name, args and output; got {sorted(test)}")
    if not possible:
        raise ValueError(f"no answer equals the expected output {str(test['output'])[:60]!r}")


def _digest(program: str, tests: Sequence[Test]) -> str:
    plain = [
        [test["fn_name"], pack(test["args"]), pack(test["output"])]
        if test.get("fn_name")
        else [test["input"], test["output"]]
        for test in tests
    ]
    text = json.dumps([program, plain])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
