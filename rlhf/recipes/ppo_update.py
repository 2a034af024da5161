"""PPO's optimiser steps on the rollouts of a round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rlhf.recipes import ppo_math as maths
from rlhf.recipes.packing import Pack, collate_packs, plan_micro_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlhf.recipes.ppo import PPO
    from rlhf.recipes.ppo_advantages import Rollouts
    from rlhf.recipes.ppo_policy import Policy
    from rlhf.recipes.processes import Processes
    from rlhf.recipes.stopwatch import Stopwatch


class Updater:
    """The optimiser of policy and critic, and the count of its steps."""

    def __init__(self, recipe: PPO, policy: Policy, processes: Processes, watch: Stopwatch) -> None:
        self.recipe, self.policy, self.processes, self.watch = recipe, policy, processes, watch
        groups = [{"params": policy.trained, "lr": recipe.learning_rate, "peak": recipe.learning_rate}]
        if policy.head is not None:
            rate = recipe.value_learning_rate
            groups.append({"params": list(policy.head.parameters()), "lr": rate, "peak": rate})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, betas=(0.9, 0.999))
        self.steps = 0

    def optimise(self, rollouts: Rollouts, number: int) -> dict[str, float]:
        """Take the steps of round `number`; gives the means of what is logged."""
        seen: dict[str, list[float]] = {}
        for epoch in range(self.recipe.inner_epochs):
            order = np.random.default_rng([self.recipe.seed, number, epoch]).permutation(self.recipe.prompts)
            for places in np.array_split(order, self.recipe.minibatches):
                packs = [rollouts.packs[int(p)] for p in places if int(p) in rollouts.packs]
                for name, value in self._step(rollouts, packs).items():
                    seen.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in seen.items()}

    def _step(self, rollouts: Rollouts, packs: Sequence[Pack]) -> dict[str, float]:
        """One optimiser step on the packs of all processes."""
        rows = [row for pack in packs for row in pack.rows]
        count = self.processes.sum(rollouts.mask[rows].sum().double())
        totals = torch.zeros(6, dtype=torch.float64, device=self.policy.device)
        self.optimiser.zero_grad(set_to_none=True)
        for part in plan_micro_batches(self.policy.parts(packs), self.policy.budget):
            with self.watch.timed("forward"):
                loss, sums = self._losses(rollouts, part)
            with self.watch.timed("backward"):
                (loss / count.float()).backward()
            totals += sums
        with self.watch.timed("update"):
            norm = self._update()
        names = ("loss/policy", "loss/value", "entropy/update", "ratio/clipped", "value/clipped", "kl/old")
        means = (self.processes.sum(totals) / count).tolist()
        return {**dict(zip(names, means, strict=True)), "gradient_norm": norm}

    def _losses(
        self, rollouts: Rollouts, part: Sequence[Pack]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " logged"]]:
        """Summed loss of a micro-batch, and sums to log."""
        recipe, batch = self.recipe, collate_packs(part, self.policy.device)
        scores = self.policy.score(batch)
        at = (batch.rows, batch.columns)
        old, A = rollouts.old[at], rollouts.advantages[at]
        policy = maths.clipped_surrogate(scores.log_prob, old, A, clip=recipe.clip).sum()
        loss = policy - recipe.entropy_coefficient * scores.entropy.sum()
        value, value_clipped = torch.zeros_like(policy), torch.zeros_like(policy)
        if scores.value is not None:
            before, returns = rollouts.values[at], rollouts.returns[at]
            value = maths.clipped_value_loss(scores.value, before, returns, clip=recipe.value_clip).sum()
            value_clipped = ((scores.value - before).abs() > recipe.value_clip).float().sum()
            loss = loss + recipe.value_coefficient * value
        with torch.no_grad():
            ratio = (scores.log_prob - old).exp()
            outside = ((ratio - 1).abs() > recipe.clip).float().sum()
            moved = maths.kl_k3(old, scores.log_prob).sum()
        logged = (policy, value, scores.entropy.sum(), outside, value_clipped, moved)
        return loss, torch.stack([entry.detach().double() for entry in logged])

    def _update(self) -> float:
        """Add gradients up over processes, clip, step; gives the norm before clipping."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.processes.add_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.max_grad_norm)
        self.steps += 1
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * min(1.0, self.steps / max(1, self.recipe.warmup))
        self.optimiser.step()
        return float(norm)
