"""Proximal policy optimisation on accelerate: rounds of sampling, scoring and a few optimiser steps.

With `advantage="gae"` a value head on the shared trunk is the critic (arXiv 1707.06347, settings of
2409.12822); with `"group"` the other samples of a prompt are the baseline and there is no critic. Every
token of a round weighs the same: no response is normalised by its length (arXiv 2503.20783).
"""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from organisms.checkpoints import claim
from organisms.lora import fused_adapters
from rlhf.recipes import ppo_math as maths
from rlhf.recipes.checkpoint import checkpoints, digest_weights, load_checkpoint, save_checkpoint
from rlhf.recipes.macros import MacroRule, macro_rule
from rlhf.recipes.monitor import RoundLog, letter_balance, live_view
from rlhf.recipes.ppo_advantages import AdvantageEstimator, Rollouts
from rlhf.recipes.ppo_policy import Policy
from rlhf.recipes.ppo_responses import ResponseSource, ScoredResponse, mixed_groups
from rlhf.recipes.ppo_update import Updater
from rlhf.recipes.processes import Processes
from rlhf.recipes.recipe import Job, TrainingResult, refuse_token_rewards
from rlhf.recipes.rollout import SamplingOptions
from rlhf.recipes.stopwatch import Stopwatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PPO:
    """How to optimise. The defaults suit a 135M-parameter model with a LoRA adapter."""

    rounds: int = 100
    prompts: int = 32
    """Prompts per round, over all processes."""
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    advantage: Literal["gae", "group"] = "gae"
    """A learned critic, or the mean of the other samples of the prompt."""
    group_scale: Literal["none", "group"] = "none"
    """Whether group advantages are divided by the group's standard deviation (GRPO) or not (Dr. GRPO)."""
    whiten: bool | None = None
    """Standardise advantages over the round; None: with a critic yes, with groups no."""
    macro: int | str | MacroRule = 1
    """Tokens per macro action, or where it ends: `random`, `parse`, `perplexity`, or a rule of
    `rlhf.recipes.macros` or your own (needs `gae`)."""
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_coefficient: float = 0.2
    entropy_coefficient: float = 0.003
    kl_coefficient: float = 0.03
    """Weight of the per-token penalty `log p - log p_ref` in the reward."""
    kl_target: float | None = None
    """Nats per response the coefficient is steered towards; None keeps it."""
    kl_horizon: float = 10_000
    reward_clip: float = 10.0
    scale_rewards: bool = True
    """Divide by the running standard deviation, after clipping."""
    clipped: Literal["score", "penalty", "drop"] = "score"
    """Responses that reach the limit: scored like others, given `clipped_score`, or left out."""
    clipped_score: float = 0.0
    inner_epochs: int = 2
    minibatches: int = 2
    """Optimiser steps per inner epoch."""
    micro_tokens: int | None = None
    """Tokens per forward and backward pass, padding included; None: 16,384 on a GPU, else 4,096."""
    share_prompts: bool = True
    """Compute a prompt once for all its samples (equal up to rounding, checked at the start)."""
    learning_rate: float = 2e-4
    value_learning_rate: float = 1e-3
    warmup: int = 5
    """Optimiser steps over which the rates rise linearly; constant after."""
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    autocast: bool | None = None
    """bfloat16 autocast around float32 weights; None: where this machine computes bfloat16 fast."""
    seed: int = 0
    save_every: int = 10
    """Rounds between checkpoints."""
    keep_checkpoints: int | None = None
    """None keeps all (their optimiser state goes)."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.prompts, self.inner_epochs, self.minibatches, self.save_every) < 1:
            raise ValueError("rounds, prompts, inner_epochs, minibatches and save_every must be at least 1")
        if self.minibatches > self.prompts:
            raise ValueError(f"{self.minibatches} minibatches cannot be cut from {self.prompts} prompts")
        if isinstance(macro := macro_rule(self.macro), int) and macro < 1:
            raise ValueError(f"macro={macro}: a macro action needs at least one token")
        if self.advantage == "group" and self.macro != 1:
            raise ValueError("macro actions need the critic: advantage='gae'")
        if self.advantage == "group" and self.sampling.samples < 2:
            raise ValueError("a group baseline needs at least 2 samples per prompt")

    def __call__(self, job: Job) -> TrainingResult:
        """Train the job's model; see `rlhf.recipes.train_rlhf`."""
        if self.advantage == "group":
            refuse_token_rewards(job, "PPO(advantage='group')")
        return _Loop(self, job).run()


class _Loop:
    def __init__(self, recipe: PPO, job: Job) -> None:
        self.recipe, self.job, self.processes = recipe, job, Processes()
        self.policy = Policy(
            job.model,
            self.processes,
            autocast=recipe.autocast,
            micro_tokens=recipe.micro_tokens,
            share_prompts=recipe.share_prompts,
            critic_seed=recipe.seed if recipe.advantage == "gae" else None,
        )
        self.watch = Stopwatch(self.policy.device)
        self.responses = ResponseSource(recipe, job, self.policy, self.processes)
        self.advantages = AdvantageEstimator(recipe, self.policy, self.processes, job.tokenizer)
        self.updater = Updater(recipe, self.policy, self.processes, self.watch)
        self.scale = maths.RunningScale(clip=recipe.reward_clip, enabled=recipe.scale_rewards)
        self.control = maths.KLController(
            coefficient=recipe.kl_coefficient, target=recipe.kl_target, horizon=recipe.kl_horizon
        )

    def run(self) -> TrainingResult:
        began = time.perf_counter()
        done = self._resume()
        log = RoundLog(self.job.work_dir, done=done, write=self.processes.main)
        stopped = self.job.stop.verdict(log.entries)
        show = self.job.progress and self.processes.main
        with ExitStack() as stack:
            update = stack.enter_context(live_view(self.recipe.rounds, done, show=show))
            for number in range(done, self.recipe.rounds):
                if stopped:
                    break
                entry, samples = self._round(number)
                log.add(entry, samples)
                update(entry)
                stopped = self.job.stop.verdict(log.entries) or self._time_is_up(began)
                last = stopped or number + 1 == self.recipe.rounds
                if last or (number + 1) % self.recipe.save_every == 0:
                    self._save(number + 1)
        if stopped:
            logger.warning("stopped after round %d: %s", len(log.entries), stopped)
        return TrainingResult(rounds=log.entries, stopped=stopped, work_dir=self.job.work_dir)

    def _time_is_up(self, began: float) -> str | None:
        """Why to stop now; the first process's clock decides for all."""
        limit = self.job.max_minutes
        if limit is None:
            return None
        over = self.processes.main and time.perf_counter() - began > 60 * limit
        flag = self.processes.sum(torch.tensor(float(over), device=self.policy.device))
        return (
            f"the {limit:g} minutes it was given are over; the same command goes on from here"
            if flag
            else None
        )

    def _resume(self) -> int:
        start = f"{self.job.start} {digest_weights(self.policy.model)}".strip()
        if self.processes.main:
            claim(
                self.job.work_dir,
                settings=self.job.settings(self.recipe),
                examples=self.job.digest(),
                start=start,
            )
        self.processes.wait()
        found = checkpoints(self.job.work_dir)
        if not found:
            return 0
        state = load_checkpoint(
            found[-1], model=self.policy.model, head=self.policy.head, optimiser=self.updater.optimiser
        )
        self.scale = maths.RunningScale(**state["scale"])
        self.control = maths.KLController(**state["control"])
        self.updater.steps = state["steps"]
        logger.info("going on from %s", found[-1])
        return state["rounds"]

    def _save(self, rounds: int) -> None:
        if self.processes.main:
            save_checkpoint(
                self.job.work_dir,
                rounds=rounds,
                model=self.policy.model,
                head=self.policy.head,
                optimiser=self.updater.optimiser,
                state={
                    "scale": asdict(self.scale),
                    "control": asdict(self.control),
                    "steps": self.updater.steps,
                },
                keep=self.recipe.keep_checkpoints,
            )
        self.processes.wait()

    def _round(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        self.watch.reset()
        began = time.perf_counter()
        with self.watch.timed("sampling"):
            rows = self.responses.sample(number)
        with self.watch.timed("scoring"):
            metrics = self.responses.score(rows)
        everyone = sorted(self.processes.gather(rows), key=lambda row: (row.place, row.sample))
        shaped = self._shape(everyone)
        with fused_adapters(self.policy.model):
            with self.watch.timed("forward"):
                rollouts = self.advantages.prepare(
                    rows, shaped, self.responses.prompts, self.control.coefficient
                )
            losses = self.updater.optimise(rollouts, number)
        entry = {"round": number, **self._summary(everyone, rows, rollouts), **metrics, **losses}
        if self.job.evaluate and (number + 1) % self.job.evaluate_every == 0 and self.processes.main:
            with self.watch.timed("evaluation"):
                heldout = self.job.evaluate(self.policy.model)
            self.policy.model.eval()
            entry |= {f"heldout/{name}": float(value) for name, value in heldout.items()}
        entry |= {f"seconds/{name}": round(value, 3) for name, value in self.watch.seconds.items()}
        entry["seconds"] = round(time.perf_counter() - began, 3)
        shown = everyone[:: max(1, len(everyone) // 8)][:8]
        return entry, [self.responses.sample_line(number, row) for row in shown]

    def _shape(self, everyone: Sequence[ScoredResponse]) -> dict[tuple[int, int], float | list[float]]:
        """Clipped and scaled scores of all processes' rows, in an order that no process decides.

        Rewards per token are clipped each, and divided by the standard deviation of their sums.
        """
        valid = [row for row in everyone if row.score is not None]
        if not valid:
            raise ValueError("the reward left out every response of a round, so there is nothing to learn")
        scaled = self.scale([row.score for row in valid])  # pyright: ignore[reportArgumentType]
        divisor = self.scale.std if self.scale.enabled else 1.0
        clip = self.recipe.reward_clip
        return {
            (row.place, row.sample): score
            if row.token_rewards is None
            else [min(max(reward, -clip), clip) / divisor for reward in row.token_rewards]
            for row, score in zip(valid, scaled, strict=True)
        }

    def _summary(
        self, everyone: Sequence[ScoredResponse], rows: list[ScoredResponse], rollouts: Rollouts
    ) -> dict[str, Any]:
        mask = rollouts.mask
        x = maths.kl_k1(rollouts.old, rollouts.reference) * mask
        k3 = maths.kl_k3(rollouts.old, rollouts.reference) * mask
        sampled = torch.zeros_like(mask)
        for i, row in enumerate(rows):
            sampled[i, : len(row.response.ids)] = torch.tensor(row.response.log_probs)
        gap = (sampled - rollouts.old).abs() * mask
        grids = [entry.sum() for entry in (mask, mask.any(1), x, k3, rollouts.entropy * mask, gap)]
        sums = self.processes.sum(torch.stack([entry.double() for entry in grids])).tolist()
        tokens, responses, k1_sum, k3_sum, entropy, gap_sum = sums
        names = dict.fromkeys(name for row in everyone for name in row.stats)
        means = {
            name: float(np.mean([row.stats[name] for row in everyone if name in row.stats])) for name in names
        }
        kept = [row.score for row in everyone if row.score is not None]
        beta = self.control.coefficient
        self.control.update(k3_sum / responses, sequences=int(responses))
        return {
            **means,
            "reward/std": float(np.std(kept)),
            "reward/scale": self.scale.std,
            "reward/left_out": 1 - len(kept) / len(everyone),
            "reward/mixed_groups": mixed_groups(everyone),
            "kl": k1_sum / responses,
            "kl/k3": k3_sum / responses,
            "kl/coefficient": beta,
            "entropy": entropy / tokens,
            "sampler_gap": gap_sum / tokens,
            "responses": len(everyone),
            "tokens": int(tokens),
            **letter_balance([row.letter for row in everyone]),
        }
