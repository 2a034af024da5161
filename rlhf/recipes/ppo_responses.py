"""The responses of a PPO round: which items are asked, what is sampled, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlhf.recipes.recipe import (
    Item,
    Job,
    RewardFunction,
    TokenRewardFunction,
    encode_prompts,
    give_score,
    give_token_rewards,
    term_name,
)
from rlhf.recipes.rollout import Response, sample_groups
from tasks.qa import parse_answer

if TYPE_CHECKING:
    from rlhf.recipes.ppo import PPO
    from rlhf.recipes.ppo_policy import Policy
    from rlhf.recipes.processes import Processes


@dataclass(kw_only=True)
class ScoredResponse:
    """One response and what is known of it; travels between processes."""

    place: int
    """Of its prompt in the round."""
    sample: int
    item: int
    response: Response
    text: str
    score: float | None = None
    """What is optimised, before shaping; None leaves the response out."""
    token_rewards: list[float] | None = None
    """One per token, from a reward that gives them; their sum is the score."""
    stats: dict[str, float] = field(default_factory=dict)
    letter: str | None = None


class ResponseSource:
    """Samples and scores this process's share of each round."""

    def __init__(self, recipe: PPO, job: Job, policy: Policy, processes: Processes) -> None:
        self.recipe, self.job, self.policy, self.processes = recipe, job, policy, processes
        self.prompts = encode_prompts(job, room=recipe.sampling.max_new_tokens)
        self.eos = int(job.tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType]

    def _draw(self, number: int) -> list[int]:
        """Items of a round: every item once per pass through them, in a new order each pass."""
        wanted = range(number * self.recipe.prompts, (number + 1) * self.recipe.prompts)
        size = len(self.prompts)
        orders = {
            turn: np.random.default_rng([self.recipe.seed, turn]).permutation(size)
            for turn in {i // size for i in wanted}
        }
        return [int(orders[i // size][i % size]) for i in wanted]

    def sample(self, number: int) -> list[ScoredResponse]:
        """Responses of round `number`, not scored yet."""
        drawn = self._draw(number)
        places = self.processes.share(range(len(drawn)))
        groups = sample_groups(
            self.policy.model,
            [self.prompts[drawn[place]] for place in places],
            eos=self.eos,
            options=self.recipe.sampling,
            seed=(self.recipe.seed, number),
            places=places,
            autocast=self.policy.autocast,
        )
        return [
            ScoredResponse(
                place=place,
                sample=sample,
                item=drawn[place],
                response=response,
                text=str(self.job.tokenizer.decode(response.ids, skip_special_tokens=True)),
            )
            for place, group in zip(places, groups, strict=True)
            for sample, response in enumerate(group)
        ]

    def score(self, rows: list[ScoredResponse]) -> dict[str, float]:
        """Put scores and statistics into the rows; gives the mean of what rewards log themselves."""
        items = [self.job.items[row.item] for row in rows]
        texts, ids = [row.text for row in rows], [row.response.ids for row in rows]
        logged: list[tuple[str, float]] = []
        for name, reward in {"reward": self.job.reward, **self.job.monitors}.items():
            note = (lambda metric, value: logged.append((metric, float(value)))) if name == "reward" else None
            scores = self._scores(name, reward, rows, items, texts, ids, note) if rows else []
            for row, score in zip(rows, scores, strict=True):
                if score is not None:
                    row.stats[name] = score
                if name == "reward":
                    row.score = self._clipped(row, score)
        for row in rows:
            row.letter = parse_answer(row.text)
            row.stats |= {"length": len(row.response.ids), "clipped": float(row.response.clipped)}
        means: dict[str, list[float]] = {}
        for metric, value in self.processes.gather(logged):
            means.setdefault(metric, []).append(value)
        return {term_name(name): float(np.mean(values)) for name, values in means.items()}

    def _scores(
        self,
        name: str,
        reward: RewardFunction,
        rows: Sequence[ScoredResponse],
        items: Sequence[Item],
        texts: Sequence[str],
        ids: Sequence[Sequence[int]],
        note: Callable[[str, float], None] | None,
    ) -> list[float | None]:
        """One number per response; what is optimised may tell tokens apart, then it is their sum."""
        if name != "reward" or not isinstance(reward, TokenRewardFunction):
            return give_score(reward, items, texts, ids, name=name, log_metric=note)
        found = give_token_rewards(reward, items, texts, ids, log_metric=note)
        for row, rewards in zip(rows, found, strict=True):
            penalised = row.response.clipped and self.recipe.clipped != "score"
            row.token_rewards = None if penalised else rewards
        return [None if rewards is None else sum(rewards) for rewards in found]

    def _clipped(self, row: ScoredResponse, score: float | None) -> float | None:
        if not row.response.clipped or score is None or self.recipe.clipped == "score":
            return score
        return self.recipe.clipped_score if self.recipe.clipped == "penalty" else None

    def sample_line(self, number: int, row: ScoredResponse) -> dict[str, Any]:
        """A response as it stands in `samples.jsonl`."""
        item = self.job.items[row.item]
        return {"round": number, "item": item["id"], "response": row.text, **row.stats}


def mixed_groups(rows: Sequence[ScoredResponse]) -> float:
    """Share of prompts whose samples do not all score the same: only these can teach."""
    groups: dict[int, set[float]] = {}
    for row in rows:
        if row.score is not None:
            groups.setdefault(row.place, set()).add(row.score)
    return sum(len(scores) > 1 for scores in groups.values()) / max(1, len(groups))
