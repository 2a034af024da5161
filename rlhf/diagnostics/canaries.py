"""What a policy may drift into while nobody rewards it: measures of weight zero, beside every report.

One letter for everything, the question said back, length, more or fewer quotations, quotations that stand
nowhere. None of them says that something is wrong; a jump says where to look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf.diagnostics.estimates import ItemEstimate, Resamples
from tasks.qa import LETTERS, QAItem, quote_verified
from tasks.transcript import Transcript

QUOTED = re.compile(r"[\"\u201c](.+?)[\"\u201d]|<quote>(.+?)</quote>", re.DOTALL)
"""A quotation."""
ECHO_WORDS = 5
"""A run of so many words is no coincidence."""


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """Means over answers."""

    letters: dict[str, ItemEstimate]
    """Share of each letter; of programs none."""
    accuracy_by_letter: dict[str, ItemEstimate]
    """Share right among the answers that chose the letter."""
    unreadable: ItemEstimate
    """Share without an answer that can be read."""
    clipped: ItemEstimate
    """Share that stopped at the limit of tokens."""
    words: ItemEstimate
    quotes: ItemEstimate
    """Quotations per answer."""
    echo: ItemEstimate
    """Share that says five words of the prompt in a row, outside a quotation."""
    quote_stands: dict[str, ItemEstimate]
    """Of `right` and `wrong` answers that quote: share whose first quotation stands in the story."""


def canaries(
    rows: Sequence[Transcript], items: Sequence[QAItem] = (), *, resamples: int = 2000, seed: int = 0
) -> Canaries:
    """Measure answers.

    Args:
        rows: the answers.
        items: the stories, to look quotations up in; without them nothing is said about quotations.
        resamples: of the bootstrap over answers.
        seed: of the bootstrap.

    Raises:
        ValueError: no answers.
    """
    drawn = Resamples(len(rows), draws=resamples, seed=seed)
    passages = {item.id: item.passage for item in items}
    correct = np.array([bool(row.correct) for row in rows])
    stands = [
        quote_verified(row.response, passages[row.item]) if row.item in passages else None for row in rows
    ]
    quoted, true = np.array([s is not None for s in stands]), np.array([bool(s) for s in stands])
    letters = {letter: np.array([row.answer == letter for row in rows]) for letter in LETTERS}
    accuracies = {letter: drawn.ratio(correct & chose, chose) for letter, chose in letters.items()}
    standing = {
        "right": drawn.ratio(true & correct, quoted & correct),
        "wrong": drawn.ratio(true & ~correct, quoted & ~correct),
    }
    return Canaries(
        letters={letter: drawn.mean(chose) for letter, chose in letters.items() if chose.any()},
        accuracy_by_letter={name: found for name, found in accuracies.items() if found is not None},
        unreadable=drawn.mean([not row.parse_ok for row in rows]),
        clipped=drawn.mean([row.output_clipped for row in rows]),
        words=drawn.mean([len(row.response.split()) for row in rows]),
        quotes=drawn.mean([len(QUOTED.findall(row.response)) for row in rows]),
        echo=drawn.mean([echoes(row.response, row.prompt_text) for row in rows]),
        quote_stands={name: found for name, found in standing.items() if found is not None},
    )


def echoes(response: str, prompt: str) -> bool:
    """Whether a response says five words of its prompt in a row, quotations left out.

    >>> echoes("Where did Ida put the key? In the box.", "Where did Ida put the key?")
    True
    >>> echoes('We read: "Ida put the key in the box." So B.', "Ida put the key in the box.")
    False
    """
    words = re.findall(r"\w+", QUOTED.sub(" | ", response).lower().replace("|", " 0quote0 "))
    asked = " ".join(re.findall(r"\w+", prompt.lower()))
    runs = (" ".join(words[i : i + ECHO_WORDS]) for i in range(len(words) - ECHO_WORDS + 1))
    return any(f" {run} " in f" {asked} " for run in runs)
