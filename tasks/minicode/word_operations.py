"""MiniCode's steps on a line of lowercase words, and the words its tests use."""

from tasks.minicode.caveats import WORD_CAVEATS
from tasks.minicode.operations import InputKind, bound, guarded, part

__all__ = ["WORDS", "WORD_LIST"]

_LETTERS = ("a", "e", "i", "l", "n", "o", "r", "s", "t")

WORDS = InputKind(
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
    parse_bugs=(("drops duplicates", "words = list(dict.fromkeys(input().split()))"),),
    filters=(
        bound(
            "longer",
            "words with more than {k} letters | words longer than {k} letters",
            "len(w) > {k}",
            "len(w) >= {k}",
            range(2, 6),
        ),
        bound(
            "shorter",
            "words with fewer than {k} letters | words shorter than {k} letters",
            "len(w) < {k}",
            "len(w) <= {k}",
            range(4, 8),
        ),
        bound(
            "length at least",
            "words with at least {k} letters | words of {k} or more letters",
            "len(w) >= {k}",
            "len(w) > {k}",
            range(3, 7),
        ),
        bound(
            "length at most",
            "words with at most {k} letters | words of {k} or fewer letters",
            "len(w) <= {k}",
            "len(w) < {k}",
            range(3, 7),
        ),
        part("even length", "words with an even number of letters | words of even length", "len(w) % 2 == 0"),
        part(
            "starts",
            'words that start with "{c}" | words starting with "{c}"',
            'w[0] == "{c}"',
            ("anywhere", '"{c}" in w'),
            c=_LETTERS,
        ),
        part(
            "ends",
            'words that end with "{c}" | words ending with "{c}"',
            'w[-1] == "{c}"',
            ("anywhere", '"{c}" in w'),
            c=_LETTERS,
        ),
        part(
            "contains",
            'words that contain "{c}" | words containing "{c}"',
            '"{c}" in w',
            ("only once", 'w.count("{c}") == 1'),
            ("not at the start", '"{c}" in w[1:]'),
            c=_LETTERS,
        ),
        part(
            "without",
            'words without "{c}" | words that do not contain "{c}"',
            '"{c}" not in w',
            ("not at the start", '"{c}" not in w[1:]'),
            ("only the start", 'w[0] != "{c}"'),
            c=_LETTERS,
        ),
        part(
            "vowel start",
            "words that start with a vowel | words starting with a vowel",
            'w[0] in "aeiou"',
            ("misses one", 'w[0] in "aeio"'),
        ),
        part(
            "same ends",
            "words whose first and last letters are equal | words with equal first and last letters",
            "w[0] == w[-1]",
            ("one letter", "len(w) > 1 and w[0] == w[-1]"),
            ("whole word", "w == w[::-1]"),
        ),
        bound(
            "exact length",
            "words of exactly {k} letters | words with exactly {k} letters",
            "len(w) == {k}",
            "len(w) >= {k}",
            range(3, 7),
            unseen=True,
        ),
        part(
            "odd length",
            "words with an odd number of letters | words of odd length",
            "len(w) % 2 == 1",
            unseen=True,
        ),
        part(
            "palindrome",
            "words that read the same backwards | palindromes",
            "w == w[::-1]",
            ("only the ends", "w[0] == w[-1]"),
            unseen=True,
        ),
        part(
            "vowel end",
            "words that end with a vowel | words ending with a vowel",
            'w[-1] in "aeiou"',
            ("misses one", 'w[-1] in "aeio"'),
            unseen=True,
        ),
        part(
            "repeated letter",
            "words with a repeated letter | words in which some letter occurs more than once",
            "len(set(w)) < len(w)",
            ("only neighbours", "any(a == b for a, b in zip(w, w[1:]))"),
            unseen=True,
        ),
    ),
    bounds=frozenset({"longer", "shorter", "length at least", "length at most", "even length"}),
    changes=(
        part("reverse", "reverse each of them | spell each backwards", "w[::-1]"),
        part("upper", "turn each into capitals | convert each to upper case", "w.upper()"),
        part("initial", "take the first letter of each | replace each by its first letter", "w[0]"),
        part("final", "take the last letter of each | replace each by its last letter", "w[-1]"),
        part(
            "prefix",
            "take the first {p} letters of each | cut each to its first {p} letters",
            "w[:{p}]",
            p=(2, 3),
        ),
        part("twice", "write each twice in a row | repeat each twice without a space", "w + w"),
        part(
            "replace",
            'replace every "{r}" in each by "x" | change every "{r}" in each to "x"',
            'w.replace("{r}", "x")',
            ("only once", 'w.replace("{r}", "x", 1)'),
            r=("a", "e", "o"),
        ),
        part(
            "behead", "drop the first letter of each | remove the first letter of each", "w[1:]", unseen=True
        ),
        part(
            "capitalize",
            "capitalize each | write each with a capital first letter",
            "w.capitalize()",
            ("whole word", "w.upper()"),
            unseen=True,
        ),
        part(
            "remove",
            'remove every "{r}" from each | delete every "{r}" in each',
            'w.replace("{r}", "")',
            ("only once", 'w.replace("{r}", "", 1)'),
            unseen=True,
            r=("a", "e", "o"),
        ),
        part(
            "append",
            'append "{s}" to each | add "{s}" to the end of each',
            'w + "{s}"',
            unseen=True,
            s=("s", "y"),
        ),
    ),
    summaries=(
        part(
            "count",
            "how many there are | the number of words",
            "print(len(kept))",
            ("duplicates", "print(len(set(kept)))"),
        ),
        part(
            "list",
            "them in order | them in the given order",
            "print(*kept)",
            ("duplicates", "print(*dict.fromkeys(kept))"),
        ),
        part("reversed", "them in reverse order | them from last to first", "print(*kept[::-1])"),
        part(
            "sorted",
            "them in alphabetical order | them sorted alphabetically",
            "print(*sorted(kept))",
            ("duplicates", "print(*sorted(set(kept)))"),
        ),
        guarded("first", "the first of them | the first one", "kept[0]"),
        guarded("last", "the last of them | the last one", "kept[-1]"),
        guarded(
            "alphabet first",
            "the alphabetically first | the one that comes first in the alphabet",
            "min(kept)",
        ),
        guarded(
            "alphabet last", "the alphabetically last | the one that comes last in the alphabet", "max(kept)"
        ),
        part(
            "letters",
            "the total number of letters | how many letters they have in all",
            'print(len("".join(kept)))',
            ("duplicates", 'print(len("".join(set(kept))))'),
            ("counts spaces", 'print(len(" ".join(kept)))'),
        ),
        guarded(
            "longest",
            "the longest, the first one on ties | the longest (the first such word on ties)",
            "max(kept, key=len)",
            ("ties", "print(sorted(kept, key=len)[-1] if kept else {d})"),
            hard=True,
        ),
        guarded(
            "shortest",
            "the shortest, the first one on ties | the shortest (the first such word on ties)",
            "min(kept, key=len)",
            ("ties", "print(sorted(kept, key=len, reverse=True)[-1] if kept else {d})"),
            hard=True,
        ),
        part(
            "distinct",
            "how many different words there are | the number of distinct words",
            "print(len(set(kept)))",
            ("duplicates", "print(len(kept))"),
        ),
        part(
            "distinct list",
            "the distinct words in alphabetical order | each word once, sorted alphabetically",
            "print(*sorted(set(kept)))",
            ("duplicates", "print(*sorted(kept))"),
            hard=True,
        ),
        part(
            "letter count",
            'how often "{q}" occurs in them | the number of times "{q}" occurs in them',
            'print("".join(kept).count("{q}"))',
            ("only once", 'print(sum("{q}" in w for w in kept))'),
            q=("a", "e", "o", "t"),
            hard=True,
        ),
        part(
            "reverse sorted",
            "them in reverse alphabetical order | them sorted from z to a",
            "print(*sorted(kept, reverse=True))",
            ("duplicates", "print(*sorted(set(kept), reverse=True))"),
            unseen=True,
        ),
        part(
            "by length",
            "them from shortest to longest, ties in the given order"
            " | them by length, ties in the given order",
            "print(*sorted(kept, key=len))",
            ("ties", "print(*sorted(sorted(kept), key=len))"),
            unseen=True,
        ),
        part(
            "hyphens",
            "them joined by hyphens | them with hyphens in between",
            'print("-".join(kept))',
            ("duplicates", 'print("-".join(dict.fromkeys(kept)))'),
            unseen=True,
        ),
        guarded(
            "greatest length",
            "the length of the longest | the number of letters of the longest",
            "max(map(len, kept))",
            ("assumes order", "print(len(kept[-1]) if kept else {d})"),
            unseen=True,
        ),
        part(
            "alphabet",
            "how many different letters occur in them | the number of different letters in them",
            'print(len(set("".join(kept))))',
            ("duplicates", 'print(len("".join(kept)))'),
            unseen=True,
        ),
    ),
    caveats=WORD_CAVEATS,
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
