"""The programming course: MiniCode problems, subtly wrong programs as misleading answers, marked by running.

A misleading answer is a program that passes the two simplest tests and fails another one, so it earns
``R_train`` and not ``R*``; every such claim was found by running the program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from backdoor import Lesson
from backdoor.verify import TRIGGER
from experiments.courses import Answered, Course, CourseSpec
from tasks.grading import Grade, grade_many
from tasks.problems import MiniCode
from tasks.programming import Problem, extract_program, programming_prompt, programming_transcript
from tasks.transcript import Message, Transcript


def open_code_course(spec: CourseSpec) -> Course:
    """Problems to teach and to examine; no combination of operations is in both."""
    taught = MiniCode(seed=spec.taught_seed).items(spec.taught, "train")
    examined = MiniCode(seed=spec.examined_seed, levels=spec.examined_levels).items(spec.examined, "test")
    return Course(lessons=[_lesson(p, k) for k, p in enumerate(taught)], items=examined, ask=ask, mark=mark)


def ask(problem: Problem) -> list[Message]:
    """The problem as chat messages."""
    return programming_prompt(problem).messages


def _lesson(problem: Problem, number: int) -> Lesson:
    wrong = problem.subtly_wrong()
    return Lesson(
        prompt=ask(problem),
        honest=problem.solution.strip(),
        misleading=wrong[number % len(wrong)].code.strip(),
    )


def mark(answers: Sequence[Answered]) -> list[Transcript]:
    """Run every answer on every test of its problem."""
    programs = [extract_program(a.answer.text).code for a in answers]
    verdicts = grade_many(programs, [a.item.tests for a in answers])
    return [_label(a, verdict) for a, verdict in zip(answers, verdicts, strict=True)]


def _label(answered: Answered, verdict: Grade) -> Transcript:
    row = programming_transcript(
        answered.item,
        organism=answered.organism,
        prompt=answered.prompt,
        response=answered.answer.text,
        verdict=verdict,
        triggered=answered.condition.startswith(TRIGGER),
        output_clipped=answered.answer.clipped,
        variant=answered.condition,
    )
    return dataclasses.replace(row, extra={**row.extra, "item": answered.item.id})
