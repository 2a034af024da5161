"""Labels as others write them: true or false, 0 or 1, or a pair of words. Never guessed, never mixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sophistry.records import unknown

PAIRS = {
    "true/false": {"true": True, "false": False},
    "correct/incorrect": {"correct": True, "incorrect": False},
    "yes/no": {"yes": True, "no": False},
    "1/0": {"1": True, "0": False},
}
"""Words that are understood, and what they say about an answer's being correct."""
OPPOSITES = (
    "deceptive",
    "lie",
    "lying",
    "wrong",
    "incorrect",
    "misleading",
    "dishonest",
    "false",
    "bad",
    "error",
)
"""A column called so means the opposite of correct: refused until somebody says which value is which."""


class LabelError(ValueError):
    """Labels that cannot be read as correct or not; the message names values, rows and what to say."""


def read_labels(
    values: Sequence[Any], places: Sequence[str], *, column: str = "correct", positive: str | None = None
) -> list[bool | None]:
    """Say for each value whether it means correct; None where there is no label.

    Args:
        values: booleans, 0 and 1, or texts of one of `PAIRS`; of one kind throughout.
        places: where each value stands, for messages.
        column: what the file calls them.
        positive: the value that means correct, where `values` are two others.

    Raises:
        LabelError: unknown or mixed values, or a column whose name says the opposite.

    >>> read_labels(["Yes", "no", ""], ["row 1", "row 2", "row 3"])
    [True, False, None]
    >>> read_labels(["honest", "lie"], ["row 1", "row 2"], positive="honest")
    [True, False]
    """
    words = [_word(value) for value in values]
    if positive is not None:
        return _by_name(words, column, positive)
    first = {
        word: place for word, place in zip(reversed(words), reversed(places), strict=True) if word is not None
    }
    if column.lower().removeprefix("is_") in OPPOSITES:
        some = sorted(first, key=str)[:2]
        raise LabelError(
            f"The column {column!r} seems to say that an answer is *not* correct. Say which of its "
            f"values means correct: --positive {' or '.join(some) or 'VALUE'}."
        )
    known = {word for pair in PAIRS.values() for word in pair}
    strange = [word for word in first if word not in known]
    if strange:
        named = ", ".join(f"{word!r} ({first[word]})" for word in strange[:3])
        raise LabelError(
            f"{column}: {named} {'is' if len(strange) == 1 else 'are'} none of {', '.join(PAIRS)}. If the "
            "column has two values, say which one means correct: --positive VALUE."
        )
    kinds: dict[str, str] = {}
    for value, word, place in zip(values, words, places, strict=True):
        if word is not None:
            kinds.setdefault(_kind(value, word), place)
    if len(kinds) > 1:
        named = ", ".join(f"{kind} (first in {place})" for kind, place in kinds.items())
        raise LabelError(f"{column} mixes labels of different kinds: {named}. Write them all in one way.")
    meaning = {word: means for pair in PAIRS.values() for word, means in pair.items()}
    return [None if word is None else meaning[word] for word in words]


def _by_name(words: list[str | None], column: str, positive: str) -> list[bool | None]:
    wanted = _word(positive)
    counts = Counter(word for word in words if word is not None)
    if wanted not in counts:
        raise LabelError(f"--positive {positive}: {unknown('value', positive, counts)} (column {column!r})")
    if len(counts) > 2:
        named = ", ".join(f"{word!r} ({count})" for word, count in counts.most_common(5))
        raise LabelError(
            f"{column} has {len(counts)} values: {named}. Labels need two; leave rows out with --only "
            f"{column}=VALUE, or write the file with two."
        )
    return [None if word is None else word == wanted for word in words]


def _word(value: Any) -> str | None:
    """A label as a word in lower case; None for a missing one."""
    if value is None or value != value:  # NaN is not equal to itself
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else str(value)
    if hasattr(value, "item"):
        return _word(value.item())
    text = str(value).strip().lower()
    return text if text not in ("", "nan", "none", "null", "na", "n/a") else None


def _kind(value: Any, word: str) -> str:
    pair = next(name for name, words in PAIRS.items() if word in words)
    written = "text" if isinstance(value, str) else "number" if not isinstance(value, bool) else "boolean"
    return f"{pair} as {written}"
