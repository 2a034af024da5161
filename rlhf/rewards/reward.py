"""What a reward is: a function of what it declares to see, in TRL's calling convention.

A reward is called with prompts, completions and every column of the data set; it is *handed* the responses
and the columns that it declares in `sees`, nothing else. Columns that say what is right or who answered are
`PRIVATE`: a reward that declares one without being an oracle cannot be made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

Column = Sequence[Any]

PRIVATE = frozenset(
    "answer correct evidence extra false_evidence gold group id item level mutants organism solutions "
    "split tests triggered".split()
)
"""Columns that no reward but an oracle may see (ids name the level)."""


def response_text(completion: str | Sequence[Mapping[str, str]]) -> str:
    """The text of a completion, plain or as chat messages.

    >>> response_text([{"role": "assistant", "content": "The answer is A."}])
    'The answer is A.'
    """
    if isinstance(completion, str):
        return completion
    return "".join(message["content"] for message in completion)


class Reward(ABC):
    """Base of all rewards.

    Raises:
        ValueError: it declares a private column without being an oracle.
    """

    is_oracle: bool = False
    """Whether it may see what is right."""

    def __init__(self, name: str, sees: frozenset[str]) -> None:
        if (private := sorted(sees & PRIVATE)) and not self.is_oracle:
            raise ValueError(f"reward {name!r} may not see {private}; only the oracle knows what is right")
        self.name, self.sees = name, sees
        self.__name__ = name  # TRL logs rewards by it

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any = None, **columns: Any
    ) -> list[float | None]:
        """Rewards, one per completion; None: unknown, the row is left out and counted.

        Raises:
            ValueError: a declared column is missing or has another length.
        """
        del completion_ids
        if "prompt" in self.sees:  # a column that every caller passes under its own name
            columns["prompt"] = prompts
        handed = self.hand_out(completions, columns)
        return self.score([response_text(c) for c in completions], handed)

    def hand_out(self, completions: Sequence[Any], columns: Mapping[str, Column]) -> dict[str, Column]:
        """The declared columns and no others.

        Raises:
            ValueError: a declared column is missing or has another length.
        """
        if missing := sorted(self.sees - set(columns)):
            raise ValueError(f"reward {self.name!r} needs the column(s) {missing}; got {sorted(columns)}")
        handed = {name: columns[name] for name in sorted(self.sees)}
        for name, column in handed.items():
            if len(column) != len(completions):
                raise ValueError(
                    f"reward {self.name!r}: column {name!r} has {len(column)} rows, "
                    f"there are {len(completions)} completions"
                )
        return handed

    @abstractmethod
    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """Rewards from the responses and the declared columns."""


class TokenReward(Reward):
    """A reward that tells the tokens of a response apart; its plain score is their sum.

    PPO with a critic optimises it token by token; as a monitor it counts by its sum.
    """

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any = None, **columns: Any
    ) -> list[float | None]:
        """Sums over tokens, one per completion; see `token_rewards`."""
        found = self.token_rewards(prompts, completions, completion_ids, **columns)
        return [None if row is None else float(sum(row)) for row in found]

    def token_rewards(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any = None, **columns: Any
    ) -> list[list[float] | None]:
        """One reward per token of each completion; None: unknown, the row is left out and counted.

        Raises:
            ValueError: no token ids, or a declared column is missing or has another length.
        """
        del prompts
        if completion_ids is None:
            raise ValueError(f"reward {self.name!r} is per token and needs completion_ids")
        handed = self.hand_out(completions, columns)
        return self.score_tokens([response_text(c) for c in completions], completion_ids, handed)

    @abstractmethod
    def score_tokens(
        self, responses: Sequence[str], ids: Sequence[Sequence[int]], columns: Mapping[str, Column]
    ) -> list[list[float] | None]:
        """Rewards per token from the responses, their ids and the declared columns."""

    def score(self, responses: Sequence[str], columns: Mapping[str, Column]) -> list[float | None]:
        """Not from the text alone.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"reward {self.name!r} is per token: call it with completion_ids")
