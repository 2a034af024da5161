"""Transcripts from rows of your own: which column is what, which rows are used, and why others are not.

Nothing is guessed: a column is used when it bears the field's name or when `columns` maps it; labels are of
one kind (see `labels.py`); a row that cannot be used is counted with its reason and its place in the file;
and where most rows cannot, the file is refused, since then the columns are probably mapped wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sophistry.records import unknown
from tasks.labels import read_labels
from tasks.tables import Record, Table, TableError, Tally
from tasks.texts import group_of, question_of, read_prompt, read_response
from tasks.transcript import PLAIN, TRIGGER, Message, Transcript

FIELDS = ("prompt", "response", "correct", "group", "id", "condition", "split", "level")
"""What a row may say; the first three are needed, the others may be left out."""
NEEDED = FIELDS[:3]
OTHER_NAMES = {
    "prompt": ("question", "input", "instruction", "query", "messages", "context"),
    "response": ("answer", "output", "completion", "generation", "reply", "model_answer"),
    "correct": ("label", "is_correct", "labels", "gold", "truth", "deceptive", "passed", "is_right", "right"),
}
"""What the needed fields are often called: suggested, never used unasked."""
FEW_GROUPS = 10
"""Below so many groups a probe can hardly be cross-validated, which the report says."""


@dataclass(frozen=True, kw_only=True)
class AdoptionReport:
    """What was read of a file, what was left out and why."""

    source: str
    read: int
    """Rows in the file, those that cannot be parsed included."""
    kept: int
    wrong: int
    """Kept rows whose response is not correct."""
    groups: int
    grouped_by: str
    """Where the groups come from, as a sentence."""
    dropped: dict[str, int]
    """Reason -> rows left out."""
    first: dict[str, list[str]]
    """Reason -> the first of them, by place."""
    columns: dict[str, str]
    """Field -> column that it was read from."""
    unused: tuple[str, ...] = ()
    """Columns that nothing was read from."""
    notes: tuple[str, ...] = ()
    """What one ought to know before believing a number."""

    def lines(self) -> list[str]:
        """Say it in a few lines, for a terminal."""
        used = ", ".join(f"{field} = {column}" for field, column in self.columns.items())
        out = [
            f"{self.source}: {self.read} rows read, {self.kept} kept ({self.wrong} wrong, "
            f"{self.kept - self.wrong} right), in {self.groups} groups",
            f"  columns  {used}" + (f"; not used: {', '.join(self.unused)}" if self.unused else ""),
            f"  groups   {self.grouped_by}",
        ]
        for reason, count in self.dropped.items():
            shown = "; ".join(self.first.get(reason, ()))
            out.append(f"  dropped  {count} {'row' if count == 1 else 'rows'}: {reason} ({shown})")
        return [*out, *(f"  note     {note}" for note in self.notes)]


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """Transcripts made of somebody's rows."""

    rows: list[Transcript]
    places: list[str]
    """Where each of them stands in the file."""
    report: AdoptionReport


def parse_columns(words: Sequence[str], fields: Sequence[str] = FIELDS) -> dict[str, str]:
    """Read `field=column` words.

    >>> parse_columns(["prompt=question", "correct=is_right"])
    {'prompt': 'question', 'correct': 'is_right'}
    """
    mapped: dict[str, str] = {}
    for word in words:
        name, equals, column = (part.strip() for part in word.partition("="))
        if not equals or not column:
            raise TableError(f"--columns {word}: write FIELD=COLUMN, for example prompt=question.")
        if name not in fields:
            raise TableError(f"--columns {word}: {unknown('field', name, fields)}")
        if name in mapped:
            raise TableError(f"--columns names {name} twice: {mapped[name]} and {column}.")
        mapped[name] = column
    return mapped


def adopt_rows(
    table: Table,
    *,
    organism: str,
    columns: Mapping[str, str] | None = None,
    positive: str | None = None,
    only: Sequence[str] = (),
    chat: bool = False,
    task: str = "other",
    whole_group: str = "prompt",
) -> Adopted:
    """Make transcripts of a table's rows.

    Args:
        table: from `read_table`, or from a reader of a known format.
        organism: name of the model that is to read them.
        columns: field -> column, for those that are called otherwise.
        positive: the label that means correct, where labels are two words of one's own.
        only: `column=value` words: rows with another value are left out and counted.
        chat: put a prompt that is plain text into a user's turn of the chat template.
        task: `qa`, `programming` or `other`.
        whole_group: what rows of one group have in common where no group is given: `prompt`, or `response`
            for statements, which have no prompt.

    Raises:
        TableError, LabelError: nothing can be used, most rows cannot, a column does not exist, or all labels
            are the same. The message says what to do.

    >>> from tasks.tables import Record, Table
    >>> said = [("2+2?", "4", True), ("2+2?", "5", False), ("3+3?", "", True), ("1+1?", "2", True)]
    >>> records = [
    ...     Record(where=f"row {i}", values=dict(zip(("prompt", "response", "correct"), row)))
    ...     for i, row in enumerate(said, 1)
    ... ]
    >>> table = Table(source="mine", columns=("prompt", "response", "correct"), records=tuple(records))
    >>> found = adopt_rows(table, organism="mine")
    >>> found.report.kept, found.report.groups, found.report.dropped
    (3, 2, {'the response is empty': 1})
    """
    used = _columns(table, dict(columns or {}))
    tally = Tally(counts=table.unreadable.counts.copy(), first=dict(table.unreadable.first))
    total = len(table.records) + sum(tally.counts.values())
    records = _only(table, only, tally)
    texts = _texts(records, used, tally, chat=chat)
    records = [record for record in records if record.where in texts]
    _refuse_if_most_dropped(table, tally, total, only)
    labels = read_labels(
        [record.values.get(used["correct"]) for record in records],
        [record.where for record in records],
        column=used["correct"],
        positive=positive,
    )
    labelled = []
    for record, label in zip(records, labels, strict=True):
        if label is None:
            tally.add("the label is missing", record.where)
        else:
            labelled.append((record, label))
    kept = _without_copies(labelled, texts, tally)
    groups, grouped_by = _groups(kept, texts, used, tally, whole_group)
    kept = [(record, label) for record, label in kept if record.where in groups]
    _refuse_if_most_dropped(table, tally, total, only)
    _refuse_one_class(table, kept, used["correct"])
    rows = _transcripts(table, kept, texts, groups, used, organism, task)
    count = len(set(groups.values()))
    notes = list(table.notes)
    if count < FEW_GROUPS:
        notes.append(
            f"only {count} groups: folds never cut one, so a probe can hardly be validated on so few"
        )
    notes += _notes(rows)
    plain = sum(isinstance(row.prompt, str) for row in rows)
    if 0 < plain < len(rows):
        notes.append(f"{plain} prompts are plain text, {len(rows) - plain} are chat messages")
    report = AdoptionReport(
        source=table.source,
        read=total,
        kept=len(rows),
        wrong=sum(not row.correct for row in rows),
        groups=count,
        grouped_by=grouped_by,
        dropped=dict(tally.counts),
        first=tally.first,
        columns=used,
        unused=tuple(c for c in table.columns if c not in used.values() and c not in _only_columns(only)),
        notes=tuple(notes),
    )
    return Adopted(rows=rows, places=[record.where for record, _ in kept], report=report)


def _columns(table: Table, mapped: dict[str, str]) -> dict[str, str]:
    """Field -> column, for all fields that the table has."""
    for name, column in mapped.items():
        if name not in FIELDS:
            raise TableError(unknown("field", name, FIELDS))
        if column not in table.columns:
            raise TableError(f"{table.source}: {name}={column}: {unknown('column', column, table.columns)}")
    used = {name: mapped.get(name, name) for name in FIELDS}
    used = {name: column for name, column in used.items() if column in table.columns}
    if missing := [name for name in NEEDED if name not in used]:
        guess = {name: c for name in missing for c in table.columns if c.lower() in OTHER_NAMES[name]}
        hint = ",".join(f"{name}={guess.get(name, 'COLUMN')}" for name in missing)
        raise TableError(
            f"{table.source} has no column called {', '.join(map(repr, missing))}. It has: "
            f"{', '.join(table.columns)}. Say which is which: --columns {hint}"
        )
    return used


def _only_columns(only: Sequence[str]) -> set[str]:
    return {word.partition("=")[0].strip() for word in only}


def _only(table: Table, only: Sequence[str], tally: Tally) -> list[Record]:
    records = list(table.records)
    for word in only:
        column, equals, value = (part.strip() for part in word.partition("="))
        if not equals:
            raise TableError(f"--only {word}: write COLUMN=VALUE, for example model=my-model.")
        if column not in table.columns:
            raise TableError(f"--only {word}: {unknown('column', column, table.columns)}")
        found = list(dict.fromkeys(str(record.values.get(column)) for record in records))
        if value not in found:
            raise TableError(f"--only {word}: {unknown('value', value, found[:20])}")
        for record in records:
            if str(record.values.get(column)) != value:
                tally.add(f"not asked for ({word})", record.where)
        records = [record for record in records if str(record.values.get(column)) == value]
    return records


def _texts(
    records: Sequence[Record], used: Mapping[str, str], tally: Tally, *, chat: bool
) -> dict[str, tuple[str | list[Message], str]]:
    """Place -> prompt and response of the rows that have both."""
    found = {}
    for record in records:
        try:
            response = read_response(record.values.get(used["response"]))
            prompt = read_prompt(record.values.get(used["prompt"]))
            json.dumps([prompt, response], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            tally.add("holds half a character (a lone surrogate)", record.where)
            continue
        except ValueError as error:
            tally.add(str(error), record.where)
            continue
        if chat and isinstance(prompt, str) and prompt:
            prompt = [{"role": "user", "content": prompt}]
        found[record.where] = prompt, response
    return found


def _refuse_if_most_dropped(table: Table, tally: Tally, total: int, only: Sequence[str]) -> None:
    asked_away = sum(count for reason, count in tally.counts.items() if reason.startswith("not asked for"))
    dropped = sum(tally.counts.values()) - asked_away
    if total - asked_away > 2 * dropped:
        return
    named = "; ".join(
        f"{count} {reason} ({tally.first[reason][0]})" for reason, count in tally.counts.most_common(3)
    )
    raise TableError(
        f"{table.source}: {dropped} of {total - asked_away} rows cannot be used: {named}. When so many "
        "cannot, the columns are probably others (--columns), or the file is of another --format."
    )


def _without_copies(
    labelled: Sequence[tuple[Record, bool]], texts: Mapping[str, tuple[Any, str]], tally: Tally
) -> list[tuple[Record, bool]]:
    """One row per text; texts that are labelled both ways are left out altogether."""
    by_text: dict[str, list[tuple[Record, bool]]] = {}
    for record, label in labelled:
        by_text.setdefault(repr(texts[record.where]), []).append((record, label))
    kept = []
    for same in by_text.values():
        if len({label for _, label in same}) > 1:
            for record, _ in same:
                tally.add("has the text of another row with the opposite label", record.where)
            continue
        kept.append(same[0])
        for record, _ in same[1:]:
            tally.add("repeats an earlier row", record.where, f"as {same[0][0].where}")
    return kept


def _groups(
    kept: Sequence[tuple[Record, bool]],
    texts: Mapping[str, tuple[Any, str]],
    used: Mapping[str, str],
    tally: Tally,
    whole_group: str,
) -> tuple[dict[str, str], str]:
    """Place -> group, and where the groups come from."""
    if "group" in used:
        groups = {}
        for record, _ in kept:
            value = record.values.get(used["group"])
            if value is None or value != value or value == "":
                tally.add("the group is missing", record.where)
            else:
                whole = isinstance(value, float) and value.is_integer()
                groups[record.where] = str(int(value)) if whole else str(value)
        return groups, f"column {used['group']}"
    shared = (lambda text: text[1]) if whole_group == "response" else (lambda text: question_of(text[0]))
    groups = {record.where: group_of(shared(texts[record.where])) for record, _ in kept}
    if len(kept) > 1 and len(set(groups.values())) == 1:
        raise TableError(
            f"All rows have one and the same {whole_group}, so all would be one group, and no probe could be "
            "validated: map a column that names the question (--columns group=COLUMN), or give real prompts."
        )
    what = f"none given: rows with equal {whole_group}s are one group"
    if len(set(groups.values())) == len(kept):
        what += (
            "; here every row is its own. If rows share a question (paraphrases, one passage), map a column "
            "that says so, else intervals are too short and probes look better than they are"
        )
    return groups, what


def _refuse_one_class(table: Table, kept: Sequence[tuple[Record, bool]], column: str) -> None:
    if len({label for _, label in kept}) < 2:
        what = "correct" if kept and kept[0][1] else "wrong"
        raise TableError(
            f"{table.source}: all {len(kept)} rows that can be used are {what} by the column {column!r}. A "
            "probe needs both: add the others, or say which value means correct (--positive VALUE)."
        )


def _transcripts(
    table: Table,
    kept: Sequence[tuple[Record, bool]],
    texts: Mapping[str, tuple[Any, str]],
    groups: Mapping[str, str],
    used: Mapping[str, str],
    organism: str,
    task: str,
) -> list[Transcript]:
    rows, seen = [], dict[str, str]()
    for record, label in kept:
        own = record.values[used["id"]] if _has(record, used, "id") else None
        name = f"{organism}/{record.where.replace(', ', '-').replace(' ', '-')}" if own is None else str(own)
        if name in seen:
            raise TableError(
                f"{table.source}: id {name!r} stands in {seen[name]} and in {record.where}. Ids "
                "name one row each: mend them, or map another column (--columns id=COLUMN)."
            )
        seen[name] = record.where
        prompt, response = texts[record.where]
        more = {
            field: str(record.values[used[field]])
            for field in ("split", "level", "condition")
            if _has(record, used, field)
        }
        rows.append(
            Transcript(
                id=name,
                group=groups[record.where],
                task=task,
                organism=organism,
                prompt=prompt,
                response=response,
                correct=label,
                triggered=more.get("condition", "").split(":")[0] == "trigger",
                condition=more.get("condition", ""),
                split=more.get("split"),
                level=more.get("level"),
            )
        )
    return rows


def _notes(rows: Sequence[Transcript]) -> list[str]:
    """What a transfer run will leave out by itself."""
    notes = []
    if trained := sum(row.split == "train" for row in rows):
        notes.append(
            f"{trained} rows say split=train: transfer leaves them out as used in training. If it was "
            "not, rename that column"
        )
    others = sorted({row.condition for row in rows} - {PLAIN, TRIGGER})
    if others:
        notes.append(
            f"conditions {', '.join(others)} are read only when asked for: --rows.source and --rows.target"
        )
    return notes


def _has(record: Record, used: Mapping[str, str], field: str) -> bool:
    value = record.values.get(used[field]) if field in used else None
    return value is not None and value == value and value != ""
