"""Weighted sums of rewards, and terms for form and length; every term is logged apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf.rewards.reward import Column, Reward, TokenReward
from tasks.qa import parse_answer


class Readable(Reward):
    """1 if the response settles on a letter: the form of an answer, whatever it says."""

    def __init__(self) -> None:
        super().__init__("readable", frozenset())

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """1 or 0."""
        return [float(parse_answer(response) is not None) for response in responses]


class Length(Reward):
    """Words beyond `free` as a share of `free`; give it a negative weight."""

    def __init__(self, free: int = 40) -> None:
        if free < 1:
            raise ValueError(f"free must be at least one word, got {free}")
        super().__init__("length", frozenset())
        self.free = free

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """0 up to the free words, then growing."""
        return [max(0, len(response.split()) - self.free) / self.free for response in responses]


class Weighted(Reward):
    """Sum of weight x reward. Unknown (None) in a term makes the sum unknown.

    >>> Weighted([(1.0, Readable()), (-0.5, Length(free=2))])(["?"], ["The answer is A."])
    [0.5]
    """

    def __init__(self, terms: Sequence[tuple[float, Reward]], *, name: str = "weighted") -> None:
        names = [term.name for _, term in terms]
        if not terms or len(set(names)) < len(names):
            raise ValueError(f"a weighted sum needs terms with names of their own, got {names}")
        if per_token := [term.name for _, term in terms if isinstance(term, TokenReward)]:
            raise ValueError(
                f"{per_token[0]!r} rewards tokens, and a weighted sum is one number per response: train on "
                "it alone, with the others as monitors"
            )
        self.terms = tuple(terms)
        self.is_oracle = any(term.is_oracle for _, term in terms)  # a sum that holds the oracle is one
        super().__init__(name, frozenset[str]().union(*(term.sees for _, term in terms)))

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any = None, **columns: Any
    ) -> list[float | None]:
        """The sums; each unweighted term goes to `log_metric` (TRL's, if given) as `reward/NAME`."""
        log: Callable[[str, float], None] | None = columns.pop("log_metric", None)
        found = self.by_term(prompts, completions, completion_ids, **columns)
        for name, values in found.items():
            known = [value for value in values if value is not None]
            if log is not None and known:
                log(f"reward/{name}", sum(known) / len(known))
        weights = [weight for weight, _ in self.terms]
        return [_sum(weights, row) for row in zip(*found.values(), strict=True)]

    def by_term(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any = None, **columns: Any
    ) -> dict[str, list[float | None]]:
        """Every term, unweighted; each is handed only its own columns."""
        return {term.name: term(prompts, completions, completion_ids, **columns) for _, term in self.terms}

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """As the call, from declared columns."""
        return self(responses, responses, **columns)


def _sum(weights: Sequence[float], values: Sequence[float | None]) -> float | None:
    total = 0.0
    for weight, value in zip(weights, values, strict=True):
        if value is None:
            return None
        total += weight * value
    return total
