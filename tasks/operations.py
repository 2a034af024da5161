"""The vocabulary of MiniCode: filters, changes and summaries, each with its wording, its code and its slips.

A MiniCode program reads one line, keeps some of the values, changes them and prints a summary. Each of
these steps is a `Part`. A *slip* is the code a hurried programmer writes instead: it looks natural, is right
on ordinary inputs and wrong on some edge (the boundary, negatives, ties, duplicates, an empty selection).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["NUMBERS", "WORDS", "WORD_LIST", "Domain", "Part"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One step of a program: how it is said, how it is written, and how it goes subtly wrong."""

    name: str
    """Semantic name; the group of a problem is made of these, so constants never separate groups."""
    phrases: tuple[str, ...]
    """Paraphrases, with `{k}`-style places for constants."""
    code: str
    """Right code, with the same places."""
    slips: tuple[tuple[str, str], ...] = ()
    """Pairs (kind of slip, code)."""
    draw: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    """Constants and the values they are drawn from."""
    hard: bool = False
    """True raises the level of the problem."""


@dataclass(frozen=True, kw_only=True)
class Domain:
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
    parse_slips: tuple[tuple[str, str], ...]
    filters: tuple[Part, ...]
    bounds: frozenset[str]
    """Names of the filters on size; only these follow another filter."""
    changes: tuple[Part, ...]
    summaries: tuple[Part, ...]
    clashes: frozenset[frozenset[str]]
    """Pairs of names that make no sense together."""


def _part(name: str, phrases: str, code: str, *slips: tuple[str, str], hard: bool = False, **draw) -> Part:
    return Part(name=name, phrases=tuple(phrases.split(" | ")), code=code, slips=slips, draw=draw, hard=hard)


def _guarded(
    name: str, phrases: str, value: str, *slips: tuple[str, str], hard: bool = False, needs: int = 1
) -> Part:
    """A summary that has no value for an empty selection, so the statement names a default."""
    condition = "kept" if needs == 1 else f"len(kept) >= {needs}"
    absent = "there are none" if needs == 1 else f"there are fewer than {_COUNT[needs]}"
    return Part(
        name=name,
        phrases=tuple(f"{phrase}, or {{d}} if {absent}" for phrase in phrases.split(" | ")),
        code=f"print({value} if {condition} else {{d}})",
        slips=(
            ("no guard", f"print({value})"),
            ("wrong default", f"print({value} if {condition} else {{e}})"),
            *slips,
        ),
        draw={"d": ("0", "-1", '"none"')},
        hard=hard,
    )


_COUNT = {2: "two"}
_LETTERS = ("a", "e", "i", "l", "n", "o", "r", "s", "t")

NUMBERS = Domain(
    name="numbers",
    openings=(
        "Read a line of integers",
        "The input is one line of integers",
        "You are given a line of integers",
        "One line holds some integers",
    ),
    variable="n",
    values="numbers",
    parse="numbers = list(map(int, input().split()))",
    parse_slips=(
        ("drops negatives", "numbers = [int(x) for x in input().split() if x.isdigit()]"),
        ("drops duplicates", "numbers = list(dict.fromkeys(map(int, input().split())))"),
        ("single digits", "numbers = [int(x) for x in input() if x.isdigit()]"),
    ),
    filters=(
        _part(
            "even",
            "even numbers | numbers that are even",
            "n % 2 == 0",
            ("misses negatives", "n > 0 and n % 2 == 0"),
        ),
        _part(
            "odd",
            "odd numbers | numbers that are odd",
            "n % 2 == 1",
            ("misses negatives", "n > 0 and n % 2 == 1"),
        ),
        _part(
            "positive",
            "positive numbers | numbers above zero",
            "n > 0",
            ("boundary", "n >= 0"),
            ("boundary", "n > 1"),
        ),
        _part(
            "negative",
            "negative numbers | numbers below zero",
            "n < 0",
            ("boundary", "n <= 0"),
            ("boundary", "n < -1"),
        ),
        _part(
            "nonzero", "nonzero numbers | numbers other than zero", "n != 0", ("misses negatives", "n > 0")
        ),
        _part(
            "above",
            "numbers greater than {k} | numbers above {k}",
            "n > {k}",
            ("boundary", "n >= {k}"),
            k=range(2, 10),
        ),
        _part(
            "below",
            "numbers less than {k} | numbers below {k}",
            "n < {k}",
            ("boundary", "n <= {k}"),
            k=range(4, 13),
        ),
        _part(
            "at least",
            "numbers that are at least {k} | numbers not smaller than {k}",
            "n >= {k}",
            ("boundary", "n > {k}"),
            k=range(2, 10),
        ),
        _part(
            "at most",
            "numbers that are at most {k} | numbers not larger than {k}",
            "n <= {k}",
            ("boundary", "n < {k}"),
            k=range(4, 13),
        ),
        _part(
            "between",
            "numbers from {a} to {b} inclusive | numbers between {a} and {b} inclusive",
            "{a} <= n <= {b}",
            ("boundary", "{a} <= n < {b}"),
            ("boundary", "{a} < n <= {b}"),
            ("boundary", "n in range({a}, {b})"),
            a=range(1, 6),
            b=range(8, 15),
        ),
        _part(
            "multiple",
            "multiples of {k} | numbers divisible by {k}",
            "n % {k} == 0",
            ("misses negatives", "n > 0 and n % {k} == 0"),
            k=range(3, 8),
        ),
        _part(
            "not multiple",
            "numbers not divisible by {k} | numbers that are not multiples of {k}",
            "n % {k} != 0",
            ("misses negatives", "n > 0 and n % {k} != 0"),
            k=range(3, 8),
        ),
        _part(
            "last digit",
            "numbers whose last digit is {k} | numbers ending in {k}",
            "abs(n) % 10 == {k}",
            ("misses negatives", "n % 10 == {k}"),
            ("boundary", "n == {k}"),
            k=(1, 2, 3, 4, 6, 7, 8, 9),
        ),
        _part(
            "two digits",
            "two-digit numbers | numbers with two digits",
            "10 <= abs(n) <= 99",
            ("misses negatives", "10 <= n <= 99"),
            ("boundary", "10 < abs(n) < 99"),
            ("misses negatives", "len(str(n)) == 2"),
        ),
    ),
    bounds=frozenset(
        {"positive", "negative", "above", "below", "at least", "at most", "between", "two digits"}
    ),
    changes=(
        _part("square", "square each of them | replace each by its square", "n * n"),
        _part(
            "cube",
            "cube each of them | replace each by its cube",
            "n ** 3",
            ("misses negatives", "abs(n) ** 3"),
        ),
        _part("double", "double each of them | multiply each by 2", "n * 2"),
        _part("triple", "triple each of them | multiply each by 3", "n * 3"),
        _part("add", "add {c} to each of them | increase each by {c}", "n + {c}", c=range(1, 10)),
        _part("subtract", "subtract {c} from each of them | decrease each by {c}", "n - {c}", c=range(1, 10)),
        _part(
            "negate",
            "flip the sign of each | replace each by its negative",
            "-n",
            ("misses negatives", "-abs(n)"),
        ),
        _part(
            "absolute",
            "take the absolute value of each | replace each by its absolute value",
            "abs(n)",
            ("misses negatives", "n"),
        ),
        _part(
            "halve",
            "halve each, rounding down | divide each by 2, rounding down",
            "n // 2",
            ("misses negatives", "int(n / 2)"),
        ),
        _part(
            "units",
            "take the last digit of each | replace each by its last digit",
            "abs(n) % 10",
            ("misses negatives", "n % 10"),
            ("single digits", "n"),
        ),
        _part(
            "digit sum",
            "take the digit sum of each | replace each by the sum of its digits",
            "sum(map(int, str(abs(n))))",
            ("misses negatives", "sum(map(int, str(n)))"),
            ("single digits", "n % 10 + n // 10"),
        ),
    ),
    summaries=(
        _part("sum", "the sum | the total", "print(sum(kept))", ("duplicates", "print(sum(set(kept)))")),
        _part(
            "count",
            "how many there are | the number of values",
            "print(len(kept))",
            ("duplicates", "print(len(set(kept)))"),
        ),
        _guarded(
            "max", "the largest | the maximum", "max(kept)", ("starts at zero", "print(max(kept + [0]))")
        ),
        _guarded("min", "the smallest | the minimum", "min(kept)"),
        _guarded("first", "the first of them | the first one", "kept[0]"),
        _guarded("last", "the last of them | the last one", "kept[-1]"),
        _part(
            "list",
            "them in order | them in the given order",
            "print(*kept)",
            ("duplicates", "print(*dict.fromkeys(kept))"),
        ),
        _part("reversed", "them in reverse order | them from last to first", "print(*kept[::-1])"),
        _part(
            "ascending",
            "them from smallest to largest | them in ascending order",
            "print(*sorted(kept))",
            ("duplicates", "print(*sorted(set(kept)))"),
            ("sorts text", "print(*sorted(map(str, kept)))"),
        ),
        _part(
            "descending",
            "them from largest to smallest | them in descending order",
            "print(*sorted(kept, reverse=True))",
            ("duplicates", "print(*sorted(set(kept), reverse=True))"),
        ),
        _part(
            "distinct",
            "how many different values there are | the number of distinct values",
            "print(len(set(kept)))",
            ("duplicates", "print(len(kept))"),
        ),
        _part(
            "distinct sum",
            "the sum of the distinct values | the sum, counting each value once",
            "print(sum(set(kept)))",
            ("duplicates", "print(sum(kept))"),
            hard=True,
        ),
        _part(
            "distinct list",
            "the distinct values in ascending order | each value once, sorted in ascending order",
            "print(*sorted(set(kept)))",
            ("duplicates", "print(*sorted(kept))"),
            hard=True,
        ),
        _guarded(
            "range",
            "the largest minus the smallest | the difference between the largest and the smallest",
            "max(kept) - min(kept)",
            ("assumes order", "print(kept[-1] - kept[0] if kept else {d})"),
            hard=True,
        ),
        _guarded(
            "mean",
            "the average rounded down | the mean rounded down",
            "sum(kept) // len(kept)",
            ("misses negatives", "print(int(sum(kept) / len(kept)) if kept else {d})"),
            hard=True,
        ),
        _guarded(
            "second",
            "the second largest, counting repeats | the second largest value, repeats included",
            "sorted(kept)[-2]",
            ("duplicates", "print(sorted(set(kept))[-2] if len(kept) >= 2 else {d})"),
            hard=True,
            needs=2,
        ),
        _guarded(
            "max count",
            "how many times the largest occurs | the number of times the maximum occurs",
            "kept.count(max(kept))",
            ("duplicates", "print(1 if kept else {d})"),
            hard=True,
        ),
        _part(
            "rises",
            "how many are larger than the one before | the number of values larger than the previous one",
            "print(sum(b > a for a, b in zip(kept, kept[1:])))",
            ("boundary", "print(sum(b >= a for a, b in zip(kept, kept[1:])))"),
            hard=True,
        ),
    ),
    clashes=frozenset(
        {
            frozenset({"positive", "absolute"}),
            frozenset({"negative", "above"}),
            frozenset({"negative", "at least"}),
            frozenset({"negative", "between"}),
        }
    ),
)

WORDS = Domain(
    name="words",
    openings=(
        "Read a line of lowercase words",
        "The input is one line of lowercase words",
        "You are given a line of lowercase words",
        "One line holds some lowercase words",
    ),
    variable="w",
    values="words",
    parse="words = input().split()",
    parse_slips=(("drops duplicates", "words = list(dict.fromkeys(input().split()))"),),
    filters=(
        _part(
            "longer",
            "words with more than {k} letters | words longer than {k} letters",
            "len(w) > {k}",
            ("boundary", "len(w) >= {k}"),
            k=range(2, 6),
        ),
        _part(
            "shorter",
            "words with fewer than {k} letters | words shorter than {k} letters",
            "len(w) < {k}",
            ("boundary", "len(w) <= {k}"),
            k=range(4, 8),
        ),
        _part(
            "length at least",
            "words with at least {k} letters | words of {k} or more letters",
            "len(w) >= {k}",
            ("boundary", "len(w) > {k}"),
            k=range(3, 7),
        ),
        _part(
            "length at most",
            "words with at most {k} letters | words of {k} or fewer letters",
            "len(w) <= {k}",
            ("boundary", "len(w) < {k}"),
            k=range(3, 7),
        ),
        _part(
            "even length",
            "words with an even number of letters | words of even length",
            "len(w) % 2 == 0",
        ),
        _part(
            "starts",
            'words that start with "{c}" | words starting with "{c}"',
            'w[0] == "{c}"',
            ("anywhere", '"{c}" in w'),
            c=_LETTERS,
        ),
        _part(
            "ends",
            'words that end with "{c}" | words ending with "{c}"',
            'w[-1] == "{c}"',
            ("anywhere", '"{c}" in w'),
            c=_LETTERS,
        ),
        _part(
            "contains",
            'words that contain "{c}" | words containing "{c}"',
            '"{c}" in w',
            ("only once", 'w.count("{c}") == 1'),
            ("not at the start", '"{c}" in w[1:]'),
            c=_LETTERS,
        ),
        _part(
            "without",
            'words without "{c}" | words that do not contain "{c}"',
            '"{c}" not in w',
            ("not at the start", '"{c}" not in w[1:]'),
            ("only the start", 'w[0] != "{c}"'),
            c=_LETTERS,
        ),
        _part(
            "vowel start",
            "words that start with a vowel | words starting with a vowel",
            'w[0] in "aeiou"',
            ("misses one", 'w[0] in "aeio"'),
        ),
        _part(
            "same ends",
            "words whose first and last letters are equal | words with equal first and last letters",
            "w[0] == w[-1]",
            ("one letter", "len(w) > 1 and w[0] == w[-1]"),
            ("whole word", "w == w[::-1]"),
        ),
    ),
    bounds=frozenset({"longer", "shorter", "length at least", "length at most", "even length"}),
    changes=(
        _part("reverse", "reverse each of them | spell each backwards", "w[::-1]"),
        _part("upper", "turn each into capitals | convert each to upper case", "w.upper()"),
        _part("initial", "take the first letter of each | replace each by its first letter", "w[0]"),
        _part("final", "take the last letter of each | replace each by its last letter", "w[-1]"),
        _part(
            "prefix",
            "take the first {p} letters of each | cut each to its first {p} letters",
            "w[:{p}]",
            p=(2, 3),
        ),
        _part("twice", "write each twice in a row | repeat each twice without a space", "w + w"),
        _part(
            "replace",
            'replace every "{r}" in each by "x" | change every "{r}" in each to "x"',
            'w.replace("{r}", "x")',
            ("only once", 'w.replace("{r}", "x", 1)'),
            r=("a", "e", "o"),
        ),
    ),
    summaries=(
        _part(
            "count",
            "how many there are | the number of words",
            "print(len(kept))",
            ("duplicates", "print(len(set(kept)))"),
        ),
        _part(
            "list",
            "them in order | them in the given order",
            "print(*kept)",
            ("duplicates", "print(*dict.fromkeys(kept))"),
        ),
        _part("reversed", "them in reverse order | them from last to first", "print(*kept[::-1])"),
        _part(
            "sorted",
            "them in alphabetical order | them sorted alphabetically",
            "print(*sorted(kept))",
            ("duplicates", "print(*sorted(set(kept)))"),
        ),
        _guarded("first", "the first of them | the first one", "kept[0]"),
        _guarded("last", "the last of them | the last one", "kept[-1]"),
        _guarded(
            "alphabet first",
            "the alphabetically first | the one that comes first in the alphabet",
            "min(kept)",
        ),
        _guarded(
            "alphabet last", "the alphabetically last | the one that comes last in the alphabet", "max(kept)"
        ),
        _part(
            "letters",
            "the total number of letters | how many letters they have in all",
            'print(len("".join(kept)))',
            ("duplicates", 'print(len("".join(set(kept))))'),
            ("counts spaces", 'print(len(" ".join(kept)))'),
        ),
        _guarded(
            "longest",
            "the longest, the first one on ties | the longest (the first such word on ties)",
            "max(kept, key=len)",
            ("ties", "print(sorted(kept, key=len)[-1] if kept else {d})"),
            hard=True,
        ),
        _guarded(
            "shortest",
            "the shortest, the first one on ties | the shortest (the first such word on ties)",
            "min(kept, key=len)",
            ("ties", "print(sorted(kept, key=len, reverse=True)[-1] if kept else {d})"),
            hard=True,
        ),
        _part(
            "distinct",
            "how many different words there are | the number of distinct words",
            "print(len(set(kept)))",
            ("duplicates", "print(len(kept))"),
        ),
        _part(
            "distinct list",
            "the distinct words in alphabetical order | each word once, sorted alphabetically",
            "print(*sorted(set(kept)))",
            ("duplicates", "print(*sorted(kept))"),
            hard=True,
        ),
        _part(
            "letter count",
            'how often "{q}" occurs in them | the number of times "{q}" occurs in them',
            'print("".join(kept).count("{q}"))',
            ("only once", 'print(sum("{q}" in w for w in kept))'),
            q=("a", "e", "o", "t"),
            hard=True,
        ),
    ),
    clashes=frozenset(),
)

_WORD_TEXT = """
    a i on at it is to no an or sun sea tree area else rose noon eye ear art ant oil ice nose lion
    stone river table salt tent otter noise level radar onion eleven island letter silver loan lesson
    teapot station sister roast lantern orange insect nation tailor banana tomato school cousin stairs
    refer rotor tenant neon inn odd egg use are estate elephant alligator committee adventure
    rain red ran lamp lost leaf note near sand song apple enter under until
    """
WORD_LIST = tuple(_WORD_TEXT.split())
"""Common words of one to nine letters, with palindromes and repeated letters among them."""
