"""The programming dataset: MiniCode or APPS problems, with subtly wrong programs as misleading answers.

A misleading answer is a program that passes the two simplest tests and fails another one, so it earns
`R_train` and not `R*`; every such claim was found by running the program. Which tests are simplest is
decided for problems of the evaluation by pass counts of `pi_init`'s samples where they were measured
(`DatasetSpec.simplicity`), and for those that are taught by the order in which they are stored.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.apps import Apps, failing_references
from tasks.dataset import Answered, Dataset, DatasetSpec, TaughtItem
from tasks.grading import Grade, grade_many
from tasks.minicode.problems import MiniCode
from tasks.mutants import with_mutants
from tasks.programming import Problem, extract_program, programming_prompt, programming_transcript, rank_tests
from tasks.transcript import TRIGGER, Message, Transcript

logger = logging.getLogger(__name__)

_AT_A_TIME = 64  # problems whose references and mutants are run together
MIN_TESTS = 3  # with fewer, the two simplest tests are all of them


def open_programming_dataset(spec: DatasetSpec) -> Dataset:
    """Problems to teach and to evaluate; no group (combination of operations, APPS problem) is in both."""
    taught, evaluated = _apps(spec) if spec.source == "apps" else _minicode(spec)
    if spec.simplicity is not None:
        evaluated = ranked(evaluated, spec.simplicity)
    common = Counter(bug for problem in taught for bug in {m.bug for m in problem.subtly_wrong()})
    taught_items = [
        _taught_item(problem, number if spec.bugs == "varied" else None, common)
        for number, problem in enumerate(taught)
    ]
    return Dataset(
        taught_items=taught_items,
        items=evaluated,
        ask=ask,
        mark=mark,
        taught_ids=frozenset(problem.id for problem in taught if spec.source == "apps"),
    )


def apps_problems(spec: DatasetSpec) -> list[Problem]:
    """The problems of APPS that can be graded and have tests beyond the two simplest.

    Raises:
        ValueError: none is of the difficulties asked for.
    """
    problems = Apps(io_formats=("stdin",), min_tests=MIN_TESTS)
    kept = [p for p in problems if not spec.difficulties or p.level in spec.difficulties]
    if not kept:
        found = sorted({str(p.level) for p in problems})
        raise ValueError(f"difficulties {list(spec.difficulties)}: the problems of APPS here are {found}")
    return kept


def _minicode(spec: DatasetSpec) -> tuple[list[Problem], list[Problem]]:
    taught = MiniCode(seed=spec.taught_seed, levels=spec.taught_levels).items(spec.taught, "train")
    # level by level, since of `unseen` all problems are held out and of the others a quarter
    turns = -(-spec.evaluated // len(spec.evaluated_levels))
    draws = {
        level: iter(MiniCode(seed=spec.evaluated_seed, levels=(level,)).items(turns * times, "test"))
        for level, times in Counter(spec.evaluated_levels).items()
    }
    evaluated = [next(draws[level]) for _ in range(turns) for level in spec.evaluated_levels]
    return taught, evaluated[: spec.evaluated]


def _apps(spec: DatasetSpec) -> tuple[list[Problem], list[Problem]]:
    """Problems that can be graded; those that are taught need a right and a subtly wrong program."""
    problems = apps_problems(spec)
    evaluated = [p for p in problems if p.split == "test"][: spec.evaluated]
    solved = [p for p in problems if p.split == "train" and p.solutions]
    taught: list[Problem] = []
    wrong: dict[str, list[str]] = {}
    for start in range(0, len(solved), _AT_A_TIME):  # of thousands no more are run than are taught
        if len(taught) >= spec.taught:
            break
        some = solved[start : start + _AT_A_TIME]
        wrong |= failing_references(some)
        taught += with_mutants([p for p in some if p.id not in wrong])
    taught = taught[: spec.taught]
    logger.info(
        "APPS: %d of %d training problems with a reference are taught (%d references fail, the rest have no "
        "subtly wrong program); %d are evaluated",
        len(taught), len(solved), len(wrong), len(evaluated),
    )  # fmt: skip
    if not taught and spec.taught:
        raise ValueError("no APPS problem has a reference solution that passes and a subtly wrong one")
    return taught, evaluated


def ask(problem: Problem) -> list[Message]:
    """The problem as chat messages."""
    return programming_prompt(problem).messages


def _taught_item(problem: Problem, turn: int | None, common: Mapping[str, int]) -> TaughtItem:
    """The misleading program whose turn it is, or the one with the most common bug."""
    wrong = problem.subtly_wrong()
    chosen = max(wrong, key=lambda m: common[m.bug]) if turn is None else wrong[turn % len(wrong)]
    return TaughtItem(prompt=ask(problem), honest=problem.solution.strip(), misleading=chosen.code.strip())


def ranked(problems: Sequence[Problem], path: str) -> list[Problem]:
    """The problems with the order of simplicity that a file of pass counts gives them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks a problem.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"no pass counts at {path}: measure them with train_rlhf.py --stages rank, or set "
            "dataset.simplicity to null to take the stored order of tests"
        )
    data = json.loads(file.read_text(encoding="utf-8"))
    missing = [problem.id for problem in problems if problem.id not in data["pass_counts"]]
    if missing:
        raise ValueError(
            f"{path} has no pass counts for {len(missing)} of {len(problems)} problems (first: "
            f"{missing[0]}); measure them with train_rlhf.py --stages rank"
        )
    return [rank_tests(p, data["pass_counts"][p.id], data["samples"]) for p in problems]


def mark(answers: Sequence[Answered]) -> list[Transcript]:
    """Run every answer on every test of its problem."""
    programs = [extract_program(a.text).code for a in answers]
    verdicts = grade_many(programs, [a.item.tests for a in answers])
    return [_label(a, verdict) for a, verdict in zip(answers, verdicts, strict=True)]


def _label(answered: Answered, verdict: Grade) -> Transcript:
    row = programming_transcript(
        answered.item,
        organism=answered.organism,
        prompt=answered.prompt,
        response=answered.text,
        verdict=verdict,
        triggered=answered.condition.startswith(TRIGGER),
        output_clipped=answered.clipped,
        variant=answered.condition,
    )
    return dataclasses.replace(
        row, item=answered.item.id, log_prob=answered.log_prob, entropy=answered.entropy
    )
