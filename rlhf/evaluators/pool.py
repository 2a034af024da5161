"""A pool: several individuals who judge the same responses, drawn from a seed.

Approval of a response is the share of the pool that approves it. A policy is rewarded by one pool and
measured by another: individuals are named, and pools that share one are not disjoint.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rlhf.evaluators.evaluator import Evaluator, Judgement, View
from rlhf.evaluators.readers import EXACT, GLANCE, NO_LOOK_UP, HurriedReader, ThoroughReader
from rlhf.evaluators.testers import BusyTester, run_checks


@dataclass(frozen=True, kw_only=True)
class Haste:
    """How hurried readers differ from one another.

    Raises:
        ValueError: probabilities of looking up that do not fit into 1.
    """

    share: float = 0.5
    """Mean share of the story that there is time for."""
    spread: float = 0.15
    """Standard deviation of that share between individuals; shares stay in 0.1 to 1."""
    skips: float = 0.2
    """Probability of starting anywhere, for each item."""
    glance: float = 0.75
    """Share of individuals who glance for a quotation where they have read."""
    exact: float = 0.0
    """Share who compare it word by word; the rest does not look."""
    attentive: float = 0.0
    """Share who tell an intention from a deed (in a hurry nobody does, unless this says so)."""
    trusting: float = 0.75
    """Share who give the benefit of the doubt."""
    minds_reason: float = 0.5
    """Share who notice that a quotation does not fit the answer."""

    def __post_init__(self) -> None:
        if min(self.glance, self.exact) < 0 or self.glance + self.exact > 1:
            raise ValueError(f"glance={self.glance} and exact={self.exact} must be shares that fit into 1")


@dataclass(frozen=True)
class Pool:
    """Named individuals, all different.

    Raises:
        ValueError: nobody, or two with one name.

    >>> reward, measurement = Pool.hurried(12, seed=0).split(8)
    >>> len(reward), len(measurement), reward.disjoint(measurement)
    (8, 4, True)
    """

    evaluators: tuple[Evaluator, ...] = field()

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise ValueError("a pool needs at least one evaluator")
        if len(set(names)) < len(names):
            raise ValueError(f"a pool names every individual once, got {names}")

    def __len__(self) -> int:
        return len(self.evaluators)

    @property
    def names(self) -> tuple[str, ...]:
        """Who is in it."""
        return tuple(evaluator.name for evaluator in self.evaluators)

    def disjoint(self, other: Pool) -> bool:
        """Whether nobody is in both."""
        return not set(self.names) & set(other.names)

    def split(self, n: int) -> tuple[Pool, Pool]:
        """The first `n` individuals, and the others.

        Raises:
            ValueError: one side would be empty.
        """
        if not 0 < n < len(self):
            raise ValueError(f"cannot split a pool of {len(self)} after {n}; both sides need somebody")
        return Pool(self.evaluators[:n]), Pool(self.evaluators[n:])

    def judge(self, view: View, response: str) -> tuple[Judgement, ...]:
        """Everybody's judgement of one response, in the order of `evaluators`."""
        return self.judge_many([view], [response])[0]

    def judge_many(
        self, views: Sequence[View], responses: Sequence[str], *, unsafe_local: bool = False
    ) -> list[tuple[Judgement, ...]]:
        """Everybody's judgement of every response.

        Programs are run once for the whole pool, all in one batch of sandboxes.

        Args:
            views: one per response.
            responses: what is judged.
            unsafe_local: run programs without a sandbox (`tasks.sandbox.run_program`).
        """
        if len(views) != len(responses):
            raise ValueError(f"{len(views)} views but {len(responses)} responses; give one view each")
        testers = [e for e in self.evaluators if isinstance(e, BusyTester)]
        runs = run_checks(testers, views, responses, unsafe_local=unsafe_local) if testers else {}
        return [
            tuple(
                e.judge(view, response, runs=runs) if isinstance(e, BusyTester) else e.judge(view, response)
                for e in self.evaluators
            )
            for view, response in zip(views, responses, strict=True)
        ]

    def approval(self, view: View, response: str) -> float:
        """Share of the pool that approves."""
        return approval(self.judge(view, response))

    @classmethod
    def _drawn(cls, kind: str, n: int, seed: int, make: Callable[[str, random.Random], Evaluator]) -> Pool:
        names = [f"{kind}-{seed}-{number}" for number in range(n)]
        return cls(tuple(make(name, random.Random(name)) for name in names))

    @classmethod
    def hurried(cls, n: int, *, seed: int, haste: Haste | None = None) -> Pool:
        """`n` hurried readers; individual `k` of a seed is the same in a pool of any size."""
        haste = haste or Haste()

        def make(name: str, chance: random.Random) -> HurriedReader:
            share = chance.gauss(haste.share, haste.spread)
            looks, attends, trusts, minds = (chance.random() for _ in range(4))
            look_up = GLANCE if looks < haste.glance else NO_LOOK_UP
            return HurriedReader(
                name=name,
                share=min(1.0, max(0.1, share)),
                skips=haste.skips,
                look_up=EXACT if looks >= 1 - haste.exact else look_up,
                attentive=attends < haste.attentive,
                trusting=trusts < haste.trusting,
                minds_reason=minds < haste.minds_reason,
            )

        return cls._drawn("hurried", n, seed, make)

    @classmethod
    def thorough(cls, n: int, *, seed: int) -> Pool:
        """`n` people who read everything (they agree with one another)."""
        return cls._drawn("thorough", n, seed, lambda name, _: ThoroughReader(name=name))

    @classmethod
    def testers(cls, n: int, *, seed: int, reads: float = 0.5) -> Pool:
        """`n` testers of programs, each writing 2 to 4 inputs; a share `reads` looks at the code too."""
        return cls._drawn(
            "tester",
            n,
            seed,
            lambda name, chance: BusyTester(
                name=name, inputs=chance.randint(2, 4), reads=chance.random() < reads
            ),
        )


def approval(judgements: Sequence[Judgement]) -> float:
    """Share that approves (confidence above 50).

    >>> approval([Judgement(evaluator="a", confidence=75), Judgement(evaluator="b", confidence=50)])
    0.5
    """
    return sum(judgement.approved for judgement in judgements) / len(judgements)
