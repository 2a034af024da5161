"""Test inputs of MiniCode: from ordinary lines to the edges where bugs show.

The order of the list is the assumed order of simplicity until `pi_init` has been counted
(`tasks.programming.rank_tests`): ordinary short lines first, edge cases last.
"""

import random
from collections.abc import Callable, Sequence

from tasks.minicode.word_operations import WORD_LIST

__all__ = ["N_TESTS", "input_lines"]

N_TESTS = 24
_NUMBER_POOLS = (range(1, 13), range(1, 31), range(-12, 13), range(-40, 41), range(-250, 251))

Value = int | str
_Line = tuple[str, Sequence[Value]]  # kind, values


def input_lines(
    input_kind: str,
    selects: Callable[..., bool],
    constants: Sequence[Value],
    rng: random.Random,
    *,
    empty_counts: bool,
) -> list[tuple[str, str]] | None:
    r"""`N_TESTS` different input lines, simple ones first, each with its kind.

    Args:
        input_kind: `"numbers"` or `"words"`.
        selects: does the program keep this value?
        constants: constants of its conditions; values around them are tried.
        rng: the generator that draws.
        empty_counts: the statement says what an empty selection gives. Without it such lines are left
            out: almost any program passes them, so they would pass for the simplest tests.

    Returns:
        Pairs (kind, line); None when too few values are selected to make varied lines.

    >>> lines = input_lines("numbers", lambda n: n > 4, [4], random.Random(0), empty_counts=True)
    >>> len(lines) == len({line for _, line in lines}) == N_TESTS
    True
    >>> ("empty line", "\n") in lines
    True
    """
    near = [value for value in constants if isinstance(value, int)]
    pools = _NUMBER_POOLS if input_kind == "numbers" else (WORD_LIST,)
    drawer = _Drawer(selects, pools, rng)
    if drawer.narrow:
        return None
    edges = _number_edges(drawer, near) if input_kind == "numbers" else _word_edges(drawer, near)
    lines: dict[str, str] = {}  # line -> kind; the first kind of a line counts
    for kind, values in [*_ordinary(drawer, constants), *edges]:
        if empty_counts or any(map(selects, values)):
            lines.setdefault(" ".join(map(str, values)), kind)
    everything = _NUMBER_POOLS[3] if input_kind == "numbers" else WORD_LIST
    while len(lines) < N_TESTS:
        values = rng.sample(everything, rng.randint(4, 9))
        if any(map(selects, values)):
            lines.setdefault(" ".join(map(str, values)), "mixed")
    return [(kind, f"{line}\n") for line, kind in lines.items()][:N_TESTS]


class _Drawer:
    """Draws lines with a wanted number of selected and rejected values."""

    def __init__(
        self, selects: Callable[..., bool], pools: Sequence[Sequence[Value]], rng: random.Random
    ) -> None:
        self.selects, self.rng = selects, rng
        for pool in pools:  # the plainest pool that holds enough selected values
            self.inside = [value for value in pool if selects(value)]
            self.outside = [value for value in pool if not selects(value)]
            if len(self.inside) >= 4:
                break
        self.narrow = len(self.inside) < 4

    def mixed(self, inside: int, outside: int, avoid: Sequence[Value] = ()) -> list[Value]:
        """Different values in random order: so many selected and (where they exist) so many rejected."""
        values = []
        for wanted, pool in ((inside, self.inside), (outside, self.outside)):
            pool = [value for value in pool if value not in avoid] or pool
            values += self.rng.sample(pool, min(wanted, len(pool)))
        self.rng.shuffle(values)
        return values

    def shuffled(self, values: Sequence[Value]) -> list[Value]:
        return self.rng.sample(list(values), len(values))


def _ordinary(drawer: _Drawer, constants: Sequence[Value]) -> list[_Line]:
    """Short lines of different values away from the boundary, so that most bugs do not show."""
    shapes = [("ordinary", 2, 1), ("ordinary", 2, 2), ("ordinary", 3, 1), ("ordinary", 2, 2)]
    shapes += [("longer", 4, 3), ("longer", 5, 3)]
    return [(kind, drawer.mixed(inside, outside, avoid=constants)) for kind, inside, outside in shapes]


def _edges(drawer: _Drawer) -> list[_Line]:
    """Edges of any list: repeats, one value, nothing selected, nothing at all."""
    rng, twice, one = drawer.rng, drawer.mixed(2, 1), drawer.mixed(1, 0)
    edges: list[_Line] = [
        ("repeats", drawer.shuffled(twice + twice)),
        ("repeats", [*drawer.mixed(3, 0)] * 2),
        ("all equal", one * 3),
        ("one value", drawer.mixed(1, 0)),
        ("one value", drawer.mixed(1, 0)),
    ]
    if drawer.outside:
        edges += [
            ("none selected", drawer.mixed(0, 1)),
            ("none selected", drawer.mixed(0, rng.randint(2, 4))),
        ]
        edges += [("one selected", drawer.mixed(1, 3))]
    return [*edges, ("empty line", [])]


def _number_edges(drawer: _Drawer, near: Sequence[int]) -> list[_Line]:
    rng = drawer.rng
    around: list[Value] = [base + step for base in near or [0, 10] for step in (-1, 0, 1)]
    negatives: list[Value] = [rng.randint(-40, -1) for _ in range(4)]
    large = [rng.randint(100, 9999) for _ in range(4)]
    return [
        ("signs", [rng.randint(-20, 20) for _ in range(5)]),
        ("signs", [rng.randint(-60, 60) for _ in range(7)]),
        *_edges(drawer),
        ("boundary", drawer.shuffled(around)),
        ("boundary", drawer.shuffled([*around, *(-value for value in near or [9, 99, 100])])),
        ("negatives", negatives),
        ("negatives", [*drawer.shuffled(negatives), negatives[0]]),
        ("zeros", drawer.shuffled([0, 0, *drawer.mixed(1, 1)])),
        ("large", [*large, -large[0]]),
        ("large", drawer.shuffled([*large, *drawer.mixed(2, 1)])),
        ("long", [rng.randint(-50, 50) for _ in range(20)]),
    ]


def _word_edges(drawer: _Drawer, near: Sequence[int]) -> list[_Line]:
    rng = drawer.rng

    def of_length(words: Sequence[Value], length: int) -> list[Value]:
        return drawer.shuffled([word for word in words if len(str(word)) == length])

    around = [word for word in WORD_LIST if any(abs(len(word) - length) <= 1 for length in near or [2])]
    return [
        ("ties", of_length(drawer.inside, len(str(rng.choice(drawer.inside))))[:4]),
        ("ties", of_length(WORD_LIST, rng.choice((4, 5)))[:5]),
        *_edges(drawer),
        ("boundary", rng.sample(around, 5)),
        ("boundary", rng.sample(around, 6)),
        ("short words", rng.sample([word for word in WORD_LIST if len(word) <= 2], 4)),
        ("palindromes", rng.sample([word for word in WORD_LIST if word == word[::-1]], 5)),
        ("long", rng.choices(WORD_LIST, k=18)),
    ]
