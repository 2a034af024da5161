"""The loop of recipes whose loss compares several responses to one prompt: RRHF, segment-weighted DPO.

A group travels as one pack (`rlhf.recipes.packing`), so its prompt is computed once for all its responses. A
step takes the mean loss over its groups, whichever processes and passes they were cut into; a killed run goes
on exactly from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from activations.tokens import encode
from organisms.checkpoints import claim
from organisms.finetune import end_of_turn
from organisms.lora import fused_adapters
from rlhf.recipes.checkpoint import checkpoints, digest_weights, load_checkpoint, save_checkpoint
from rlhf.recipes.monitor import RoundLog, live_view
from rlhf.recipes.packing import Pack, collate_packs, plan_micro_batches
from rlhf.recipes.ppo_policy import Policy
from rlhf.recipes.processes import Processes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from rlhf.preferences import Pair

GroupLoss = Callable[[int, Sequence[Tensor]], tuple[Tensor, dict[str, float]]]
"""From the number of a group and the log-probabilities of each response's tokens to the group's loss, and
numbers to log."""


@dataclass(frozen=True, kw_only=True)
class GroupSpec:
    """How to learn from groups. The defaults suit a 135M-parameter model with a LoRA adapter."""

    learning_rate: float = 5e-5
    """Peak; linear warm-up, then a cosine to 0."""
    warmup: int = 5
    """Optimiser steps."""
    batch_size: int = 8
    """Prompts per optimiser step, over all processes; the last batch of a pass may be smaller."""
    epochs: float = 1.0
    """Passes over the groups."""
    max_tokens: int = 512
    """Longest prompt with response; a longer one is refused, never cut."""
    max_grad_norm: float = 1.0
    micro_tokens: int | None = None
    """Tokens per forward and backward pass, padding included; None: 16,384 on a GPU, else 4,096."""
    share_prompts: bool = True
    """Compute a prompt once for all its responses (equal up to rounding, checked at the start)."""
    autocast: bool | None = None
    """bfloat16 autocast around float32 weights; None: where this machine computes bfloat16 fast."""
    seed: int = 0
    save_every: int = 25
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.epochs <= 0 or self.save_every < 1:
            raise ValueError("batch_size and save_every must be at least 1, and epochs positive")


def encode_group(
    prompt: Any, responses: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
) -> Pack:
    """A prompt with its responses as token ids, each with its end of turn.

    Raises:
        ValueError: one is longer than `max_tokens` with its prompt.
    """
    encoded = [encode(prompt, response, tokenizer) for response in responses]
    end = end_of_turn(tokenizer)
    longest = max(len(row.ids) for row in encoded) + 1
    if longest > max_tokens:
        raise ValueError(
            f"a response has {longest} tokens with its prompt, more than max_tokens={max_tokens}; raise it, "
            "or draw shorter responses (nothing is cut)"
        )
    start = encoded[0].prompt_len
    return Pack(
        prompt=encoded[0].ids[:start],
        responses=[[*row.ids[start:], end] for row in encoded],
        rows=range(len(encoded)),
    )


def pack_pairs(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> list[Pack]:
    """Each pair as a group of two: chosen, rejected.

    Raises:
        ValueError: a side is not one message, or is longer than `max_tokens` with its prompt.
    """
    for number, pair in enumerate(pairs):
        for side in ("chosen", "rejected"):
            if isinstance(said := pair[side], str) or len(said) != 1:
                raise ValueError(
                    f"pair {number}: {side} must be one message, as [{{'role': 'assistant', 'content': "
                    f"'...'}}]; got {str(said)[:80]}. Earlier turns belong to its prompt"
                )
    texts = [[pair[side][0]["content"] for side in ("chosen", "rejected")] for pair in pairs]
    return [
        encode_group(pair["prompt"], both, tokenizer, max_tokens=max_tokens)
        for pair, both in zip(pairs, texts, strict=True)
    ]


def learning_rate(spec: GroupSpec, step: int, steps: int) -> float:
    """Rate of optimiser step `step`, counted from 0.

    >>> spec = GroupSpec(learning_rate=1.0, warmup=2)
    >>> [round(learning_rate(spec, step, 6), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < spec.warmup:
        return spec.learning_rate * (step + 1) / spec.warmup
    done = (step - spec.warmup) / max(1, steps - spec.warmup)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class GroupTrainer:
    """Trains a model in place on the mean of a loss over groups.

    Args:
        model: a causal LM with a trainable float32 adapter over any base, or trainable float32 weights.
        groups: at least one.
        spec: how.
        work_dir: receives checkpoints, `recipe.json` and `rounds.jsonl` (one line per step).
        examples: a digest of what the loss knows of the groups, beside their ids.
        start: names the weights that `model` has now; their digest is checked besides.
        progress: show a live line.

    Raises:
        ValueError: no groups, an architecture that cannot be trained on packs, or checkpoints of another run.
    """

    def __init__(
        self,
        model: Any,
        groups: Sequence[Pack],
        spec: GroupSpec,
        *,
        work_dir: str | Path,
        examples: str = "",
        start: str = "",
        progress: bool = False,
    ) -> None:
        if not groups:
            raise ValueError("no groups of responses to learn from")
        self.groups, self.spec, self.progress = groups, spec, progress
        self.processes, self.work_dir = Processes(), Path(work_dir)
        self.policy = Policy(
            model,
            self.processes,
            autocast=spec.autocast,
            micro_tokens=spec.micro_tokens,
            share_prompts=spec.share_prompts,
        )
        self.policy.check(groups)
        self.optimiser = torch.optim.AdamW(
            self.policy.trained, lr=spec.learning_rate, weight_decay=0.0, betas=(0.9, 0.999)
        )
        self.per_epoch = math.ceil(len(groups) / spec.batch_size)
        self.steps = max(1, round(spec.epochs * self.per_epoch))
        if self.processes.main:
            claim(
                self.work_dir,
                settings=asdict(spec),
                examples=f"{len(groups)} groups, {digest_groups(groups, examples)}",
                start=f"{start} {digest_weights(model)}".strip(),
            )
        self.processes.wait()

    @torch.no_grad()
    def log_probs(self) -> list[list[Tensor]]:
        """Of every token of every response under the weights as they are now, the same in all processes."""
        found = []
        with fused_adapters(self.policy.model):
            for part in self._parts(self.processes.share(range(len(self.groups)))):
                everything = self._forward([self.groups[number] for number in part])
                found += [
                    (number, [row.tolist() for row in rows])
                    for number, rows in zip(part, everything, strict=True)
                ]
        device = self.policy.device
        everyone = sorted(self.processes.gather(found))
        return [[torch.tensor(row, device=device) for row in rows] for _, rows in everyone]

    def train(self, loss: GroupLoss) -> list[dict[str, float]]:
        """Take the steps that are left; gives the log of all."""
        done = self._resume()
        log = RoundLog(self.work_dir, done=done, write=self.processes.main)
        show = self.progress and self.processes.main
        with live_view(self.steps, done, show=show) as update, fused_adapters(self.policy.model):
            for step in range(done, self.steps):
                entry = {"round": step, **self._step(step, loss)}
                log.add(entry)
                update(entry)
                if (step + 1) % self.spec.save_every == 0 or step + 1 == self.steps:
                    self._save(step + 1)
        return log.entries

    def _batch(self, step: int) -> list[int]:
        """Groups of a step: every group once per pass, in a new order each pass."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.spec.seed, epoch]).permutation(len(self.groups))
        size = self.spec.batch_size
        return [int(number) for number in order[place * size : (place + 1) * size]]

    def _parts(self, numbers: Sequence[int]) -> list[list[int]]:
        """Groups that are computed in one pass."""
        by_pack = {id(self.groups[number]): number for number in numbers}
        packs = [self.groups[number] for number in numbers]
        if len(self.policy.parts(packs[:1])) > 1:  # prompts cannot be shared: the responses of one group
            return [[number] for number in numbers]
        return [
            [by_pack[id(pack)] for pack in part] for part in plan_micro_batches(packs, self.policy.budget)
        ]

    def _forward(self, packs: Sequence[Pack]) -> list[tuple[Tensor, ...]]:
        """Log-probabilities of the tokens of every response of every pack."""
        parts = self.policy.parts(packs)
        scores = self.policy.score(collate_packs(parts, self.policy.device)).log_prob
        rows = scores.split([len(response) for part in parts for response in part.responses])
        found, at = [], 0
        for pack in packs:
            found.append(tuple(rows[at : at + len(pack.responses)]))
            at += len(pack.responses)
        return found

    def _step(self, step: int, loss: GroupLoss) -> dict[str, float]:
        numbers = self._batch(step)
        self.optimiser.zero_grad(set_to_none=True)
        logged: list[tuple[int, dict[str, float]]] = []
        for part in self._parts(self.processes.share(numbers)):
            total = torch.zeros((), device=self.policy.device)
            for number, log_probs in zip(part, self._forward([self.groups[n] for n in part]), strict=True):
                one, facts = loss(number, log_probs)
                total = total + one
                logged.append((number, {"loss": float(one.detach()), **facts}))
            (total / len(numbers)).backward()
        self.processes.add_gradients(self.policy.trained)
        norm = torch.nn.utils.clip_grad_norm_(self.policy.trained, self.spec.max_grad_norm)
        rate = learning_rate(self.spec, step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        rows = [facts for _, facts in sorted(self.processes.gather(logged), key=lambda row: row[0])]
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return {**means, "gradient_norm": float(norm), "learning_rate": rate}

    def _resume(self) -> int:
        found = checkpoints(self.work_dir)
        if not found:
            return 0
        state = load_checkpoint(found[-1], model=self.policy.model, head=None, optimiser=self.optimiser)
        return state["rounds"]

    def _save(self, steps: int) -> None:
        if self.processes.main:
            save_checkpoint(
                self.work_dir,
                rounds=steps,
                model=self.policy.model,
                head=None,
                optimiser=self.optimiser,
                state={},
                keep=1,
            )
        self.processes.wait()


def digest_groups(groups: Sequence[Pack], examples: str) -> str:
    """Names the groups' ids and what else the loss knows of them."""
    digest = hashlib.sha256(examples.encode())
    for group in groups:
        digest.update(repr((list(group.prompt), [list(row) for row in group.responses])).encode())
    return f"sha256 {digest.hexdigest()}"
