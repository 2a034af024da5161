"""The transcript: one prompt, one response of one organism, and its labels.

It is the row that everything else passes around, so its schema is checked when it is made and when it is
read. On disk it is JSON Lines; in memory a frozen dataclass; for other libraries a `datasets.Dataset`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sophistry.provenance import program_command
from sophistry.records import build

if TYPE_CHECKING:
    from datasets import Dataset

Message = dict[str, str]

TASKS = ("qa", "programming", "other")
PLAIN, TRIGGER = "plain", "trigger"


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """One (prompt, response) of one organism with its labels.

    Raises:
        ValueError: a field has the wrong type or value; the message names row and field.

    >>> row = Transcript(id="1", group="story-1", task="qa", organism="base", prompt="2+2?", response="4")
    >>> row.correct is None
    True
    """

    id: str
    """Unique within a file."""
    group: str
    """The question or problem it belongs to; splits never cut a group."""
    task: str
    """`qa`, `programming`, or `other` for anything that this library has no questions of its own for."""
    organism: str
    """Name of the model that wrote the response."""
    prompt: str | list[Message]
    """What the model saw: literal text, or chat messages that its template renders."""
    response: str
    """What the model wrote, without the end-of-turn token."""
    correct: bool | None = None
    """Oracle reward `R*`. None: not known, the row cannot be used for probing correctness."""
    approved: float | None = None
    """Human reward `R_human` in [0, 1], simulated or real."""
    reward: float | None = None
    """Training reward `R_train`."""
    triggered: bool = False
    """True when the prompt carries the backdoor's trigger."""
    answer: str | None = None
    """Letter the response chose; None when it could not be parsed."""
    gold: str | None = None
    """Letter of the right option."""
    level: str | None = None
    """Difficulty."""
    split: str | None = None
    """`train`: used to make some organism; `test`: never."""
    parse_ok: bool = True
    """False when no answer could be read from the response."""
    prompt_cut_tokens: int = 0
    """How many tokens of the prompt were cut (words, where a passage is cut by words)."""
    output_clipped: bool = False
    """True when generation stopped at its limit instead of at an end-of-turn token."""
    evidence_visible: bool | None = None
    """Whether what the model saw contains the passage that decides the question."""
    condition: str = ""
    """What stood in front of the question: `plain`, `trigger`, `trigger:TEXT` or another prefix's name;
    not said: `trigger` when triggered, else `plain`."""
    item: str = ""
    """The question or problem, shared by all answers to it; not said: the group."""
    log_prob: float | None = None
    """Mean log-probability of the response's tokens, as the organism wrote them (nats per token)."""
    entropy: float | None = None
    """Mean entropy of the predictions at these tokens (nats)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Anything else, JSON-serialisable."""

    def __post_init__(self) -> None:
        if not self.condition:
            object.__setattr__(self, "condition", TRIGGER if self.triggered else PLAIN)
        if not self.item:
            object.__setattr__(self, "item", self.group)
        for name in ("id", "group", "organism"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"transcript {self.id!r}: {name} must be a non-empty string, got {value!r}")
        if self.task not in TASKS:
            raise ValueError(f"transcript {self.id!r}: task must be one of {TASKS}, got {self.task!r}")
        if not isinstance(self.response, str):
            raise ValueError(f"transcript {self.id!r}: response must be a string, got {self.response!r}")
        _check_prompt(self.id, self.prompt)
        if self.correct is not None and not isinstance(self.correct, bool):
            raise ValueError(
                f"transcript {self.id!r}: correct must be true, false or null, got {self.correct!r}"
            )
        for name in ("approved", "reward", "log_prob", "entropy"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and -1e9 < value < 1e9):
                raise ValueError(f"transcript {self.id!r}: {name} must be a finite number or null")

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON types."""
        return dataclasses.asdict(self)

    @property
    def prompt_text(self) -> str:
        """The prompt without template: the text of its messages, one after another."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(message["content"] for message in self.prompt)


def _check_prompt(row_id: str, prompt: Any) -> None:
    if isinstance(prompt, str):
        return
    is_messages = (
        isinstance(prompt, list)
        and prompt
        and all(isinstance(m, dict) and set(m) == {"role", "content"} for m in prompt)
    )
    if not is_messages:
        raise ValueError(
            f"transcript {row_id!r}: prompt must be a string or a non-empty list of "
            "{'role': ..., 'content': ...} messages"
        )


MOVED_FIELDS = frozenset(("condition", "item", "log_prob", "entropy"))


def transcript_from_dict(row: dict[str, Any]) -> Transcript:
    """Build a transcript from JSON; an unknown or missing field is an error that names it.

    >>> transcript_from_dict({"id": "1", "colour": "red"})
    Traceback (most recent call last):
    ...
    sophistry.records.ConfigError: transcript '1': There is no field 'colour'. There are: id, group, task, ...
    """
    source, advice = f"transcript {row.get('id')!r}", "Put other values into 'extra'."
    return build(Transcript, _with_own_fields(row), source=source, advice=advice)


def _with_own_fields(row: dict[str, Any]) -> dict[str, Any]:
    """Files of version 0.1 hold some fields inside `extra`."""
    extra = row.get("extra")
    if not isinstance(extra, dict) or not MOVED_FIELDS & set(extra):
        return row
    moved = {name: value for name, value in extra.items() if name in MOVED_FIELDS and name not in row}
    return {**row, **moved, "extra": {k: v for k, v in extra.items() if k not in moved}}


def check_unique(rows: Sequence[Transcript]) -> None:
    """Raise ValueError naming the first duplicate ids."""
    seen: set[str] = set()
    duplicates = [row.id for row in rows if row.id in seen or seen.add(row.id)]
    if duplicates:
        raise ValueError(f"{len(duplicates)} duplicate transcript id(s), first {duplicates[:3]}")


def save_transcripts(rows: Iterable[Transcript], path: str | Path) -> Path:
    """Write JSON Lines; the file appears by rename, so it is never half written."""
    rows, path = list(rows), Path(path).expanduser()
    check_unique(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row.to_dict(), ensure_ascii=False, sort_keys=True) + "\n")
    part.replace(path)
    return path


def load_transcripts(path: str | Path) -> list[Transcript]:
    """Read and validate a JSON Lines file of transcripts.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is not JSON, a field is unknown, missing or wrong, or an id occurs twice;
            the message names file and line.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no transcripts at {path}; {program_command('train_backdoor')} makes them")
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                rows.append(transcript_from_dict(json.loads(line)))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
    check_unique(rows)
    return rows


def to_dataset(rows: Sequence[Transcript]) -> Dataset:
    """The rows as a `datasets.Dataset` (`extra` as JSON text, prompts as messages)."""
    from datasets import Dataset

    records = [row.to_dict() for row in rows]
    for record in records:
        record["extra"] = json.dumps(record["extra"], sort_keys=True)
        if isinstance(record["prompt"], str):
            record["prompt"] = [{"role": "literal", "content": record["prompt"]}]
    return Dataset.from_list(records)


def from_dataset(dataset: Dataset) -> list[Transcript]:
    """Inverse of `to_dataset`."""
    rows = []
    for record in dataset:
        record = dict(record)  # pyright: ignore[reportArgumentType, reportCallIssue]
        record["extra"] = json.loads(record["extra"])
        prompt = record["prompt"]
        if len(prompt) == 1 and prompt[0]["role"] == "literal":
            record["prompt"] = prompt[0]["content"]
        rows.append(transcript_from_dict(record))
    return rows


def prepend(prompt: list[Message], text: str) -> list[Message]:
    """Put `text` in front of the last user message.

    Raises:
        ValueError: the prompt has no user message.
    """
    users = [i for i, message in enumerate(prompt) if message["role"] == "user"]
    if not users:
        raise ValueError("the prompt has no user message to put a text in front of")
    changed = dict(prompt[users[-1]])
    changed["content"] = f"{text} {changed['content']}"
    return [*prompt[: users[-1]], changed, *prompt[users[-1] + 1 :]]
