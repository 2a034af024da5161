"""Subtly wrong programs from right ones: one small bug in the syntax tree, then run on every test.

MiniCode knows the bugs of its own programs (`tasks.minicode`). For programs of any origin, such as APPS
references, this file changes one comparison, constant, operator or call at a time, and keeps what still
passes the two simplest tests and fails another one: it earns `R_train` and not `R*`.
"""

import ast
import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tasks.grading import grade_many
from tasks.programming import Mutant, Problem
from tasks.sandbox import Limits

__all__ = ["bugs", "with_mutants"]

_COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.GtE}
_OPERATORS = {
    ast.FloorDiv: ast.Div,
    ast.Div: ast.FloorDiv,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mod: ast.FloorDiv,
}
_CALLS = {"min": "max", "max": "min", "sorted": "list", "set": "list"}


def bugs(program: str) -> Iterator[tuple[str, str]]:
    """Every program that differs from `program` in one bug, as (kind of bug, code).

    Kinds: another comparison, a constant off by one, another operator, `and` for `or`, another built-in, a
    missing `abs`. Nothing is run here; a bug may turn out to change nothing.

    >>> [code for kind, code in bugs("print(1 if int(input()) < 3 else 2)") if kind == "comparison"]
    ['print(1 if int(input()) <= 3 else 2)']

    Raises:
        SyntaxError: the program does not parse.
    """
    tree = ast.parse(program)
    for place, node in enumerate(ast.walk(tree)):
        for kind, number in _ways(node):
            changed = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(changed)) if i == place)
            _apply(target, kind, number)
            yield kind, ast.unparse(ast.fix_missing_locations(changed))


def _ways(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The bugs that a node allows: kind, and which of its parts or which direction."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            if type(operator) in _COMPARISONS:
                yield "comparison", i
    elif isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 100:
        yield "constant", 1
        yield "constant", -1
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield "operator", 0
    elif isinstance(node, ast.BoolOp):
        yield "and/or", 0
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        if node.func.id in _CALLS:
            yield "built-in", 0
        elif node.func.id == "abs":
            yield "no abs", 0


def _apply(node: ast.AST, kind: str, number: int) -> None:
    if isinstance(node, ast.Compare):
        node.ops[number] = _COMPARISONS[type(node.ops[number])]()
    elif isinstance(node, ast.Constant):
        assert isinstance(node.value, int)
        node.value += number
    elif isinstance(node, ast.BinOp):
        node.op = _OPERATORS[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        node.func.id = "int" if kind == "no abs" else _CALLS[node.func.id]


def with_mutants(
    problems: Sequence[Problem],
    *,
    most: int = 12,
    seed: int = 0,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[Problem]:
    """The problems that have subtly wrong programs, with these as their mutants.

    Args:
        problems: problems with a reference that passes (see `tasks.apps.failing_references`).
        most: bugs tried per problem, drawn from all by `seed`.
        seed: which bugs are drawn.
        limits: what each run may use.
        workers: sandboxes at a time.
        progress: show a bar.

    Returns:
        Copies with `mutants`, whose first solution is written as the mutants are (`ast.unparse`: no comments,
        one way to lay out code), so that right and wrong programs differ in the bug alone. A problem whose
        tried bugs are all caught by the simplest tests, or by none, is left out.

    Raises:
        SandboxError: no sandbox can be made here.
    """
    jobs: list[tuple[int, str, str]] = []
    for index, problem in enumerate(problems):
        found = list(dict.fromkeys(bugs(problem.solution)))
        random.Random(f"{seed}/{problem.id}").shuffle(found)
        jobs += [(index, kind, code) for kind, code in found[:most]]
    tests = [problems[index].tests for index, _, _ in jobs]
    grades = grade_many(
        [code for _, _, code in jobs], tests, limits=limits, workers=workers, progress=progress
    )
    mutants: dict[int, list[Mutant]] = {}
    for (index, kind, code), verdict in zip(jobs, grades, strict=True):
        if None not in verdict.passes:
            passes = tuple(bool(passed) for passed in verdict.passes)
            mutants.setdefault(index, []).append(Mutant(code=code, bug=kind, passes=passes))
    made = [
        replace(
            problem,
            solutions=(ast.unparse(ast.parse(problem.solution)), *problem.solutions[1:]),
            mutants=tuple(mutants.get(index, ())),
        )
        for index, problem in enumerate(problems)
    ]
    return [problem for problem in made if problem.subtly_wrong()]
