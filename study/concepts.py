"""Concepts that every model of a task surely represents: labels for the positive control of a transfer.

They have nothing to do with right or wrong, and are read off the prompt or the answer itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tasks.transcript import Transcript

__all__ = ["CONCEPTS", "concepts_of"]


def _asks_who(row: Transcript) -> bool | None:
    question = _last_message(row).rpartition("Question:")[2].split()
    return question[0].lower() == "who" if question else None


def _answers_a(row: Transcript) -> bool | None:
    return None if row.answer is None else row.answer == "A"


def _reads_integers(row: Transcript) -> bool:
    return re.search(r"\bint\b", row.response) is not None  # map(int, ...) or int(...), but not print(...)


def _last_message(row: Transcript) -> str:
    return row.prompt if isinstance(row.prompt, str) else str(row.prompt[-1]["content"])


CONCEPTS: dict[str, dict[str, Callable[[Transcript], bool | None]]] = {
    "qa": {"answers A": _answers_a, "asks who": _asks_who},
    "programming": {"reads integers": _reads_integers},
}
"""Task -> name of a concept -> whether a row has it; None where that cannot be said."""


def concepts_of(rows: Sequence[Transcript]) -> dict[str, list[int]]:
    """Give the concepts that can be told of every row, 0 or 1 per row.

    >>> row = Transcript(
    ...     id="1", task="programming", prompt="Add.", response="print(int(input()) + 1)", organism="toy",
    ...     triggered=False, group="1", split="test", correct=True, level="easy",
    ... )
    >>> concepts_of([row])
    {'reads integers': [1]}
    """
    tasks = {row.task for row in rows}
    known = CONCEPTS.get(tasks.pop(), {}) if len(tasks) == 1 else {}
    found = {name: [has(row) for row in rows] for name, has in known.items()}
    complete = {name: values for name, values in found.items() if None not in values}
    return {name: [int(bool(value)) for value in values] for name, values in complete.items()}
