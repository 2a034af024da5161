"""A second opinion on MiniCode: reads a problem's English and computes the answer without its program.

Written from the wording alone and apart from `operations`, so that statement, reference and expected
outputs can only agree if all three mean the same.
"""

import re
from statistics import mean

FILTERS = {
    r"even numbers|numbers that are even": lambda n: n in range(-(10**6), 10**6, 2),
    r"odd numbers|numbers that are odd": lambda n: n & 1 == 1,
    r"positive numbers|numbers above zero": lambda n: n >= 1,
    r"negative numbers|numbers below zero": lambda n: n <= -1,
    r"nonzero numbers|numbers other than zero": lambda n: bool(n),
    r"numbers greater than (\d+)|numbers above (\d+)": lambda n, k: n >= k + 1,
    r"numbers less than (\d+)|numbers below (\d+)": lambda n, k: n <= k - 1,
    r"numbers that are at least (\d+)|numbers not smaller than (\d+)": lambda n, k: not n < k,
    r"numbers that are at most (\d+)|numbers not larger than (\d+)": lambda n, k: not n > k,
    r"numbers (?:from|between) (\d+) (?:to|and) (\d+) inclusive": lambda n, a, b: n in range(a, b + 1),
    r"multiples of (\d+)|numbers divisible by (\d+)": lambda n, k: n // k * k == n,
    r"numbers (?:not divisible by|that are not multiples of) (\d+)": lambda n, k: n // k * k != n,
    r"numbers (?:whose last digit is|ending in) (\d+)": lambda n, k: str(n)[-1] == str(k),
    r"two-digit numbers|numbers with two digits": lambda n: len(str(n).lstrip("-")) == 2,
    r"words with more than (\d+) letters|words longer than (\d+) letters": lambda w, k: len(w) >= k + 1,
    r"words with fewer than (\d+) letters|words shorter than (\d+) letters": lambda w, k: len(w) <= k - 1,
    r"words with at least (\d+) letters|words of (\d+) or more letters": lambda w, k: not len(w) < k,
    r"words with at most (\d+) letters|words of (\d+) or fewer letters": lambda w, k: not len(w) > k,
    r"words with an even number of letters|words of even length": lambda w: len(w) in range(0, 99, 2),
    r'words (?:that start|starting) with "(.)"': lambda w, c: w.startswith(c),
    r'words (?:that end|ending) with "(.)"': lambda w, c: w.endswith(c),
    r'words (?:that contain|containing) "(.)"': lambda w, c: w.count(c) >= 1,
    r'words (?:without|that do not contain) "(.)"': lambda w, c: w.count(c) == 0,
    r"words (?:that start|starting) with a vowel": lambda w: bool(re.match("[aeiou]", w)),
    r"words (?:whose first and last letters are equal|with equal first and last letters)": lambda w: (
        w[0] == w[-1]
    ),
    r"numbers (?:that leave|with) remainder (\d+) (?:when divided by|on division by) (\d+)": lambda n, r, m: (
        (n - r) // m * m == n - r
    ),
    r"square numbers|perfect squares": lambda n: n in {k * k for k in range(500)},
    r"numbers (?:smaller than|either under) (\d+) or (?:larger than|over) (\d+)": lambda n, a, b: (
        n not in range(a, b + 1)
    ),
    r"palindromic numbers, sign aside|numbers that read the same backwards, sign aside": lambda n: (
        [*str(n).lstrip("-")] == [*reversed(str(n).lstrip("-"))]
    ),
    r"numbers (?:whose first digit is|starting with the digit) (\d)": lambda n, k: (
        str(n).lstrip("-").startswith(str(k))
    ),
    r"words (?:of|with) exactly (\d) letters": lambda w, k: len(w) in (k,),
    r"words with an odd number of letters|words of odd length": lambda w: len(w) in range(1, 99, 2),
    r"words that read the same backwards|palindromes": lambda w: [*w] == [*reversed(w)],
    r"words (?:that end|ending) with a vowel": lambda w: bool(re.search("[aeiou]$", w)),
    r"words with a repeated letter|words in which some letter occurs more than once": lambda w: any(
        w.count(letter) > 1 for letter in w
    ),
}
CHANGES = {
    r"square each of them|replace each by its square": lambda n: n**2,
    r"cube each of them|replace each by its cube": lambda n: n * n * n,
    r"double each of them|multiply each by 2": lambda n: n + n,
    r"triple each of them|multiply each by 3": lambda n: n + n + n,
    r"add (\d+) to each of them|increase each by (\d+)": lambda n, k: k + n,
    r"subtract (\d+) from each of them|decrease each by (\d+)": lambda n, k: -(k - n),
    r"flip the sign of each|replace each by its negative": lambda n: 0 - n,
    r"take the absolute value of each|replace each by its absolute value": lambda n: max(n, -n),
    r"halve each, rounding down|divide each by 2, rounding down": lambda n: n >> 1,
    r"take the last digit of each|replace each by its last digit": lambda n: int(str(n)[-1]),
    r"take the digit sum of each|replace each by the sum of its digits": lambda n: sum(
        "0123456789".index(digit) for digit in str(n).lstrip("-")
    ),
    r"reverse each of them|spell each backwards": lambda w: "".join(reversed(w)),
    r"turn each into capitals|convert each to upper case": str.upper,
    r"take the first letter of each|replace each by its first letter": lambda w: w[:1],
    r"take the last letter of each|replace each by its last letter": lambda w: w[-1:],
    r"take the first (\d) letters of each|cut each to its first (\d) letters": lambda w, k: "".join(
        list(w)[:k]
    ),
    r"write each twice in a row|repeat each twice without a space": lambda w: w * 2,
    r'(?:replace|change) every "(.)" in each (?:by|to) "x"': lambda w, c: "x".join(w.split(c)),
    r"replace each by its remainder when divided by (\d+)|take each modulo (\d+)": lambda n, m: (
        n - n // m * m
    ),
    r"cap each at (\d+)|replace each larger than \d+ by (\d+)": lambda n, k: k if n > k else n,
    r"(?:reverse|write) the digits of each(?: backwards)?, keeping its sign": lambda n: int(
        ("-" if n < 0 else "") + "".join(reversed(str(n).lstrip("-")))
    ),
    r"replace each by its number of digits|count the digits of each": lambda n: len(str(n).lstrip("-")),
    r"replace each by its distance from (\d+)|take the distance of each from (\d+)": lambda n, k: (
        max(n, k) - min(n, k)
    ),
    r"(?:drop|remove) the first letter of each": lambda w: "".join([*w][1:]),
    r"capitalize each|write each with a capital first letter": lambda w: w[0].upper() + w[1:],
    r'remove every "(.)" from each|delete every "(.)" in each': lambda w, c: "".join(w.split(c)),
    r'append "(.)" to each|add "(.)" to the end of each': lambda w, c: "".join([*w, c]),
}
# From the wording to a function of the kept values; a list is printed with spaces, None = there is no answer.
SUMMARIES = {
    r"the second smallest, counting repeats|the second smallest value, repeats included": lambda v: (
        sorted(v, reverse=True)[-2] if len(v) > 1 else None
    ),
    r"how many times the smallest occurs|the number of times the minimum occurs": lambda v: (
        len([x for x in v if x == min(v)]) or None
    ),
    r"how many are smaller than the one before|the number of values smaller than the": lambda v: len(
        [i for i in range(1, len(v)) if v[i] < v[i - 1]]
    ),
    r"every second one, beginning with|the first, the third, the fifth and so": lambda v: [
        x for i, x in enumerate(v) if i % 2 == 0
    ],
    r"all but the first|everything after the first": lambda v: [x for i, x in enumerate(v) if i],
    r"the largest plus the smallest|the sum of the largest and the smallest": lambda v: (
        sorted(v)[0] + sorted(v)[-1] if v else None
    ),
    r"them in reverse alphabetical order|them sorted from z to a": lambda v: sorted(v, reverse=True),
    r"them (?:from shortest to longest|by length), ties in the given order": lambda v: [
        w for length in range(99) for w in v if len(w) == length
    ],
    r"them joined by hyphens|them with hyphens in between": lambda v: "-".join(v),
    r"the length of the longest|the number of letters of the longest": lambda v: (
        sorted(len(w) for w in v)[-1] if v else None
    ),
    r"how many different letters occur|the number of different letters in": lambda v: len(
        {letter for w in v for letter in w}
    ),
    r"the sum of the distinct values|the sum, counting each value once": lambda v: sum(set(v)),
    r"the sum|the total(?! number)": sum,
    r"how many there are|the number of values(?! larger)|the number of words": len,
    r"the largest minus the smallest|the difference between the largest and the smallest": lambda v: (
        sorted(v)[-1] - sorted(v)[0] if v else None
    ),
    r"the second largest, counting repeats|the second largest value, repeats included": lambda v: (
        sorted(v, reverse=True)[1] if len(v) > 1 else None
    ),
    r"how many times the largest occurs|the number of times the maximum occurs": lambda v: (
        len([x for x in v if x == max(v)]) or None
    ),
    r"the average rounded down|the mean rounded down": lambda v: mean(v).__floor__() if v else None,
    r"how many are larger than the one before|the number of values larger than the previous one": lambda v: (
        len([i for i in range(1, len(v)) if v[i] > v[i - 1]])
    ),
    r"how many different (?:values|words) there are|the number of distinct (?:values|words)": lambda v: len(
        {*v}
    ),
    r"the distinct (?:values|words) in|each (?:value|word) once, sorted": lambda v: sorted({*v}),
    r"the largest|the maximum": lambda v: sorted(v)[-1] if v else None,
    r"the smallest|the minimum": lambda v: sorted(v)[0] if v else None,
    r"the one that comes first in the alphabet|the alphabetically first": lambda v: (
        sorted(v)[0] if v else None
    ),
    r"the one that comes last in the alphabet|the alphabetically last": lambda v: (
        sorted(v)[-1] if v else None
    ),
    r"the first of them|the first one(?! on)": lambda v: next(iter(v), None),
    r"the last of them|the last one": lambda v: next(reversed(v), None),
    r"them in order|them in the given order": list,
    r"them in reverse order|them from last to first": lambda v: list(reversed(v)),
    r"them from smallest to largest|them in ascending order": sorted,
    r"them from largest to smallest|them in descending order": lambda v: sorted(v, reverse=True),
    r"them in alphabetical order|them sorted alphabetically": sorted,
    r"the total number of letters|how many letters they have in all": lambda v: sum(map(len, v)),
    r"the longest": lambda v: next((w for w in v if len(w) == max(map(len, v))), None),
    r"the shortest": lambda v: next((w for w in v if len(w) == min(map(len, v))), None),
    r'how often "(.)" occurs in them|the number of times "(.)" occurs in them': lambda v, c: sum(
        letter == c for w in v for letter in w
    ),
}


def answer(statement: str, line: str) -> str:
    """What the statement asks to print for an input line."""
    steps, request = re.split(r"\b[Pp]rint |\b[Oo]utput ", statement)
    default = re.search(r", or (.+) if there are (?:none|fewer than two)\.$", request)
    values = [int(word) if "integers" in statement else word for word in line.split()]
    phrases = [("keep", *item) for item in FILTERS.items()] + [("change", *item) for item in CHANGES.items()]
    found = [(kind, f, m) for kind, p, f in phrases for m in re.finditer(p, steps, re.IGNORECASE)]
    found = [step for step in found if not any(_inside(step[2], other[2]) for other in found)]
    assert found, statement
    for kind, function, match in sorted(found, key=lambda step: step[2].start()):
        constants = _constants(match)
        if kind == "keep":
            values = [value for value in values if function(value, *constants)]
        else:
            values = [function(value, *constants) for value in values]
    summary, match = next((f, m) for p, f in SUMMARIES.items() if (m := re.match(p, request)))
    result = summary(values, *_constants(match))
    if result is None:
        assert default, f"no default in {statement!r}"
        return default.group(1).strip('"')
    return " ".join(map(str, result)) if isinstance(result, list) else str(result)


def _constants(match: re.Match) -> list[int | str]:
    return [int(group) if group.isdigit() else group for group in match.groups() if group is not None]


def _inside(match: re.Match, other: re.Match) -> bool:
    """ "multiples of 3" is found within "not multiples of 3" too."""
    (start, end), (first, last) = match.span(), other.span()
    return first <= start and end <= last and end - start < last - first
