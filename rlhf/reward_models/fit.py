"""How every reward model is trained: items in batches, one loss over the whole batch, whoever computes it.

Under `torchrun` the items of a batch are shared out. Each process computes the outputs of its own responses,
all see the outputs of all, and each goes back through its own: the gradients add up to exactly those of one
process on the joined batch, also for losses that are no sum over responses (ODIN's correlations).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from organisms.checkpoints import claim
from organisms.lora import fused_adapters
from rlhf.recipes.checkpoint import checkpoints, digest_weights, load_checkpoint, save_checkpoint
from rlhf.recipes.processes import Processes
from rlhf.reward_models.model import RewardHead, RewardModel
from rlhf.rewards.view import Shown

logger = logging.getLogger(__name__)

CURVE = "loss.json"
"""File beside the checkpoints: what was logged at each step."""


@runtime_checkable
class Asked(Protocol):
    """Something asked, with the responses to it; further fields say what people made of them."""

    @property
    def item(self) -> str:
        """Its id; splits never cut an item."""
        ...

    @property
    def view(self) -> Shown:
        """What people were shown."""
        ...

    @property
    def responses(self) -> tuple[str, ...]:
        """All different."""
        ...


@runtime_checkable
class Objective(Protocol):
    """What the outputs of a batch are compared with."""

    def loss(
        self, outputs: Sequence[Float[Tensor, "response head"]], places: Sequence[int]
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Loss of the items at `places`, and numbers to log."""
        ...

    def penalty(self, head: RewardHead) -> Float[Tensor, ""] | float:
        """What depends on the head alone."""
        ...


def check_asked(asked: Sequence[Asked]) -> None:
    """Refuse what nobody could learn from.

    Raises:
        ValueError: no items, a repeated id, an item without a response or with the same one twice.
    """
    if not asked:
        raise ValueError("there is no item to train a reward model on")
    ids = [one.item for one in asked]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"item {twice!r} occurs twice: give all its responses at once")
    for one in asked:
        if not one.responses or len(set(one.responses)) < len(one.responses):
            raise ValueError(f"item {one.item!r} needs responses that are all different")


def fit(
    model: RewardModel,
    asked: Sequence[Asked],
    objective: Objective,
    *,
    work_dir: str | Path,
    start: str = "",
    progress: bool = True,
) -> list[dict[str, float]]:
    """Train `model` in place; a run that was interrupted goes on from `work_dir`.

    Args:
        model: from `RewardModel.start`.
        asked: items with their responses.
        objective: what is learned of them.
        work_dir: receives checkpoints and `loss.json`.
        start: names the weights that training starts from.
        progress: show a live bar.

    Returns:
        One entry per step: loss, what the objective logs, norm of the gradient.

    Raises:
        ValueError: items that nobody could learn from, checkpoints of something else in `work_dir`, or a loss
            that is not finite.
    """
    check_asked(asked)
    run = _Fit(model, asked, objective, Path(work_dir))
    return run(start, progress=progress)


class _Fit:
    def __init__(
        self, model: RewardModel, asked: Sequence[Asked], objective: Objective, work_dir: Path
    ) -> None:
        self.model, self.asked, self.objective, self.work_dir = model, asked, objective, work_dir
        self.processes, self.spec = Processes(), model.record.spec
        trained = [p for p in model.model.parameters() if p.requires_grad]
        if not trained:
            raise ValueError("nothing in the model is trainable: open it with open_trainable")
        groups = [
            {"params": trained, "peak": self.spec.learning_rate},
            {"params": list(model.head.parameters()), "peak": self.spec.head_learning_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=0.0, betas=(0.9, 0.95))
        self.batches = [batch for epoch in range(self.spec.epochs) for batch in self._epoch(epoch)]

    def __call__(self, start: str, *, progress: bool) -> list[dict[str, float]]:
        from rich.console import Console
        from rich.progress import track

        log = self._resume(start)
        steps = track(
            range(len(log), len(self.batches)),
            description="reward model",
            console=Console(stderr=True),
            disable=not (progress and self.processes.main),
        )
        with fused_adapters(self.model.model):
            for step in steps:
                log.append(self._step(step))
                done = step + 1
                if done % self.spec.save_every == 0 or done == len(self.batches):
                    self._save(log)
        return log

    def _epoch(self, epoch: int) -> list[list[int]]:
        """Places of the items of each step; batches of an epoch are of like size."""
        order = np.random.default_rng([self.spec.seed, epoch]).permutation(len(self.asked))
        count = max(1, round(len(order) / self.spec.items_per_step))
        return [batch.tolist() for batch in np.array_split(order, count)]

    def _resume(self, start: str) -> list[dict[str, float]]:
        """The log so far, with model and optimiser as they were then."""
        if self.processes.main:
            record = self.model.record
            settings = {"kind": record.kind, "heads": list(record.heads), **asdict(self.spec)}
            weights = f"{start} {digest_weights(self.model.model)}".strip()
            claim(self.work_dir, settings=settings, examples=self._digest(), start=weights)
        self.processes.wait()
        kept = checkpoints(self.work_dir)
        if not kept:
            return []
        logger.info("the reward model's training goes on from %s", kept[-1])
        head, model = self.model.head, self.model.model
        return list(load_checkpoint(kept[-1], model=model, head=head, optimiser=self.optimiser)["log"])

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for one in self.asked:
            digest.update(repr(one).encode())
        return f"{len(self.asked)} items, sha256 {digest.hexdigest()}"

    def _save(self, log: list[dict[str, float]]) -> None:
        if self.processes.main:
            save_checkpoint(
                self.work_dir,
                rounds=len(log),
                model=self.model.model,
                head=self.model.head,
                optimiser=self.optimiser,
                state={"log": log},
                keep=1,
            )
            (self.work_dir / CURVE).write_text(json.dumps(log, indent=1), encoding="utf-8")
        self.processes.wait()

    def _step(self, step: int) -> dict[str, float]:
        places = self.batches[step]
        self.optimiser.zero_grad(set_to_none=True)
        outputs = self._outputs(places)
        loss, logged = self.objective.loss(outputs, places)
        penalty = self.objective.penalty(self.model.head)
        value = float(loss.detach()) + float(torch.as_tensor(penalty).detach())
        if not np.isfinite(value):
            raise ValueError(
                f"the loss of step {step + 1} is {value}: lower learning_rate ({self.spec.learning_rate}) or "
                f"head_learning_rate ({self.spec.head_learning_rate})"
            )
        whole = loss + penalty / self.processes.count  # every process adds it
        if whole.requires_grad:
            whole.backward()
        norm = self._update(step)
        return {"step": step + 1, "loss": value, **logged, "gradient_norm": norm}

    def _outputs(self, places: Sequence[int]) -> list[Tensor]:
        """Outputs for each item of the batch; only this process's own carry gradients."""
        sizes = [len(self.asked[place].responses) for place in places]
        starts = np.cumsum([0, *sizes])
        own = self.processes.share(range(len(places)))
        heads = len(self.model.record.heads)
        whole = torch.zeros(int(starts[-1]), heads, device=self.model.device)
        if own:
            rows = torch.tensor(
                [r for i in own for r in range(starts[i], starts[i + 1])], device=whole.device
            )
            mine = self.model.outputs(
                [(self.asked[places[i]].view, self.asked[places[i]].responses) for i in own]
            )
            whole = self.processes.sum(whole.index_copy(0, rows, mine.detach()))
            whole = whole.index_copy(0, rows, mine)
        else:
            whole = self.processes.sum(whole)
        return list(whole.split(sizes))

    def _update(self, step: int) -> float:
        """Add gradients up over processes, clip, step; gives the norm before clipping."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.processes.count > 1:
            flat = self.processes.sum(torch.cat([p.grad.flatten() for p in parameters]))
            for parameter, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.grad = grad.view_as(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        share = min((step + 1) / max(1, self.spec.warmup), 1 - step / len(self.batches))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * share
        self.optimiser.step()
        return float(norm)
