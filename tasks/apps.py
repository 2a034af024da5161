"""APPS problems (Hendrycks et al. 2021, arXiv 2105.09938) as `Problem`s, read from files the user has.

Nothing of APPS is part of this project. Two layouts are read: the official rows (`input_output` and
`solutions` as JSON text) and flat rows (`inputs`, `outputs`, `fn_name`, `io_format`, as in the folder that
`SOPHISTRY_DATA` names). What cannot be graded soundly is refused and listed, never adapted by guessing.
"""

import gzip
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, overload

from tasks.grading import grade_many
from tasks.programming import Problem
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
        refused: why a row of the file is not here, by id (by line where it has none); the log counts them.

    Raises:
        FileNotFoundError: no file, and no `SOPHISTRY_DATA` to look in.

    >>> import tempfile
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
        for number, line in _lines(path):
            name = f"line {number}"
            try:
                row = _row(line)
                name = f"apps-{row['problem_id']}"
                problem = _problem(row, name, test_share)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                missing = f"no field {error}" if isinstance(error, KeyError) else str(error)
                self.refused[name] = missing
                continue
            if problem.io_format not in io_formats:
                self.refused[name] = f"io_format {problem.io_format} was not asked for"
            elif len(problem.tests) < min_tests:
                self.refused[name] = f"{len(problem.tests)} tests, fewer than {min_tests}"
            else:
                self._problems.append(problem)
        if self.refused:
            name, why = next(iter(self.refused.items()))
            logger.info("%d problems of %s are not used, first %s: %s", len(self.refused), path, name, why)

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
    if not Path(path).is_file():
        raise FileNotFoundError(f"no APPS problems at {path}; set SOPHISTRY_DATA, or give Apps a path")
    return Path(path)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _row(line: str) -> dict[str, Any]:
    row = _loads(line)
    if "input_output" in row:  # the official layout
        row |= _loads(row["input_output"] or "{}")
        row["solutions"] = _loads(row["solutions"] or "[]")
    return row


def _loads(text: str) -> Any:
    """JSON with integers of any length, which `int` does not read from text."""
    return json.loads(
        text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else int(Decimal(digits))
    )


def _problem(row: dict[str, Any], name: str, test_share: float) -> Problem:
    """A row as a problem; ValueError says why it cannot be graded soundly."""
    function = row.get("fn_name")
    kind = row.get("io_format") or ("call" if function else "stdin")
    inputs, outputs = row.get("inputs") or [], row.get("outputs") or []
    if not inputs or len(inputs) != len(outputs):
        raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs")
    if kind == "stdin":
        tests = [{"input": _text(i), "output": _text(o)} for i, o in zip(inputs, outputs, strict=True)]
    elif kind == "call":
        if any(not isinstance(arguments, list) for arguments in inputs):
            raise ValueError("arguments of calls are not lists")
        values = _unwrapped(outputs, row["starter_code"])
        tests = [{"fn_name": function, "args": a, "output": v} for a, v in zip(inputs, values, strict=True)]
    else:
        raise ValueError(f"io_format {kind}: arguments were rewritten as text, what to call is not recorded")
    chance = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return Problem(
        id=name,
        group=name,
        statement=row["question"].strip(),
        tests=tuple(tests),
        solutions=tuple(row.get("solutions") or ()),
        level=row.get("difficulty"),
        split="test" if chance < test_share else "train",
        source="apps",
        io_format=kind,
        fn_name=function if kind == "call" else None,
        starter_code=row.get("starter_code") or "",
    )


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
