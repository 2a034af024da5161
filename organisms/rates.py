"""Shares with their intervals: right answers of an organism, and how they differ from another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

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
    ends = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Rate(estimate=successes / n, low=float(ends.low), high=float(ends.high), n=n)


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
    gains = np.asarray(first, float) - np.asarray(second, float)
    return paired_difference_of_shares(gains.tolist(), confidence=confidence)


def paired_difference_of_shares(gains: Sequence[float], *, confidence: float = 0.95) -> Rate:
    """Mean gain per item, each in -1..1 (the difference of two shares), with its interval.

    Bonett and Price's interval adds one item gained and one lost; so does this, and for gains of -1, 0 and 1
    it is theirs.

    Raises:
        ValueError: no items.
    """
    if not len(gains):
        raise ValueError("need at least one item that both sides answered")
    d = np.asarray(gains, float)
    n = len(d)
    z = float(norm.ppf(0.5 + confidence / 2))
    centre = float(d.sum()) / (n + 2)
    half = z * ((((d**2).sum() + 2) / (n + 2) - centre**2) / (n + 2)) ** 0.5
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Rate(estimate=float(d.mean()), low=float(low), high=float(high), n=n)


def clustered_share(marks: Mapping[str, Sequence[bool]]) -> Rate:
    """Share over all samples of all items; samples of one item are not taken for independent.

    The interval is Wilson's at the effective sample size, n over the design effect (Korn and Graubard 1998):
    the variance of the share between items against that of independent samples. It is at most n, which
    it is with one sample an item; where all samples are right or all wrong, the items are counted.

    Raises:
        ValueError: no marks.

    >>> clustered_share({"a": [True], "b": [False]}) == wilson(1, 2)
    True
    >>> print(clustered_share({"a": [True] * 4, "b": [False] * 4, "c": [True] * 4}))
    66.7% [15.9%, 95.5%] (n = 12)
    """
    sizes = np.array([len(item) for item in marks.values() if len(item)], float)
    right = np.array([sum(item) for item in marks.values() if len(item)], float)
    n = int(sizes.sum())
    if n == 0 or len(sizes) == n:
        return wilson(int(right.sum()), n)
    p, items = float(right.sum() / n), len(sizes)
    effective = float(items)  # nothing is known about the spread of p near 0 or 1, or with one item
    if items > 1 and 0 < p < 1:
        between = float(((right - p * sizes) ** 2).sum()) * items / (items - 1) / n**2
        effective = p * (1 - p) / between if between > 0 else n
    effective = min(float(n), max(1.0, effective))
    z = float(norm.ppf(0.975))
    centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * (p * (1 - p) / effective + z**2 / (4 * effective**2)) ** 0.5
    return Rate(estimate=p, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def by_item(rows: Iterable[Transcript]) -> dict[str, list[Transcript]]:
    """All samples of every item."""
    table: dict[str, list[Transcript]] = {}
    for row in rows:
        table.setdefault(row.item, []).append(row)
    return table


def accuracy(rows: Iterable[Transcript]) -> Rate:
    """Share of right answers among those that could be marked, all samples of an item counted.

    Raises:
        ValueError: none could be marked.
    """
    return clustered_share(
        {
            item: [row.correct for row in samples if row.correct is not None]
            for item, samples in by_item(rows).items()
        }
    )


def accuracy_change(rows: Iterable[Transcript], reference: Iterable[Transcript]) -> Rate:
    """Right answers of one organism minus those of another to the same questions, paired.

    Raises:
        ValueError: an item lacks its partner, or the partner was asked something else.
    """
    mine, theirs = by_item(rows), by_item(reference)
    check_partners(mine, theirs)
    return change(mine, theirs)


def check_partners(
    table: Mapping[str, Sequence[Transcript]], other: Mapping[str, Sequence[Transcript]]
) -> None:
    """Equal names are not enough: another dataset may give an item's name to another question.

    Raises:
        ValueError: an item lacks its partner, or the two (or two samples of one) were asked differently.
    """
    lacking = sorted(set(table) - set(other))
    if lacking:
        raise ValueError(f"{len(lacking)} item(s) have no partner to compare with, first {lacking[:3]}")
    apart = [
        item
        for item, samples in table.items()
        if any(row.prompt != other[item][0].prompt for row in (*samples, *other[item]))
    ]
    if apart:
        raise ValueError(
            f"{len(apart)} item(s) were asked differently of the two organisms, first {apart[0]}: evaluate "
            "both on the same dataset"
        )


def change(table: Mapping[str, Sequence[Transcript]], other: Mapping[str, Sequence[Transcript]]) -> Rate:
    """Right answers in one table minus those in another, paired by item; samples of an item are averaged."""
    pairs = [(_share(table[item]), _share(other[item])) for item in sorted(table)]
    return paired_difference_of_shares(
        [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
    )


def _share(samples: Sequence[Transcript]) -> float | None:
    marks = [row.correct for row in samples if row.correct is not None]
    return sum(marks) / len(marks) if marks else None
