"""From scored responses to what PPO's losses need: log-probabilities, values, advantages and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf.recipes import ppo_math as maths
from rlhf.recipes.macros import Written, macro_rule, written
from rlhf.recipes.packing import Pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlhf.recipes.ppo import PPO
    from rlhf.recipes.ppo_policy import Policy
    from rlhf.recipes.ppo_responses import ScoredResponse
    from rlhf.recipes.processes import Processes

_GRIDS = ("mask", "old", "reference", "values", "entropy")


@dataclass(kw_only=True, eq=False)
class Rollouts:
    """This process's responses of a round, token by token."""

    packs: dict[int, Pack]
    """By place in the round; rows that take part only."""
    mask: Float[Tensor, "row token"]
    old: Float[Tensor, "row token"]
    reference: Float[Tensor, "row token"]
    values: Float[Tensor, "row token"]
    entropy: Float[Tensor, "row token"]
    advantages: Float[Tensor, "row token"]
    returns: Float[Tensor, "row token"]


class AdvantageEstimator:
    """Reads each token under the current and the reference weights, and estimates its advantage."""

    def __init__(self, recipe: PPO, policy: Policy, processes: Processes, tokenizer: Any) -> None:
        self.recipe, self.policy, self.processes, self.tokenizer = recipe, policy, processes, tokenizer
        self.rule = macro_rule(recipe.macro)

    @torch.no_grad()
    def prepare(
        self,
        rows: Sequence[ScoredResponse],
        shaped: Mapping[tuple[int, int], float | list[float]],
        prompts: Sequence[Sequence[int]],
        kl_coefficient: float,
    ) -> Rollouts:
        """The rollouts of this process.

        `shaped` gives the score of (place, sample), or one reward per token of it, where there is one.
        """
        policy, width = self.policy, self.recipe.sampling.max_new_tokens
        grids = {name: torch.zeros(len(rows), width, device=policy.device) for name in _GRIDS}
        packs: dict[int, Pack] = {}
        for place in dict.fromkeys(row.place for row in rows):
            kept = [i for i, r in enumerate(rows) if r.place == place and (r.place, r.sample) in shaped]
            if kept:
                ids = [rows[i].response.ids for i in kept]
                packs[place] = Pack(prompt=prompts[rows[kept[0]].item], responses=ids, rows=kept)
        policy.check(packs.values())
        parts = policy.parts(packs.values())
        for batch, scores in policy.scored(parts):
            at = (batch.rows, batch.columns)
            grids["mask"][at] = 1.0
            grids["old"][at], grids["entropy"][at] = scores.log_prob, scores.entropy
            if scores.value is not None:
                grids["values"][at] = scores.value
        with policy.reference():
            for batch, scores in policy.scored(parts):
                grids["reference"][batch.rows, batch.columns] = scores.log_prob
        score = torch.zeros(len(rows), device=policy.device)
        grids["tokens"] = torch.zeros_like(grids["mask"])
        for i, row in enumerate(rows):
            reward = shaped.get((row.place, row.sample), 0.0)
            if isinstance(reward, (int, float)):
                score[i] = reward
            else:
                grids["tokens"][i, : len(reward)] = torch.tensor(reward, device=policy.device)
        advantages, returns = self._advantages(rows, grids, score, kl_coefficient)
        del grids["tokens"]
        return Rollouts(packs=packs, advantages=advantages, returns=returns, **grids)

    def _advantages(
        self,
        rows: Sequence[ScoredResponse],
        grids: Mapping[str, Tensor],
        score: Float[Tensor, " row"],
        kl_coefficient: float,
    ) -> tuple[Float[Tensor, "row token"], Float[Tensor, "row token"]]:
        """Advantage and return per token; whitened over all processes."""
        recipe, mask = self.recipe, grids["mask"]
        penalty = -kl_coefficient * maths.kl_k1(grids["old"], grids["reference"]) * mask
        rewards = maths.add_at_last_token(penalty + grids["tokens"] * mask, score, mask)
        if recipe.advantage == "gae":
            responses = None if isinstance(self.rule, int) else self._written(rows, grids)
            macros = maths.macro_actions(mask, self.rule, responses)
            A, returns, real = maths.estimate_advantages(
                rewards, grids["values"], mask, macros, gamma=recipe.gamma, lam=recipe.lam
            )
            A = self._whitened(A, real)
            return A.gather(1, macros) * mask, returns.gather(1, macros) * mask
        totals = torch.where(mask.any(1), rewards.sum(1), torch.nan)
        places = torch.tensor([row.place for row in rows], device=self.policy.device)
        A = maths.group_advantages(totals, places, scale=recipe.group_scale)[:, None] * mask
        return self._whitened(A, mask), torch.zeros_like(mask)

    def _written(self, rows: Sequence[ScoredResponse], grids: Mapping[str, Tensor]) -> list[Written]:
        """Responses as rules for macro actions see them; nothing of those that were left out."""
        counts = [int(n) for n in grids["mask"].sum(1)]
        return [
            written(row.response.ids[:n], reference[:n].tolist(), self.tokenizer)
            for row, reference, n in zip(rows, grids["reference"], counts, strict=True)
        ]

    def _whitened(
        self, A: Float[Tensor, "row action"], mask: Float[Tensor, "row action"]
    ) -> Float[Tensor, "row action"]:
        default = self.recipe.advantage == "gae"
        if not (default if self.recipe.whiten is None else self.recipe.whiten):
            return A
        return maths.whiten(A, mask, self.processes.sum(maths.masked_moments(A, mask)))
