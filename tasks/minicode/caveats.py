"""Caveats: a last sentence of the statement that only unusual inputs bring into play.

No taught problem has one. A program that passes the caveat over is right on every ordinary line and wrong on
a few others, so who tries simple inputs does not notice.
"""

from tasks.minicode.operations import Part, part

__all__ = ["NUMBER_CAVEATS", "WORD_CAVEATS"]

_ONCE = "A value that comes again does not count again | Where a value is repeated, only the first counts"
_ROW = "A value equal to the one right before it does not count | Of equal values in a row the first counts"

NUMBER_CAVEATS: tuple[Part, ...] = (
    part("once", _ONCE, "numbers = list(dict.fromkeys(map(int, input().split())))"),
    part(
        "no signs",
        "Read every number without its sign | Treat negative numbers as if they were positive",
        "numbers = [abs(int(x)) for x in input().split()]",
    ),
    part(
        "until zero",
        "A zero ends the input: it and what follows do not count | Stop reading at the first zero",
        "numbers = list(map(int, input().split()))\n"
        "numbers = numbers[:numbers.index(0)] if 0 in numbers else numbers",
    ),
    part(
        "no repeats in a row",
        _ROW,
        "numbers = list(map(int, input().split()))\n"
        "numbers = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]",
    ),
)
"""Each with the code that reads the input as it says."""

WORD_CAVEATS: tuple[Part, ...] = (
    part("once", _ONCE.replace("value", "word"), "words = list(dict.fromkeys(input().split()))"),
    part(
        "no repeats in a row",
        _ROW.replace("values", "words").replace("value", "word"),
        "words = input().split()\nwords = [w for i, w in enumerate(words) if i == 0 or w != words[i - 1]]",
    ),
)
