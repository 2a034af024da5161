"""Proximal policy optimisation on accelerate: rounds of sampling, scoring and a few optimiser steps.

With ``advantage="gae"`` a value head on the shared trunk is the critic (arXiv 1707.06347, settings of
2409.12822); with ``"group"`` the other samples of a prompt are the baseline and there is no critic. Every
token of a round weighs the same: no response is normalised by its length (arXiv 2503.20783).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from activations.dtype import resolve_autocast
from organisms.checkpoints import claim
from organisms.lora import fused_adapters
from rlhf.recipes import ppo_math as maths
from rlhf.recipes.checkpoint import (
    checkpoints,
    digest_weights,
    load_checkpoint,
    save_checkpoint,
    trained_parameters,
)
from rlhf.recipes.monitor import RoundLog, letter_balance, live_view
from rlhf.recipes.packing import Pack, check_path, collate_packs, plan_micro_batches, score_tokens, scored
from rlhf.recipes.processes import Processes
from rlhf.recipes.recipe import Job, TrainingResult, encode_prompts, give_score, term_name
from rlhf.recipes.rollout import Response, SamplingOptions, sample_groups
from tasks.qa import parse_answer

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
    macro: int | maths.MacroRule = 1
    """Tokens per macro action, or a rule that cuts a response into macro actions (needs ``gae``)."""
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_coefficient: float = 0.2
    entropy_coefficient: float = 0.003
    kl_coefficient: float = 0.03
    """Weight of the per-token penalty ``log p - log p_ref`` in the reward."""
    kl_target: float | None = None
    """Nats per response the coefficient is steered towards; None keeps it."""
    kl_horizon: float = 10_000
    reward_clip: float = 10.0
    scale_rewards: bool = True
    """Divide by the running standard deviation, after clipping."""
    clipped: Literal["score", "penalty", "drop"] = "score"
    """Responses that reach the limit: scored like others, given ``clipped_score``, or left out."""
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
        if self.advantage == "group" and self.macro != 1:
            raise ValueError("macro actions need the critic: advantage='gae'")
        if self.advantage == "group" and self.sampling.samples < 2:
            raise ValueError("a group baseline needs at least 2 samples per prompt")

    def __call__(self, job: Job) -> TrainingResult:
        """Train the job's model; see :func:`rlhf.recipes.train_rlhf`."""
        return _Loop(self, job).run()


class ValueHead(torch.nn.Module):
    """Linear(d, 2d), ReLU, Linear(2d, 1); starts at 0 everywhere."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.inner, self.outer = torch.nn.Linear(width, 2 * width), torch.nn.Linear(2 * width, 1)
        torch.nn.init.zeros_(self.outer.weight)
        torch.nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Values of hidden states [token, d]."""
        return self.outer(torch.relu(self.inner(hidden)))[:, 0]


@dataclass(kw_only=True, eq=False)
class _Rollouts:
    """This process's responses of a round."""

    packs: dict[int, Pack]
    """By place in the round; rows that take part only."""
    mask: Tensor
    old: Tensor
    reference: Tensor
    values: Tensor
    entropy: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass(kw_only=True)
class _Row:
    """One response and what is known of it; travels between processes."""

    place: int
    sample: int
    item: int
    response: Response
    text: str
    score: float | None = None
    """What is optimised, before shaping; None leaves the row out."""
    stats: dict[str, float] = field(default_factory=dict)
    letter: str | None = None


class _Loop:
    def __init__(self, recipe: PPO, job: Job) -> None:
        self.recipe, self.job, self.processes = recipe, job, Processes()
        if self.processes.count > 1:
            job.model.to(self.processes.device)
        self.model = job.model.eval()  # no dropout: old and new log-probabilities come from one function
        self.device = next(self.model.parameters()).device
        gpu = self.device.type == "cuda"
        wanted = "auto" if recipe.autocast is None else recipe.autocast
        self.autocast = resolve_autocast(wanted, self.device.type)
        self.budget = recipe.micro_tokens or (16_384 if gpu else 4_096)
        self.prompts = encode_prompts(job, room=recipe.sampling.max_new_tokens)
        self.eos = int(job.tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType]
        self.head = None
        if recipe.advantage == "gae":
            width = self.model.get_input_embeddings().weight.shape[1]
            self.head = ValueHead(width, recipe.seed).to(self.device)
        self.trained = list(trained_parameters(self.model).values())
        groups = [{"params": self.trained, "lr": recipe.learning_rate, "peak": recipe.learning_rate}]
        if self.head is not None:
            rate = recipe.value_learning_rate
            groups.append({"params": list(self.head.parameters()), "lr": rate, "peak": rate})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, betas=(0.9, 0.999))
        self.scale = maths.RunningScale(clip=recipe.reward_clip, enabled=recipe.scale_rewards)
        self.control = maths.KLController(
            coefficient=recipe.kl_coefficient, target=recipe.kl_target, horizon=recipe.kl_horizon
        )
        self.steps = 0
        self.share: bool | None = None if recipe.share_prompts else False
        self.start = [p.detach().clone() for p in self.trained]
        self.seconds: dict[str, float] = {}

    # --- the run ---------------------------------------------------------------------------------------

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
        flag = self.processes.sum(torch.tensor(float(over), device=self.device))
        return (
            f"the {limit:g} minutes it was given are over; the same command goes on from here"
            if flag
            else None
        )

    def _resume(self) -> int:
        start = f"{self.job.start} {digest_weights(self.model)}".strip()
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
        state = load_checkpoint(found[-1], model=self.model, head=self.head, optimiser=self.optimiser)
        self.scale = maths.RunningScale(**state["scale"])
        self.control = maths.KLController(**state["control"])
        self.steps = state["steps"]
        logger.info("going on from %s", found[-1])
        return state["rounds"]

    def _save(self, rounds: int) -> None:
        if self.processes.main:
            save_checkpoint(
                self.job.work_dir,
                rounds=rounds,
                model=self.model,
                head=self.head,
                optimiser=self.optimiser,
                state={"scale": asdict(self.scale), "control": asdict(self.control), "steps": self.steps},
                keep=self.recipe.keep_checkpoints,
            )
        self.processes.wait()

    def _round(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        self.seconds = {}
        began = time.perf_counter()
        with self._timed("sampling"):
            rows = self._sample(number)
        with self._timed("scoring"):
            metrics = self._score(rows)
        everyone = sorted(self.processes.gather(rows), key=lambda row: (row.place, row.sample))
        shaped = self._shape(everyone)
        with fused_adapters(self.model):
            with self._timed("forward"):
                rollouts = self._prepare(rows, shaped)
            losses = self._optimise(rollouts, number)
        entry = {"round": number, **self._summary(everyone, rows, rollouts), **metrics, **losses}
        if self.job.evaluate and (number + 1) % self.job.evaluate_every == 0 and self.processes.main:
            with self._timed("evaluation"):
                heldout = self.job.evaluate(self.model)
            self.model.eval()
            entry |= {f"heldout/{name}": float(value) for name, value in heldout.items()}
        entry |= {f"seconds/{name}": round(value, 3) for name, value in self.seconds.items()}
        entry["seconds"] = round(time.perf_counter() - began, 3)
        return entry, [self._sample_line(number, row) for row in everyone[:: max(1, len(everyone) // 8)][:8]]

    # --- sampling and scoring --------------------------------------------------------------------------

    def _draw(self, number: int) -> list[int]:
        """Items of a round: every item once per pass through them, in a new order each pass."""
        wanted = range(number * self.recipe.prompts, (number + 1) * self.recipe.prompts)
        size = len(self.prompts)
        orders = {
            turn: np.random.default_rng([self.recipe.seed, turn]).permutation(size)
            for turn in {i // size for i in wanted}
        }
        return [int(orders[i // size][i % size]) for i in wanted]

    def _sample(self, number: int) -> list[_Row]:
        drawn = self._draw(number)
        places = self.processes.share(range(len(drawn)))
        groups = sample_groups(
            self.model,
            [self.prompts[drawn[place]] for place in places],
            eos=self.eos,
            options=self.recipe.sampling,
            seed=(self.recipe.seed, number),
            places=places,
            autocast=self.autocast,
        )
        return [
            _Row(
                place=place,
                sample=sample,
                item=drawn[place],
                response=response,
                text=str(self.job.tokenizer.decode(response.ids, skip_special_tokens=True)),
            )
            for place, group in zip(places, groups, strict=True)
            for sample, response in enumerate(group)
        ]

    def _score(self, rows: list[_Row]) -> dict[str, float]:
        """Put scores and statistics into the rows; gives the mean of what rewards log themselves."""
        items = [self.job.items[row.item] for row in rows]
        texts, ids = [row.text for row in rows], [row.response.ids for row in rows]
        logged: list[tuple[str, float]] = []
        for name, reward in {"reward": self.job.reward, **self.job.monitors}.items():
            note = (lambda metric, value: logged.append((metric, float(value)))) if name == "reward" else None
            scores = give_score(reward, items, texts, ids, name=name, log_metric=note) if rows else []
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

    def _clipped(self, row: _Row, score: float | None) -> float | None:
        if not row.response.clipped or score is None or self.recipe.clipped == "score":
            return score
        return self.recipe.clipped_score if self.recipe.clipped == "penalty" else None

    def _shape(self, everyone: Sequence[_Row]) -> dict[tuple[int, int], float]:
        """Clipped and scaled scores of all processes' rows, in an order that no process decides."""
        valid = [row for row in everyone if row.score is not None]
        if not valid:
            raise ValueError("the reward left out every response of a round, so there is nothing to learn")
        scaled = self.scale([row.score for row in valid])  # pyright: ignore[reportArgumentType]
        return {(row.place, row.sample): score for row, score in zip(valid, scaled, strict=True)}

    # --- advantages ------------------------------------------------------------------------------------

    @torch.no_grad()
    def _prepare(self, rows: list[_Row], shaped: dict[tuple[int, int], float]) -> _Rollouts:
        width = self.recipe.sampling.max_new_tokens
        grids = {name: torch.zeros(len(rows), width, device=self.device) for name in _GRIDS}
        packs: dict[int, Pack] = {}
        for place in dict.fromkeys(row.place for row in rows):
            kept = [i for i, r in enumerate(rows) if r.place == place and (r.place, r.sample) in shaped]
            if kept:
                ids = [rows[i].response.ids for i in kept]
                packs[place] = Pack(prompt=self.prompts[rows[kept[0]].item], responses=ids, rows=kept)
        if self.share is None:
            some = [pack for pack in packs.values() if len(pack.responses) > 1]
            if some:
                self.share = check_path(self.model, some[0], device=self.device, autocast=self.autocast)
        parts = self._parts(packs.values())
        for batch, scores in self._scored(parts):
            at = (batch.rows, batch.columns)
            grids["mask"][at] = 1.0
            grids["old"][at], grids["entropy"][at] = scores.log_prob, scores.entropy
            if scores.value is not None:
                grids["values"][at] = scores.value
        with self._reference():
            for batch, scores in self._scored(parts):
                grids["reference"][batch.rows, batch.columns] = scores.log_prob
        score = torch.zeros(len(rows), device=self.device)
        for i, row in enumerate(rows):
            score[i] = shaped.get((row.place, row.sample), 0.0)
        advantages, returns = self._advantages(rows, grids, score)
        return _Rollouts(packs=packs, advantages=advantages, returns=returns, **grids)

    def _advantages(self, rows: list[_Row], grids: dict[str, Tensor], score: Tensor) -> tuple[Tensor, Tensor]:
        """Per token [row, token]; whitened over all processes."""
        recipe, mask = self.recipe, grids["mask"]
        penalty = -self.control.coefficient * maths.kl_k1(grids["old"], grids["reference"]) * mask
        rewards = maths.add_at_last_token(penalty, score, mask)
        if recipe.advantage == "gae":
            ids = [row.response.ids[: int(n)] for row, n in zip(rows, mask.sum(1), strict=True)]
            macros = maths.macro_actions(mask, recipe.macro, ids)
            A, returns, real = maths.estimate_advantages(
                rewards, grids["values"], mask, macros, gamma=recipe.gamma, lam=recipe.lam
            )
            A = self._whitened(A, real)
            return A.gather(1, macros) * mask, returns.gather(1, macros) * mask
        totals = torch.where(mask.any(1), rewards.sum(1), torch.nan)
        places = torch.tensor([row.place for row in rows], device=self.device)
        A = maths.group_advantages(totals, places, scale=recipe.group_scale)[:, None] * mask
        return self._whitened(A, mask), torch.zeros_like(mask)

    def _whitened(self, A: Tensor, mask: Tensor) -> Tensor:
        default = self.recipe.advantage == "gae"
        if not (default if self.recipe.whiten is None else self.recipe.whiten):
            return A
        return maths.whiten(A, mask, self.processes.sum(maths.masked_moments(A, mask)))

    @contextmanager
    def _reference(self) -> Iterator[None]:
        """The weights the run started from, in place of the current ones."""
        current = [p.data for p in self.trained]
        try:
            for parameter, start in zip(self.trained, self.start, strict=True):
                parameter.data = start
            yield
        finally:
            for parameter, data in zip(self.trained, current, strict=True):
                parameter.data = data

    def _parts(self, packs: Any) -> list[Pack]:
        return list(packs) if self.share else [part for pack in packs for part in pack.split()]

    def _scored(self, parts: Sequence[Pack]) -> Iterator[Any]:
        return scored(
            self.model,
            parts,
            budget=2 * self.budget,
            device=self.device,
            value_head=self.head,
            autocast=self.autocast,
        )

    # --- optimisation ----------------------------------------------------------------------------------

    def _optimise(self, rollouts: _Rollouts, number: int) -> dict[str, float]:
        seen: dict[str, list[float]] = {}
        for epoch in range(self.recipe.inner_epochs):
            order = np.random.default_rng([self.recipe.seed, number, epoch]).permutation(self.recipe.prompts)
            for places in np.array_split(order, self.recipe.minibatches):
                packs = [rollouts.packs[int(p)] for p in places if int(p) in rollouts.packs]
                for name, value in self._step(rollouts, packs).items():
                    seen.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in seen.items()}

    def _step(self, rollouts: _Rollouts, packs: Sequence[Pack]) -> dict[str, float]:
        """One optimiser step on the packs of all processes."""
        rows = [row for pack in packs for row in pack.rows]
        count = self.processes.sum(rollouts.mask[rows].sum().double())
        totals = torch.zeros(6, dtype=torch.float64, device=self.device)
        self.optimiser.zero_grad(set_to_none=True)
        for part in plan_micro_batches(self._parts(packs), self.budget):
            with self._timed("forward"):
                loss, sums = self._losses(rollouts, part)
            with self._timed("backward"):
                (loss / count.float()).backward()
            totals += sums
        with self._timed("update"):
            norm = self._update()
        names = ("loss/policy", "loss/value", "entropy/update", "ratio/clipped", "value/clipped", "kl/old")
        means = (self.processes.sum(totals) / count).tolist()
        return {**dict(zip(names, means, strict=True)), "gradient_norm": norm}

    def _losses(self, rollouts: _Rollouts, part: Sequence[Pack]) -> tuple[Tensor, Tensor]:
        """Summed loss of a micro-batch, and sums to log."""
        recipe, batch = self.recipe, collate_packs(part, self.device)
        scores = score_tokens(self.model, batch, value_head=self.head, autocast=self.autocast)
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
        for parameter in parameters:
            if parameter.grad is None:  # this process had no part in the minibatch
                parameter.grad = torch.zeros_like(parameter)
        if self.processes.count > 1:
            flat = self.processes.sum(torch.cat([p.grad.flatten() for p in parameters]))
            for parameter, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.grad = grad.view_as(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.max_grad_norm)
        self.steps += 1
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * min(1.0, self.steps / max(1, self.recipe.warmup))
        self.optimiser.step()
        return float(norm)

    # --- what is logged --------------------------------------------------------------------------------

    def _summary(self, everyone: Sequence[_Row], rows: list[_Row], rollouts: _Rollouts) -> dict[str, Any]:
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
            "reward/mixed_groups": _mixed(everyone),
            "kl": k1_sum / responses,
            "kl/k3": k3_sum / responses,
            "kl/coefficient": beta,
            "entropy": entropy / tokens,
            "sampler_gap": gap_sum / tokens,
            "responses": len(everyone),
            "tokens": int(tokens),
            **letter_balance([row.letter for row in everyone]),
        }

    def _sample_line(self, number: int, row: _Row) -> dict[str, Any]:
        item = self.job.items[row.item]
        return {"round": number, "item": item["id"], "response": row.text, **row.stats}

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = self._now()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


_GRIDS = ("mask", "old", "reference", "values", "entropy")


def _mixed(rows: Sequence[_Row]) -> float:
    """Share of prompts whose samples do not all score the same: only these can teach."""
    groups: dict[int, set[float]] = {}
    for row in rows:
        if row.score is not None:
            groups.setdefault(row.place, set()).add(row.score)
    return sum(len(scores) > 1 for scores in groups.values()) / max(1, len(groups))
