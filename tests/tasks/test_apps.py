"""APPS rows become problems without guessing, and the data set's references hold up in our sandbox."""

import gzip
import json
import os
from pathlib import Path

import pytest

from tasks.apps import Apps, failing_references
from tasks.grading import grade_many
from tasks.programming import Problem
from tasks.sandbox import Limits, SandboxError, sandbox_record

ROW = {
    "problem_id": 1,
    "question": "  Print it.  ",
    "difficulty": "interview",
    "starter_code": "",
    "fn_name": None,
    "io_format": "stdin",
    "inputs": ["1", "2", "3"],
    "outputs": ["1", "2", "3"],
    "solutions": ["print(input())"],
}


@pytest.fixture
def apps(tmp_path):
    def write(*rows, **options):
        path = tmp_path / "apps.jsonl.gz"
        with gzip.open(path, "wt") as file:
            file.writelines(json.dumps({**ROW, **row}) + "\n" for row in rows)
        return Apps(path, **options)

    return write


def test_flat_and_official_rows_give_the_same_problem(apps):
    flat = apps({})[0]
    official = {
        "solutions": json.dumps(ROW["solutions"]),
        "input_output": json.dumps({"inputs": ROW["inputs"], "outputs": ROW["outputs"]}),
        "io_format": None,
        "inputs": None,
        "outputs": None,
    }
    assert apps(official)[0] == flat
    assert (flat.id, flat.group, flat.level, flat.statement) == ("apps-1", "apps-1", "interview", "Print it.")


def test_what_cannot_be_graded_soundly_is_refused_with_its_reason(apps):
    problems = apps(
        {"problem_id": 1, "io_format": "call_as_text"},
        {"problem_id": 2, "inputs": []},
        {"problem_id": 3, "outputs": ["1"]},
        {"problem_id": 4, "io_format": "call", "fn_name": "f", "inputs": ["1", "2", "3"]},
        {"problem_id": 5, "inputs": [1, 2, 3]},
        {"problem_id": 6, "inputs": ["1"], "outputs": ["1"]},
        {"problem_id": 7},
        min_tests=3,
    )
    assert [problem.id for problem in problems] == ["apps-7"]
    assert sorted(problems.refused) == [f"apps-{i}" for i in range(1, 7)]
    assert "what to call is not recorded" in problems.refused["apps-1"]
    assert "fewer than 3" in problems.refused["apps-6"]


def test_only_the_asked_formats_are_kept(apps):
    call = {
        "problem_id": 2,
        "io_format": "call",
        "fn_name": "f",
        "inputs": [[1]] * 3,
        "outputs": [[1], [2], [3]],
    }
    assert [p.io_format for p in apps({}, call)] == ["stdin", "call"]
    assert [p.io_format for p in apps({}, call, io_formats=["call"])] == ["call"]


@pytest.mark.parametrize(
    ("starter", "outputs", "expected"),
    [
        ("def f(n):\n\t", [[False], [True]], [False, True]),
        ("class Solution:\n    def f(self, n):\n", [[1], [2]], [[1], [2]]),
        ("def f(n):\n\t", [[1], [1, 2]], [[1], [1, 2]]),
    ],
)
def test_wrapped_expected_values_are_unwrapped_only_where_apps_wraps(apps, starter, outputs, expected):
    row = {
        "io_format": "call",
        "fn_name": "f",
        "starter_code": starter,
        "inputs": [[1], [2]],
        "outputs": outputs,
    }
    assert [test["output"] for test in apps(row)[0].tests] == expected


def test_a_missing_file_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.delenv("SOPHISTRY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SOPHISTRY_DATA is not set"):
        Apps()
    with pytest.raises(FileNotFoundError, match=r"no APPS problems at .*none\.jsonl"):
        Apps(tmp_path / "none.jsonl")


def test_references_are_judged_by_the_best_of_them():
    try:
        sandbox_record()
    except SandboxError as error:
        pytest.skip(str(error))
    tests = ({"input": "", "output": "1"},) * 2
    problem = Problem(id="p", group="g", statement="", tests=tests, solutions=("print(2)", "print(1)"))
    assert failing_references([problem]) == {"p": ["wrong", "wrong"]}
    assert failing_references([problem], solutions=2) == {}


# The subset in SOPHISTRY_DATA; docs/sandbox.md explains each id.
EXPLAINED = {
    "several answers are right": {33, 2023, 2029, 2378, 2398, 2400},
    "the stored reference is not a whole program": {2036, 2038, 2046, 2382},
    "the first reference is wrong": {2386},
}


@pytest.mark.slow
@pytest.mark.skipif("SOPHISTRY_DATA" not in os.environ, reason="needs the APPS subset: set SOPHISTRY_DATA")
def test_first_references_of_the_subset_pass_but_for_the_explained_ones():
    problems = [problem for problem in Apps() if problem.solutions]
    assert len(problems) == 153
    failing = failing_references(problems, limits=Limits(cpu_seconds=4, wall_seconds=30.0))
    assert set(failing) == {f"apps-{number}" for numbers in EXPLAINED.values() for number in numbers}


@pytest.mark.slow
@pytest.mark.skipif("SOPHISTRY_DATA" not in os.environ, reason="needs the APPS subset: set SOPHISTRY_DATA")
@pytest.mark.parametrize("label", [False, True])
def test_programs_known_to_be_wrong_or_right_are_found_so(label):
    problems = {problem.id: problem for problem in Apps(io_formats=["stdin"])}
    path = Path(os.environ["SOPHISTRY_DATA"]) / "apps_subset" / "lm_solutions.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["verified_pass"] is label]
    names = [f"apps-{row['problem_id']}" for row in rows]
    limits = Limits(cpu_seconds=4) if label else None
    verdicts = grade_many(
        [row["code"] for row in rows], [problems[name].tests for name in names], limits=limits
    )
    other = [name for name, verdict in zip(names, verdicts, strict=True) if verdict.passed is not label]
    assert other == (["apps-2060"] * 4 if label else []), "labels were made from the first 12 tests"


def test_a_bad_row_never_stops_the_rest_and_is_named(tmp_path, caplog):
    good = {"problem_id": 1, "question": "q", "inputs": ["1"], "outputs": ["1"], "solutions": []}
    big = {
        "problem_id": 2,
        "question": "q",
        "fn_name": "f",
        "solutions": [],
        "starter_code": "class Solution",
    }
    rows = ["{broken", "[1]", json.dumps({"question": "no id"}), json.dumps(good | {"question": None})]
    rows += [
        json.dumps(good),
        json.dumps(big | {"inputs": [["N"]], "outputs": [1]}).replace('"N"', "1" + "0" * 5000),
    ]
    (tmp_path / "apps.jsonl").write_text("\n".join(rows))
    with caplog.at_level("INFO", "tasks.apps"):
        apps = Apps(tmp_path / "apps.jsonl")
    assert [p.id for p in apps] == ["apps-1", "apps-2"]
    assert apps[1].tests[0]["args"] == [10**5000]
    assert list(apps.refused) == ["line 1", "line 2", "line 3", "apps-1"]
    assert "4 problems" in caplog.text
