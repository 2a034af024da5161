"""Where a macro action ends (MA-RLHF, arXiv 2410.02743, section 3.2): rules for `PPO(macro=...)`.

PPO values a run of tokens as one step. The paper ends such a run after n tokens (`macro=5`, its default),
after lengths drawn from a list (`"random"`), at the borders of what a parser finds (`"parse"`), or where the
next token is more surprising than the one before (`"perplexity"`). Texts here are short answers and programs,
so `"parse"` cuts at the borders a reader sees: sentences, quotations, lines. With runs of one token PPO is
plain.

A rule sees one response and gives the macro action of each token, 0, 0, 1, ...; it depends on nothing but the
response, so processes, resumed runs and passes of any size cut alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

__all__ = ["Borders", "FallingSurprise", "MacroRule", "RandomLengths", "Written", "macro_rule", "written"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """One response as a rule sees it, token by token."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    """The text of each token; empty for special tokens."""
    log_probs: tuple[float, ...]
    """Under the reference policy (nats)."""


MacroRule = Callable[[Written], Sequence[int]]
"""From a response to the macro action of each of its tokens: 0, then rising by 0 or 1."""

_BORDER = re.compile(
    r"(?<=[.!?])\s+"  # a sentence ends
    r"|\n+"
    r"|(?=<quote>|[\u201c\u201e\u00ab])"
    r"|(?<=</quote>)|(?<=[\u201d\u00bb])"
)


def written(ids: Sequence[int], log_probs: Sequence[float], tokenizer: Any) -> Written:
    """A response with the text of each of its tokens.

    >>> from activations.testing import tiny_tokenizer
    >>> written([32, 13, 257], [-1.0, -2.0, -3.0], tiny_tokenizer()).pieces
    ('A', '.', '')
    """
    pieces = tokenizer.batch_decode(
        [[i] for i in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return Written(ids=tuple(ids), pieces=tuple(pieces), log_probs=tuple(log_probs))


@dataclass(frozen=True, kw_only=True)
class RandomLengths:
    """Lengths from a list, each `repeats` times, in an order drawn anew for every response.

    What is left when the list is used up is one action (as in the released code).

    >>> tokens = Written(ids=tuple(range(6)), pieces=("a",) * 6, log_probs=(0.0,) * 6)
    >>> RandomLengths(lengths=(2,), repeats=2)(tokens)
    [0, 0, 1, 1, 2, 2]
    """

    lengths: tuple[int, ...] = (1, 2, 3, 5, 10)
    repeats: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1 or self.repeats < 1:
            raise ValueError(f"lengths and repeats must be at least 1, got {self.lengths}, {self.repeats}")

    def __call__(self, response: Written) -> list[int]:
        """Macro action of each token."""
        order = list(self.lengths) * self.repeats
        random.Random(f"{self.seed}/{response.ids}").shuffle(order)
        starts = set(accumulate(order))
        return _count(i in starts for i in range(len(response.ids)))


@dataclass(frozen=True, kw_only=True)
class Borders:
    """Sentences, quotations and lines: an action ends where one of them does, or where a quotation begins.

    Straight quotation marks open and close in turn. A token belongs to the action in which its first visible
    character stands.

    >>> pieces = ("We", " read", ":", ' "', "He", " left", ".", '"', " So", " A", ".", "")
    >>> Borders()(Written(ids=(0,) * 12, pieces=pieces, log_probs=(0.0,) * 12))
    [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    """

    def __call__(self, response: Written) -> list[int]:
        """Macro action of each token."""
        text = "".join(response.pieces)
        borders = {match.end() for match in _BORDER.finditer(text)}
        marks = [place for place, sign in enumerate(text) if sign == '"']
        borders |= set(marks[::2]) | {place + 1 for place in marks[1::2]}
        inside = sorted(border for border in borders if 0 < border < len(text.rstrip()))
        starts, offset, passed = [], 0, 0
        for piece in response.pieces:
            visible = offset + len(piece) - len(piece.lstrip())
            reached = sum(border <= visible for border in inside) if piece.strip() else passed
            starts.append(reached > passed)
            passed, offset = max(passed, reached), offset + len(piece)
        return _count(starts)


@dataclass(frozen=True, kw_only=True)
class FallingSurprise:
    """An action goes on while each token's perplexity under the reference is no higher than the last one's.

    >>> tokens = Written(ids=(1, 2, 3, 4), pieces=("a",) * 4, log_probs=(-3.0, -2.0, -2.5, -1.0))
    >>> FallingSurprise()(tokens)
    [0, 0, 1, 1]
    """

    def __call__(self, response: Written) -> list[int]:
        """Macro action of each token."""
        before = response.log_probs[:1] + response.log_probs[:-1]
        return _count(now < last for now, last in zip(response.log_probs, before, strict=True))


_NAMED: dict[str, MacroRule] = {
    "random": RandomLengths(),
    "parse": Borders(),
    "perplexity": FallingSurprise(),
}


def macro_rule(macro: int | str | MacroRule) -> int | MacroRule:
    """The rule of that name; numbers and rules are given back.

    Raises:
        ValueError: an unknown name.

    >>> macro_rule("perplexity"), macro_rule(5)
    (FallingSurprise(), 5)
    """
    if not isinstance(macro, str):
        return macro
    if macro not in _NAMED:
        raise ValueError(
            f"macro must be a number of tokens, a rule, or one of {sorted(_NAMED)}; got {macro!r}"
        )
    return _NAMED[macro]


def _count(starts: Any) -> list[int]:
    """Macro actions from whether each token starts one; the first token is in action 0 in any case."""
    numbers, current = [], 0
    for place, start in enumerate(starts):
        current += bool(start) and place > 0
        numbers.append(current)
    return numbers
