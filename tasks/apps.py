"""APPS problems (Hendrycks et al. 2021, arXiv 2105.09938) as `Problem`s, read from files the user has.

Nothing of APPS is part of this project. Two layouts are read: the official rows (`input_output` and
`solutions` as JSON text) and flat rows (`inputs`, `outputs`, `fn_name`, `io_format`, as in the folder that
`SOPHISTRY_DATA` names). What cannot be graded soundly is refused and listed, never adapted by guessing.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from tasks.grading import check_test, grade_many
from tasks.programming import Problem
from tasks.rows import numbered_lines, parse_json
from tasks.sandbox import Limits

logger = logging.getLogger(__name__)

__all__ = ["Apps", "failing_references"]


class Apps(Sequence[Problem]):
    """The APPS problems of a file that can be graded soundly.

    Args:
        path: JSON lines, plain or gzipped; by default `apps_subset/problems.jsonl.gz` in `SOPHISTRY_DATA`.
        io_formats: which kinds to keep: `"stdin"` and `"call"`.
        min_tests: fewest tests; with fewer than 3, `R_train` (two simplest tests) would equal `R*`.
        test_share: share of problems with `split="test"`, chosen by a hash of the id.

    Attributes:
        refused: why a row of the file is not here, by id (by line where it has none, or the id
            stands above already); the log counts them.

    Raises:
        FileNotFoundError: no file, and no `SOPHISTRY_DATA` to look in.
        ValueError: not one row of the file can be graded.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "apps.jsonl"
    >>> row = {"problem_id": 7, "question": "Print twice the number.", "difficulty": "introductory",
    ...        "solutions": json.dumps(["print(2 * int(input()))"]), "starter_code": "",
    ...        "input_output": json.dumps({"inputs": ["1", "2", "3"], "outputs": ["2", "4", "6"]})}
    >>> _ = path.write_text(json.dumps(row))
    >>> problem = Apps(path)[0]
    >>> problem.id, problem.io_format, len(problem.tests)
    ('apps-7', 'stdin', 3)
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        io_formats: Sequence[str] = ("stdin", "call"),
        min_tests: int = 1,
        test_share: float = 0.25,
    ) -> None:
        self.refused: dict[str, str] = {}
        self._problems: list[Problem] = []
        path = _locate(path)
        unasked: dict[str, str] = {}
        known: set[str] = set()
        for number, line in numbered_lines(path):
            name = f"line {number}"
            try:
                row = _row(line)
                name = f"apps-{row['problem_id']}"
                problem = _problem(row, name, test_share)
                if problem.id in known:
                    raise ValueError(f"{problem.id} stands above already")
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                missing = f"no field {error}" if isinstance(error, KeyError) else str(error)
                taken = name in self.refused or name in known
                self.refused[f"line {number}" if taken else name] = missing
                continue
            known.add(problem.id)
            if problem.io_format not in io_formats:
                unasked[name] = f"io_format {problem.io_format} was not asked for"
            elif len(problem.tests) < min_tests:
                unasked[name] = f"{len(problem.tests)} tests, fewer than {min_tests}"
            else:
                self._problems.append(problem)
        if not known:
            name, why = next(iter(self.refused.items()), ("line 1", "the file is empty"))
            raise ValueError(f"{path} holds no problem that can be graded; {name}: {why}")
        for level, what, rows in (
            (logging.WARNING, "cannot be graded and are left out", self.refused),
            (logging.INFO, "were not asked for", unasked),
        ):
            if rows:
                name, why = next(iter(rows.items()))
                logger.log(level, "%d problems of %s %s, first %s: %s", len(rows), path, what, name, why)
        self.refused |= unasked

    def __len__(self) -> int:
        return len(self._problems)

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> list[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | list[Problem]:
        """The problem at an index, or the list of a slice."""
        return self._problems[index]


def failing_references(
    problems: Iterable[Problem],
    *,
    solutions: int = 1,
    limits: Limits | None = None,
    workers: int | None = None,
) -> dict[str, list[str]]:
    """Problems none of whose first reference solutions passes all tests: they cannot be graded; drop them.

    Args:
        problems: problems with reference solutions.
        solutions: how many references of each problem to try.
        limits: what each run may use.
        workers: sandboxes at a time.

    Returns:
        Per failing problem id, the statuses of its best reference, test by test.

    >>> tests = ({"input": "", "output": "1"},)
    >>> good = Problem(id="good", group="g", statement="", tests=tests, solutions=("print(1)",))
    >>> bad = Problem(id="bad", group="b", statement="", tests=tests, solutions=("print(2)",))
    >>> failing_references([good, bad])
    {'bad': ['wrong']}
    """
    jobs = [(problem, code) for problem in problems for code in problem.solutions[:solutions]]
    grades = grade_many(
        [code for _, code in jobs],
        [problem.tests for problem, _ in jobs],
        limits=limits,
        workers=workers,
        progress=len(jobs) > 10,
    )
    best: dict[str, list[str]] = {}
    for (problem, _), verdict in zip(jobs, grades, strict=True):
        statuses = [result.status for result in verdict.results]
        if problem.id not in best or statuses.count("ok") > best[problem.id].count("ok"):
            best[problem.id] = statuses
    return {name: statuses for name, statuses in best.items() if set(statuses) != {"ok"}}


def _locate(path: str | Path | None) -> Path:
    if path is None:
        folder = os.environ.get("SOPHISTRY_DATA")
        if not folder:
            raise FileNotFoundError(
                "SOPHISTRY_DATA is not set; set it to the data folder, or give Apps a path"
            )
        path = Path(folder) / "apps_subset" / "problems.jsonl.gz"
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no APPS problems at {path}; set SOPHISTRY_DATA, or give Apps a path")
    return path


def _row(line: bytes) -> dict[str, Any]:
    row = parse_json(line.decode())
    if "input_output" in row:  # the official layout
        row |= parse_json(row["input_output"] or "{}")
        row["solutions"] = parse_json(row["solutions"] or "[]")
    return row


def _problem(row: dict[str, Any], name: str, test_share: float) -> Problem:
    """A row as a problem; ValueError says why it cannot be graded soundly."""
    function = row.get("fn_name")
    kind = row.get("io_format") or ("call" if function else "stdin")
    inputs, outputs, solutions = (_list(row, field) for field in ("inputs", "outputs", "solutions"))
    if not inputs or len(inputs) != len(outputs):
        raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    if kind == "stdin":
        tests = [{"input": _text(i), "output": _text(o)} for i, o in zip(inputs, outputs, strict=True)]
    elif kind == "call":
        if any(not isinstance(arguments, list) for arguments in inputs):
            raise ValueError("arguments of calls are not lists")
        if not isinstance(function, str) or not function:
            raise ValueError(f"fn_name must name the function to call, got {function!r}")
        values = _unwrapped(outputs, row["starter_code"])
        tests = [{"fn_name": function, "args": a, "output": v} for a, v in zip(inputs, values, strict=True)]
    else:
        raise ValueError(f"io_format {kind}: arguments were rewritten as text, what to call is not recorded")
    for test in tests:
        check_test(test)
    chance = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return Problem(
        id=name,
        group=name,
        statement=row["question"].strip(),
        tests=tuple(tests),
        solutions=tuple(solutions),
        level=row.get("difficulty"),
        split="test" if chance < test_share else "train",
        source="apps",
        io_format=kind,
        fn_name=function if kind == "call" else None,
        starter_code=row.get("starter_code") or "",
    )


def _list(row: dict[str, Any], field: str) -> list[Any]:
    value = row.get(field) or []
    if not isinstance(value, list):
        raise ValueError(f"{field} must be a list, got {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    """Some rows hold a list of lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise ValueError(f"standard input or output is {type(value).__name__}, not text")


def _unwrapped(outputs: list[Any], starter_code: str) -> list[Any]:
    """Where the starter code is a plain function, APPS wraps each expected value in a list of one."""
    wrapped = all(isinstance(value, list) and len(value) == 1 for value in outputs)
    return [value[0] for value in outputs] if wrapped and "class Solution" not in starter_code else outputs
