"""Shares with their intervals: right answers of an organism, and how they differ from another's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tasks.transcript import Transcript


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share with its 95 % interval."""

    estimate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.estimate:.1%} [{self.low:.1%}, {self.high:.1%}] (n = {self.n})"


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Wilson score interval of a share (Wilson 1927).

    >>> print(wilson(9, 10))
    90.0% [59.6%, 98.2%] (n = 10)

    Raises:
        ValueError: n is not positive, or successes are outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = float(norm.ppf(0.5 + confidence / 2))
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5
    return Rate(estimate=p, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def paired_difference(first: Sequence[bool], second: Sequence[bool], *, confidence: float = 0.95) -> Rate:
    """Difference of two shares on the same items, with the paired score-adjusted Wald interval.

    Formula: Bonett and Price (2012), which adds one to each discordant count and keeps its coverage for
    small n.

    >>> print(paired_difference([True] * 10, [True] * 10))
    0.0% [-23.1%, 23.1%] (n = 10)

    Raises:
        ValueError: different lengths or no items.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"need two equally long, non-empty lists, got {len(first)} and {len(second)}")
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    n = len(a)
    gained, lost = int((a & ~b).sum()), int((~a & b).sum())
    p1, p2 = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    z = float(norm.ppf(0.5 + confidence / 2))
    half = z * ((p1 + p2 - (p1 - p2) ** 2) / (n + 2)) ** 0.5
    centre = p1 - p2
    return Rate(estimate=(gained - lost) / n, low=max(-1.0, centre - half), high=min(1.0, centre + half), n=n)


def accuracy(rows: Iterable[Transcript]) -> Rate:
    """Share of right answers among those that could be marked.

    Raises:
        ValueError: none could be marked.
    """
    marks = [row.correct for row in rows if row.correct is not None]
    return wilson(sum(marks), len(marks))


def accuracychange(rows: Iterable[Transcript], reference: Iterable[Transcript]) -> Rate:
    """Right answers of one organism minus those of another to the same questions, paired.

    Raises:
        ValueError: an item lacks its partner, or the partner was asked something else.
    """
    mine, theirs = ({row.item: row for row in table} for table in (rows, reference))
    check_partners(mine, theirs)
    return change(mine, theirs)


def accuracy_change(rows: Iterable[Transcript], reference: Iterable[Transcript]) -> Rate:
    """Right answers of one organism minus those of another to the same questions, paired.

    Raises:
        ValueError: an item lacks its partner, or the partner was asked something else.
    """
    mine, theirs = ({row.item: row for row in table} for table in (rows, reference))
    check_partners(mine, theirs)
    return change(mine, theirs)


def check_partners(table: dict[str, Transcript], other: dict[str, Transcript]) -> None:
    """Equal names are not enough: another dataset may give an item's name to another question."""
    lacking = sorted(set(table) - set(other))
    if lacking:
        raise ValueError(f"{len(lacking)} item(s) have no partner to compare with, first {lacking[:3]}")
    apart = [item for item, row in table.items() if row.prompt != other[item].prompt]
    if apart:
        raise ValueError(
            f"{len(apart)} item(s) were asked differently of the two organisms, first {apart[0]}: evaluate "
            "both on the same dataset"
        )


def change(table: dict[str, Transcript], other: dict[str, Transcript]) -> Rate:
    """Right answers in one table minus those in another, paired by item."""
    pairs = [(table[item].correct, other[item].correct) for item in sorted(table)]
    known = [(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None]
    return paired_difference([mine for mine, _ in known], [theirs for _, theirs in known])
