"""What a row's prompt and response may be, and which rows ask the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tasks.transcript import Message

ROLES = ("system", "user", "assistant", "tool")
"""Whose a message may be."""


def read_response(value: Any) -> str:
    """Take a response: text with something in it.

    Raises:
        ValueError: it is anything else; the message says what, for a count.
    """
    if value is None or value != value:
        raise ValueError("the response is missing")
    if not isinstance(value, str):
        raise ValueError(f"the response is {_kind(value)}, not text")
    if not value.strip():
        raise ValueError("the response is empty")
    return value


def read_prompt(value: Any) -> str | list[Message]:
    """Take a prompt as text, or as chat messages; those may be JSON inside a cell of a CSV.

    Raises:
        ValueError: it is neither.

    >>> read_prompt('[{"role": "user", "content": "Who?"}]')
    [{'role': 'user', 'content': 'Who?'}]
    """
    if value is None or (isinstance(value, float) and value != value):
        raise ValueError("the prompt is missing")
    if isinstance(value, str):
        if not value.lstrip().startswith("[{"):
            return value
        try:
            value = json.loads(value)
        except ValueError:
            return value  # text that begins like a list, a program perhaps
    if not isinstance(value, list | tuple):
        raise ValueError(f"the prompt is {_kind(value)}, neither text nor a list of messages")
    messages = [_message(message) for message in value]
    if not messages:
        raise ValueError("the prompt is an empty list of messages")
    return messages


def _message(message: Any) -> Message:
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise ValueError('the prompt is a list, but not of messages {"role": ..., "content": ...}')
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise ValueError(f"a message has the role {role!r}, which is none of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"the content of a message is {_kind(content)}, not text")
    return {"role": role, "content": content}


def _kind(value: Any) -> str:
    names = {list: "a list", tuple: "a list", dict: "an object", bool: "true or false", int: "a number"}
    return names.get(type(value), "a number" if isinstance(value, float) else f"a {type(value).__name__}")


def question_of(prompt: str | list[Message]) -> str:
    """What a row asks, by which rows are grouped: the prompt without system messages.

    Rows that differ in the system message alone (be honest, lie) ask the same.

    >>> question_of([{"role": "system", "content": "Lie."}, {"role": "user", "content": "Who?"}])
    'user: Who?'
    """
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{m['role']}: {m['content']}" for m in prompt if m["role"] != "system")


def group_of(text: str) -> str:
    """Name the group of all rows with this text, the same in every file."""
    return f"same-{hashlib.sha256(text.strip().encode()).hexdigest()[:16]}"
