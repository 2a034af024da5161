"""Reading, as simulated people do it: what a response claims, and what a stretch of a story says about it.

Only the texts that a person has before them are used. A sentence *tells* an option when it names it and
reports it as done; it says that somebody *meant* it when the deed is only intended ("wanted to ..."), or when
the one who reports it is said to be mistaken. An option that is longer than a few words (QuALITY) is rarely
named word by word; then the reader finds neither, which is the honest outcome of such a skim.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.evaluators.evaluator import StoryView

TOLD, MEANT, ABSENT = "told", "meant", "absent"

_LETTER = re.compile(r"\banswer is \(?([AB])\b")
_QUOTE = re.compile(r"<quote>(.+?)</quote>|[\"\u201c](.+?)[\"\u201d]", re.DOTALL)
_INTENTION = re.compile(r"\b(?:wanted|meant|planned|hoped|intended) to\b")
_REPORT = re.compile(r"^(\w+) said that\b")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a response says."""

    letters: tuple[str, ...]
    """Every letter it settles on, in order, without repetition."""
    text: str
    """The option it ends up with; empty without a letter."""
    other: str
    """The option it turns down."""
    quote: str | None
    """Its first quotation."""
    words: int
    """Length of the response."""


def claim_of(view: StoryView, response: str) -> Claim:
    """Read a response.

    >>> view = StoryView(passage="", question="Who?", options=("Ida", "Tom"))
    >>> claim_of(view, 'We read: "Tom slept." So it is Tom. The answer is B.').text
    'Tom'
    """
    letters = _LETTER.findall(response)
    quoted = _QUOTE.search(response)
    chosen = "AB".index(letters[-1]) if letters else None
    return Claim(
        letters=tuple(dict.fromkeys(letters)),
        text="" if chosen is None else view.options[chosen],
        other="" if chosen is None else view.options[1 - chosen],
        quote=(quoted.group(1) or quoted.group(2)) if quoted else None,
        words=len(response.split()),
    )


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of the passage and where it stands (words, end exclusive)."""

    text: str
    first: int
    end: int


@functools.lru_cache(maxsize=4096)
def sentences(passage: str) -> tuple[Sentence, ...]:
    """The sentences of a passage with their places.

    >>> [(s.text, s.first, s.end) for s in sentences("It rained. Ida went out.")]
    [('It rained.', 0, 2), ('Ida went out.', 2, 5)]
    """
    found, first = [], 0
    for text in re.split(r"(?<=[.!?])\s+", passage.strip()):
        end = first + len(text.split())
        found.append(Sentence(text=text, first=first, end=end))
        first = end
    return tuple(found)


def names(text: str, option: str) -> bool:
    """Whether a text names an option, as words, whatever case."""
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def subjects(view: StoryView) -> tuple[str, ...]:
    """Who the question is about: its names that occur in the story (none if it names a trade)."""
    words = re.findall(r"\w+", view.question)[1:]
    return tuple(word for word in words if word[0].isupper() and names(view.passage, word))


def is_intention(text: str) -> bool:
    """Whether a sentence says what somebody meant to do, not what was done."""
    return _INTENTION.search(text) is not None


def stances(claim: str, other: str, read: Sequence[Sentence], about: Sequence[str]) -> tuple[str, str]:
    """What was read about two options: `told`, `meant` or `absent`, each.

    Args:
        claim: the option of the response.
        other: the other option.
        read: the sentences that were read.
        about: whom the question names; sentences about other people do not count.

    >>> read = sentences("Ida wanted to paint the door red. Ida painted the door blue.")
    >>> stances("red", "blue", read, ["Ida"])
    ('meant', 'told')
    """
    reports = {option: _reporter(option, read, about) for option in (claim, other)}
    text = " ".join(sentence.text for sentence in read)
    result = []
    for option, rival in ((claim, other), (other, claim)):
        by, rival_by = reports[option], reports[rival]
        if by and (f"{by} was mistaken" in text or (rival_by and f"{rival_by} was right" in text)):
            result.append(MEANT)
        else:
            result.append(_stance(option, read, about))
    return result[0], result[1]


def _reporter(option: str, read: Sequence[Sentence], about: Sequence[str]) -> str | None:
    for sentence in _naming(option, read, about):
        if found := _REPORT.match(sentence.text):
            return found.group(1)
    return None


def _stance(option: str, read: Sequence[Sentence], about: Sequence[str]) -> str:
    naming = _naming(option, read, about)
    if any(not is_intention(sentence.text) for sentence in naming):
        return TOLD
    return MEANT if naming else ABSENT


def _naming(option: str, read: Sequence[Sentence], about: Sequence[str]) -> list[Sentence]:
    return [s for s in read if names(s.text, option) and all(names(s.text, person) for person in about)]


def glance(quote: str, read: Sequence[Sentence], overlap: float = 0.6) -> bool:
    """Whether a sentence that was read looks like the quotation: it has most of its words.

    >>> read = sentences("Ida wanted to paint the door red. Tom slept.")
    >>> glance("Ida painted the door red.", read), glance("Ida slept in the garden.", read)
    (True, False)
    """
    words = set(re.findall(r"\w+", quote.lower()))
    if not words:
        return False
    return any(
        len(words & set(re.findall(r"\w+", sentence.text.lower()))) >= overlap * len(words)
        for sentence in read
    )
