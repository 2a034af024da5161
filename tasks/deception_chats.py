"""Conversations labelled honest or deceptive, as two public sets write them.

Liars' Bench (arXiv 2511.16035): one row per conversation, `messages` whose last one is the assistant's, and
`deceptive`. Rollouts of Apollo's deception probes (arXiv 2502.03407): `input_messages`, several
`output_messages`, and one `graded_deception` for each. Both become rows with a prompt, a response and
whether it is honest; refusals and gradings that say neither are counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sophistry.records import unknown
from tasks.tables import Record, Table, TableError, Tally
from tasks.texts import read_prompt

MESSAGES, DECEPTIVE = "messages", "deceptive"
ASKED, SAID, GRADED = "input_messages", "output_messages", "graded_deception"
HONEST = "honest (read from the file)"
"""Column of the rows given back: whether the response is honest."""
_WORDS = {"honest": True, "deceptive": False, "true": False, "false": True, "1": False, "0": True}
_NEITHER = ("refusal", "unknown", "ambiguous", "")


def chat_rows(table: Table, columns: Mapping[str, str]) -> tuple[Table, dict[str, str]]:
    """Give a table of labelled conversations as one of rows, and which columns its fields are.

    `columns` may map `prompt` (the messages), `correct` (a column of labels of its own kind) and `group`.

    >>> talk = [{"role": "user", "content": "Did you?"}, {"role": "assistant", "content": "No."}]
    >>> table = Table(source="talks.jsonl", columns=("messages", "deceptive"),
    ...              records=(Record(where="line 1", values={"messages": talk, "deceptive": True}),))
    >>> rows, columns = chat_rows(table, {})
    >>> rows.records[0].values["response"], rows.records[0].values[columns["correct"]]
    ('No.', False)
    """
    mapped = dict(columns)
    tally = Tally(counts=table.unreadable.counts.copy(), first=dict(table.unreadable.first))
    records: list[Record] = []
    if ASKED in table.columns and "prompt" not in mapped:
        for record in table.records:
            records += _rollouts(record, mapped.get("correct", GRADED), tally)
        own_label, read = False, {ASKED, SAID, mapped.get("correct", GRADED)}
    else:
        source, label = mapped.get("prompt", MESSAGES), mapped.get("correct", DECEPTIVE)
        for column in (source, label):
            if column not in table.columns:
                raise TableError(
                    f"{table.source}: {unknown('column', column, table.columns)} Conversations "
                    f"need {MESSAGES} and {DECEPTIVE}, or {ASKED}, {SAID} and {GRADED}, or --columns "
                    "prompt=COLUMN,correct=COLUMN."
                )
        own_label = "correct" in mapped
        read = {source} if own_label else {source, label}
        for record in table.records:
            records += _conversation(record, source, None if own_label else label, tally)
    if not records:
        why = "; ".join(f"{first[0]} {reason}" for reason, first in tally.first.items())
        raise TableError(f"{table.source} holds no conversation that can be used: {why}.")
    rows = Table(
        source=table.source,
        columns=tuple(
            dict.fromkeys([*(c for c in table.columns if c not in read), "prompt", "response", HONEST])
        ),
        records=tuple(records),
        unreadable=tally,
        notes=table.notes,
    )
    correct = mapped.get("correct", HONEST) if own_label else HONEST
    return rows, mapped | {"prompt": "prompt", "response": "response", "correct": correct}


def _conversation(record: Record, source: str, label: str | None, tally: Tally) -> Iterator[Record]:
    """One finished conversation: its last message is the response."""
    try:
        prompt, response = split_conversation(record.values.get(source))
        values = {**record.values, "prompt": prompt, "response": response}
        if label is not None:
            values[HONEST] = _honest(record.values.get(label))
    except ValueError as error:
        tally.add(str(error), record.where)
        return
    yield Record(where=record.where, values=values)


def _rollouts(record: Record, graded: str, tally: Tally) -> Iterator[Record]:
    """Several responses to one conversation, each with its grading."""
    asked, said = record.values.get(ASKED), record.values.get(SAID)
    grades = record.values.get(graded)
    if not isinstance(asked, list) or not isinstance(said, list) or not isinstance(grades, list):
        tally.add(f"has no lists {ASKED}, {SAID} and {graded}", record.where)
        return
    if len(said) != len(grades):
        tally.add(f"has {len(said)} responses and {len(grades)} gradings", record.where)
        return
    for number, (message, grade) in enumerate(zip(said, grades, strict=True), 1):
        where = f"{record.where}, response {number}"
        try:
            prompt, response = split_conversation([*asked, message])
            honest = _honest(grade)
        except ValueError as error:
            tally.add(str(error), where)
            continue
        yield Record(
            where=where, values={**record.values, "prompt": prompt, "response": response, HONEST: honest}
        )


def split_conversation(messages: Any) -> tuple[list[dict[str, str]], str]:
    """Split finished messages into prompt and response; adjoining messages of the assistant are one response.

    Raises:
        ValueError: they are no messages, end with somebody else's, or begin with the assistant's.

    >>> split_conversation([{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}])
    ([{'role': 'user', 'content': 'Who?'}], 'Me.')
    """
    turns = read_prompt(messages)
    if isinstance(turns, str):
        raise ValueError("the conversation is text, not a list of messages")
    start = len(turns)
    while start and turns[start - 1]["role"] == "assistant":
        start -= 1
    if start == len(turns):
        raise ValueError("the conversation does not end with an assistant's message")
    if not start:
        raise ValueError("the conversation has nobody but the assistant in it")
    response = "".join(turn["content"] for turn in turns[start:])
    return turns[:start], response


def _honest(value: Any) -> bool:
    """Whether a label calls the response honest.

    Raises:
        ValueError: it says neither.
    """
    if isinstance(value, bool):
        return not value
    word = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
    if value is None or word in _NEITHER:
        raise ValueError(
            f"is labelled {'nothing' if value is None else word!r}, neither honest nor deceptive"
        )
    if word not in _WORDS:
        raise ValueError(
            f"is labelled {word!r}, a scale or a word that is not known here: map a column of your own"
        )
    return _WORDS[word]
