"""Is a program's answer the expected one? Strict on what counts, indifferent to layout.

Text is compared token by token with **equal token counts**: an answer that stops early or runs on is wrong.
A tolerance applies only where the expected token is a decimal number. Values of call-based problems arrive as
JSON and are compared as plain data, so no equality method of the program is ever called.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["RELATIVE_TOLERANCE", "same_text", "same_value"]

RELATIVE_TOLERANCE = 1e-6
_DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][+-]?\d+)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LONGEST_NUMBER = 400  # longer tokens are compared as text


def same_text(actual: str, expected: str) -> bool:
    r"""Whether a printed answer equals the expected one.

    >>> same_text("1 2\n3\n", "1 2 3"), same_text("1\n2", "1\n2\n3"), same_text("1\n2\n3\n4", "1\n2\n3")
    (True, False, False)
    >>> same_text("0.3333333", "0.33333333333"), same_text("0.33", "0.33333333333"), same_text("1e0", "1")
    (True, False, False)
    """
    got, wanted = actual.split(), expected.split()
    return len(got) == len(wanted) and all(map(_same_token, got, wanted))


def _same_token(actual: str, expected: str) -> bool:
    if expected.lower().lstrip("+-") == "nan":
        return False
    if actual == expected:
        return True
    if len(actual) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(expected) or not _NUMBER.fullmatch(actual):
        return False
    return _close(float(actual), float(expected))


def same_value(actual: Any, expected: Any) -> bool:
    """Whether a returned value (plain data from JSON) equals the expected one.

    Numbers compare as numbers, with a tolerance where the expected one is a float; true is not 1; lists
    compare element by element with equal lengths, dictionaries key by key (expected keys that are text match
    numbers of that text, as JSON has no other keys), sets element by element without a tolerance.

    >>> same_value([1, [2.0000001]], [1, [2.0]]), same_value([1, 2], [1, 2, 3]), same_value(True, 1)
    (True, False, False)
    """
    if isinstance(expected, list | tuple):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(map(same_value, actual, expected))
        )
    if isinstance(expected, set | frozenset):
        return isinstance(actual, set | frozenset) and _apart(actual) == _apart(expected)
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or len(actual) != len(expected):
            return False
        if all(isinstance(key, str) for key in expected):  # as a file of tests has them, whatever they were
            actual = {_as_text(key): value for key, value in actual.items()}
        return _apart(actual) == _apart(expected) and all(
            same_value(actual[key], expected[key]) for key in expected
        )
    if isinstance(expected, bool) or isinstance(actual, bool):
        return actual is expected
    if isinstance(expected, float) and isinstance(actual, int | float):
        return _close(actual, expected)
    if isinstance(expected, int):
        return isinstance(actual, int | float) and actual == expected
    if isinstance(expected, str):  # also a class of text, such as numpy's
        return isinstance(actual, str) and actual == str(expected)
    return type(actual) is type(expected) and actual == expected


def _apart(keys: Iterable[Any]) -> set[tuple[bool, Any]]:
    """Hashable values, with true kept apart from 1."""
    return {(isinstance(key, bool), key) for key in keys}


def _as_text(key: Any) -> Any:
    """A key as `json.dumps` writes it."""
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return repr(key) if isinstance(key, int | float) and not _long(key) else key


def _long(number: int | float) -> bool:
    return isinstance(number, int) and number.bit_length() > 4096  # has no decimal text


def _close(actual: int | float, expected: float) -> bool:
    try:
        return math.isclose(actual, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=RELATIVE_TOLERANCE**2)
    except OverflowError:  # an integer too large for a float
        return False
