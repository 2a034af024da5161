"""Which tests are simple for `pi_init`: sample programs, count who passes which test, save the counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from organisms.generate import SamplingSpec, answer
from sophistry.files import write_atomic
from tasks.grading import grade_many
from tasks.programming import Problem, extract_program
from tasks.programming_dataset import ask, ranked


def measure_simplicity(
    model: Any,
    tokenizer: Any,
    problems: Sequence[Problem],
    *,
    samples: int,
    sampling: SamplingSpec,
    path: Path,
) -> list[Problem]:
    """Let `pi_init` solve every problem several times, count who passes which test, and save the counts.

    Args:
        model: `pi_init`.
        tokenizer: its tokenizer.
        problems: problems to rank.
        samples: programs per problem.
        sampling: how they are drawn; a temperature above 0, or all samples of a problem are the same.
        path: JSON file that receives `{"samples", "pass_counts": {problem id: [per test]}}`.

    Returns:
        The problems with their tests ranked.

    Raises:
        ValueError: a temperature of 0 with more than one sample.
    """
    if samples > 1 and sampling.temperature <= 0:
        raise ValueError("several samples of one problem need a temperature above 0")
    asked = [problem for problem in problems for _ in range(samples)]
    answers = answer(model, tokenizer, [ask(problem) for problem in asked], sampling)
    programs = [extract_program(a.text).code for a in answers]
    grades = grade_many(programs, [problem.tests for problem in asked])
    counts: dict[str, list[int]] = {}
    for problem, verdict in zip(asked, grades, strict=True):
        count = counts.setdefault(problem.id, [0] * len(problem.tests))
        counts[problem.id] = [n + (passed is True) for n, passed in zip(count, verdict.passes, strict=True)]
    lines = [f"  {json.dumps(name)}: {json.dumps(count)}" for name, count in counts.items()]
    body = ",\n".join(lines)
    write_atomic(path, f'{{"samples": {samples}, "pass_counts": {{\n{body}\n}}}}\n')
    return ranked(problems, str(path))
