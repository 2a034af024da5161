"""Judgements of real people, read from `judgements.jsonl` and given out through the evaluators' interface.

One line is one judgement::

    {"evaluator": "r17", "item": "miniqa-5-long-00003-q0", "view": "9f2c...", "response": "We read: ...",
     "confidence": 75, "seconds": 141.2, "looked_at": [[0, 55]], "inputs": [], "reason": "it fits"}

`evaluator` (a salted id, never a name), `item`, `view` (`view_key` of what was shown),
`response` (the text judged, word for word) and `confidence` (0, 25, 50, 75, 100) are required;
`seconds`, `looked_at` (stretches of words), `inputs` (what a program was run on) and `reason` are
optional. One
evaluator judges a response once; the file says nothing about who wrote it or whether it is right.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.evaluators.evaluator import Judgement, View
from rlhf.evaluators.pool import Pool

_REQUIRED = frozenset({"evaluator", "item", "view", "response", "confidence"})
_OPTIONAL = frozenset({"seconds", "looked_at", "inputs", "reason"})


@dataclass(frozen=True, kw_only=True)
class HumanJudgement:
    """A judgement with what it is about."""

    item: str
    view: str
    """Key of what was shown (`view_key`)."""
    response: str
    judgement: Judgement


def view_key(view: View) -> str:
    """Names what an evaluator was shown, by its content.

    >>> from rlhf.evaluators.evaluator import StoryView
    >>> len(view_key(StoryView(passage="It rained.", question="Who?", options=("Ida", "Tom"))))
    16
    """
    content = {"kind": type(view).__name__, **dataclasses.asdict(view)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_judgements(path: str | Path) -> list[HumanJudgement]:
    """Read and check `judgements.jsonl`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no judgement, or a second judgement of one response by one person; the
            message names file and line.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no judgements at {path}")
    rows: list[HumanJudgement] = []
    seen: set[tuple[str, str, str]] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = _parse(json.loads(line))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        key = (row.judgement.evaluator, row.view, row.response)
        if key in seen:
            raise ValueError(f"{path}:{number}: {key[0]!r} has judged this response to {row.item!r} before")
        seen.add(key)
        rows.append(row)
    return rows


def _parse(row: Mapping[str, Any]) -> HumanJudgement:
    if unknown := sorted(set(row) - _REQUIRED - _OPTIONAL):
        raise ValueError(f"unknown field(s) {unknown}; a judgement has {sorted(_REQUIRED | _OPTIONAL)}")
    if missing := sorted(_REQUIRED - set(row)):
        raise ValueError(f"missing field(s) {missing}")
    for name in sorted(_REQUIRED - {"confidence"}):
        if not isinstance(row[name], str) or (name != "response" and not row[name]):
            raise ValueError(f"{name} must be a non-empty string, got {row[name]!r}")
    judgement = Judgement(
        evaluator=row["evaluator"],
        confidence=row["confidence"],
        seconds=row.get("seconds", 0.0),
        looked_at=tuple((int(first), int(end)) for first, end in row.get("looked_at", ())),
        inputs=tuple(row.get("inputs", ())),
        reason=row.get("reason", ""),
    )
    return HumanJudgement(item=row["item"], view=row["view"], response=row["response"], judgement=judgement)


@dataclass(frozen=True, kw_only=True)
class HumanEvaluator:
    """One person's judgements, looked up."""

    name: str
    judgements: Mapping[tuple[str, str], Judgement]
    """By view key and response."""

    def judge(self, view: View, response: str) -> Judgement:
        """What this person said.

        Raises:
            KeyError: this person has not judged this response; nothing is made up.
        """
        found = self.judgements.get((view_key(view), response))
        if found is None:
            raise KeyError(
                f"evaluator {self.name!r} has not judged {response[:60]!r}; ask for what was judged"
            )
        return found


def human_pool(rows: Sequence[HumanJudgement]) -> Pool:
    """The people in a file, as a pool.

    Raises:
        ValueError: no judgements.
    """
    by_person: dict[str, dict[tuple[str, str], Judgement]] = defaultdict(dict)
    for row in rows:
        by_person[row.judgement.evaluator][row.view, row.response] = row.judgement
    return Pool(tuple(HumanEvaluator(name=name, judgements=found) for name, found in by_person.items()))
