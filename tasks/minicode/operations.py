"""What the steps of a MiniCode program are made of: wording, code, and the bugs of a hurried programmer.

A MiniCode program reads one line, keeps some of the values, changes them and prints a summary. Each of
these steps is a `Part`. A *bug* is the code a hurried programmer writes instead: it looks natural, is right
on ordinary inputs and wrong on some edge (the boundary, negatives, ties, duplicates, an empty selection).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["InputKind", "Part", "bound", "guarded", "part"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One step of a program: how it is said, how it is written, and how it goes subtly wrong."""

    name: str
    """Semantic name; the group of a problem is made of these, so constants never separate groups."""
    phrases: tuple[str, ...]
    """Paraphrases, with `{k}`-style places for constants."""
    code: str
    """Right code, with the same places."""
    bugs: tuple[tuple[str, str], ...] = ()
    """Pairs (kind of bug, code)."""
    draw: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    """Constants and the values they are drawn from."""
    hard: bool = False
    """True raises the level of the problem."""
    unseen: bool = False
    """True keeps the step out of everything that is taught; only problems of the level `unseen` have one."""


@dataclass(frozen=True, kw_only=True)
class InputKind:
    """One kind of input with the parts that apply to it."""

    name: str
    openings: tuple[str, ...]
    """Sentences that describe the input."""
    variable: str
    """Name of one value in a comprehension."""
    values: str
    """Name of the list of all values."""
    parse: str
    """Right code that reads the input."""
    parse_bugs: tuple[tuple[str, str], ...]
    filters: tuple[Part, ...]
    bounds: frozenset[str]
    """Names of the filters on size; only these follow another filter."""
    changes: tuple[Part, ...]
    summaries: tuple[Part, ...]
    clashes: frozenset[frozenset[str]]
    """Pairs of names that make no sense together."""
    caveats: tuple[Part, ...]
    """Last sentences that only unusual inputs bring into play, with code that reads the input as they say."""


def part(
    name: str,
    phrases: str,
    code: str,
    *bugs: tuple[str, str],
    hard: bool = False,
    unseen: bool = False,
    **draw: Sequence[int | str],
) -> Part:
    """A part with paraphrases separated by bars and constants as keywords.

    >>> part("above", "numbers above {k}", "n > {k}", ("boundary", "n >= {k}"), k=range(2, 5)).draw
    {'k': range(2, 5)}
    """
    return Part(
        name=name,
        phrases=tuple(phrases.split(" | ")),
        code=code,
        bugs=bugs,
        draw=draw,
        hard=hard,
        unseen=unseen,
    )


def bound(name: str, phrases: str, code: str, wrong: str, k: Sequence[int], *, unseen: bool = False) -> Part:
    """A filter on size with a constant `k`; its bug is on the boundary.

    >>> bound("above", "numbers above {k}", "n > {k}", "n >= {k}", range(2, 5)).bugs
    (('boundary', 'n >= {k}'),)
    """
    return part(name, phrases, code, ("boundary", wrong), unseen=unseen, k=k)


def guarded(
    name: str,
    phrases: str,
    value: str,
    *bugs: tuple[str, str],
    hard: bool = False,
    unseen: bool = False,
    pair: bool = False,
) -> Part:
    """A summary that has no value when too few values are kept, so its statement names a default.

    Args:
        name: semantic name.
        phrases: paraphrases, separated by bars.
        value: the expression to print.
        bugs: further bugs; printing without the guard, and another default, are always among them.
        hard: raises the level.
        unseen: keeps it out of what is taught.
        pair: it needs two values, not one.

    >>> guarded("max", "the largest", "max(kept)").code
    'print(max(kept) if kept else {d})'
    """
    condition, absent = ("len(kept) >= 2", "fewer than two") if pair else ("kept", "none")
    return Part(
        name=name,
        phrases=tuple(f"{phrase}, or {{d}} if there are {absent}" for phrase in phrases.split(" | ")),
        code=f"print({value} if {condition} else {{d}})",
        bugs=(
            ("no guard", f"print({value})"),
            ("wrong default", f"print({value} if {condition} else {{e}})"),
            *bugs,
        ),
        draw={"d": ("0", "-1", '"none"')},
        hard=hard,
        unseen=unseen,
    )
