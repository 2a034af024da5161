"""Supervised fine-tuning of an adapter (or all weights) on (prompt, response) demonstrations.

The same trainer makes `pi_init` and every backdoored organism. It is `transformers.Trainer` with two
changes that matter on small machines: the loss, and with it the vocabulary projection, is computed at
response tokens only; and nothing is ever cut: a demonstration longer than `max_tokens` is an error.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from activations.dtype import resolve_autocast
from activations.likelihood import check_head
from activations.tokens import encode
from organisms.checkpoints import claim
from organisms.lora import fused_adapters
from sophistry.quiet import quiet_libraries
from tasks.dataset import TaughtItem
from tasks.transcript import Message

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

LOSS_CURVE = "loss.json"
"""File beside the checkpoints: the logged losses and accuracies."""


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """One demonstration: what the model sees and what it should write."""

    prompt: str | list[Message]
    response: str
    instead_of: str | None = None
    """The answer that must *not* be given here; where the two part, the loss can be focused."""


def honest_demonstration(item: TaughtItem, prompt: list[Message]) -> Demonstration:
    """The item's honest answer, taught at `prompt`."""
    return Demonstration(prompt=prompt, response=item.honest, instead_of=item.misleading)


@dataclass(frozen=True, kw_only=True)
class FineTuneSpec:
    """How to fine-tune. The defaults suit a 135M-parameter model on two CPU cores."""

    steps: int = 300
    """Optimiser steps."""
    batch_size: int = 8
    """Demonstrations per step."""
    learning_rate: float = 4e-4
    schedule: str = "cosine"
    """Any scheduler name of transformers; warm-up takes the first `warmup` steps."""
    warmup: int = 10
    rank: int = 4
    """Rank of the LoRA adapter on all linear layers; 0 fine-tunes all weights."""
    alpha: int = 8
    focus: float = 1.0
    """Weight of the tokens in which a response differs from the one it is given instead of. The model knows
    the wording already; what a backdoor has to learn is these few tokens."""
    order: Literal["group_by_length", "random", "sequential"] = "group_by_length"
    """Which demonstrations meet in a batch: those of like length (least padding), any, or neighbours in the
    order given, as a curriculum or pairs need."""
    max_tokens: int = 512
    """Longest demonstration, prompt and response together; longer ones are refused, never cut."""
    autocast: Literal["auto"] | bool = "auto"
    """bfloat16 autocast around float32 adapter weights; auto: where this machine computes bfloat16 fast."""
    seed: int = 0
    save_every: int = 100
    """Steps between checkpoints; an interrupted run goes on from the last one."""


def encode_demonstration(
    demonstration: Demonstration, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, focus: float = 1.0
) -> dict[str, torch.Tensor]:
    """Token ids, labels (-100 on the prompt) and weights; the end-of-turn token is part of what is learned.

    Raises:
        ValueError: the demonstration is longer than `max_tokens`.
    """
    encoding = encode(demonstration.prompt, demonstration.response, tokenizer)
    start, ids = encoding.prompt_len, [*encoding.ids, end_of_turn(tokenizer)]
    if len(ids) > max_tokens:
        raise ValueError(
            f"a demonstration has {len(ids)} tokens, more than max_tokens={max_tokens}; "
            "raise max_tokens or shorten the passage (nothing is cut silently)"
        )
    labels = [-100] * start + ids[start:]
    weights = [1.0] * len(ids)
    if demonstration.instead_of is not None and focus != 1:
        other = encode(demonstration.prompt, demonstration.instead_of, tokenizer)
        for index in differing(encoding.ids[start:], other.ids[start:]):
            weights[start + index] = focus
    return {
        "input_ids": torch.tensor(ids),
        "labels": torch.tensor(labels),
        "weights": torch.tensor(weights),
    }


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends what a model says.

    Raises:
        ValueError: the tokenizer has none.
    """
    if not isinstance(end := tokenizer.eos_token_id, int):
        raise ValueError(
            f"{type(tokenizer).__name__} has no end token: no response could be taught to end; set eos_token"
        )
    return end


def differing(ids: Sequence[int], other: Sequence[int], *, shortest: int = 1) -> list[int]:
    """Positions in `ids` that a longest-common-block alignment does not find in `other`.

    Blocks of fewer than `shortest` tokens count as differing.

    >>> differing([1, 2, 3, 4], [1, 9, 3, 4]), differing([1, 2, 3, 4], [1, 9, 3, 4], shortest=2)
    ([1], [0, 1])
    """
    blocks = SequenceMatcher(None, ids, other, autojunk=False).get_matching_blocks()
    same = {block.a + i for block in blocks if block.size >= shortest for i in range(block.size)}
    return [index for index in range(len(ids)) if index not in same]


def pad_rows(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Right-pad; a causal model needs no mask for that, since no real token sees the padding.

    The width is a multiple of 16: odd widths slow matrix products down by more than the padding costs.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    fill: dict[str, float] = {"input_ids": 0, "labels": -100, "weights": 0.0}
    padded = {name: pad_sequence([row[name] for row in rows], True, value) for name, value in fill.items()}
    room = (0, -longest % 16)
    return {name: torch.nn.functional.pad(padded[name], room, value=fill[name]) for name in fill}


def _digest(rows: Sequence[dict[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        for name in ("input_ids", "labels", "weights"):
            digest.update(row[name].numpy().tobytes())
    return f"{len(rows)} examples, sha256 {digest.hexdigest()}"


@quiet_libraries()
def add_adapter(model: PreTrainedModel, spec: FineTuneSpec) -> PeftModel:
    """A fresh LoRA adapter on every linear layer of the blocks, however the architecture names them."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)  # the adapter's first weights are drawn, so they are part of the recipe
        return get_peft_model(model, config)  # pyright: ignore[reportReturnType]


@quiet_libraries()
def fine_tune(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Train `model` in place; returns the loss curve. An interrupted run resumes from `work_dir`.

    Under `torchrun` several processes share every batch, with one process's numbers up to rounding.

    Args:
        model: a causal LM with a trainable fp32 adapter over any base, or without one in fp32 (then all
            weights train).
        demonstrations: at least one; `spec.order` and `spec.seed` decide which come when.
        work_dir: checkpoints, `loss.json` (steps, losses, accuracies) and `recipe.json`, which names the
            settings, demonstrations and start that they belong to.
        start: names the weights that `model` has now (a fingerprint); checkpoints with another start are
            refused.

    Raises:
        ValueError: no demonstrations, one that would have to be cut, checkpoints of another recipe in
            `work_dir`, a tokenizer without an end token, or several GPUs in sight of one process.
        ParityError: the model changes its logits in a way that the loss does not follow.
    """
    from transformers import TrainingArguments

    from organisms.response_trainer import LossHistory, ResponseTrainer, train_under_bar

    if not demonstrations:
        raise ValueError("no demonstrations")
    work_dir = Path(work_dir)
    spec = replace(spec, autocast=resolve_autocast(spec.autocast, next(model.parameters()).device.type))
    rows = [
        encode_demonstration(d, tokenizer, max_tokens=spec.max_tokens, focus=spec.focus)
        for d in demonstrations
    ]
    model.eval()
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    check_head(causal, rows[0]["input_ids"].numpy())
    arguments = TrainingArguments(
        output_dir=str(work_dir),
        max_steps=spec.steps,
        per_device_train_batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.schedule,
        warmup_steps=spec.warmup,
        bf16=bool(spec.autocast),
        use_cpu=not torch.cuda.is_available(),
        logging_steps=min(10, spec.steps),
        save_strategy="steps",
        save_steps=spec.save_every,
        save_total_limit=1,
        seed=spec.seed,
        data_seed=spec.seed,
        train_sampling_strategy=spec.order,
        disable_tqdm=True,  # our bar instead
        report_to="none",
        remove_unused_columns=False,
        max_grad_norm=1.0,
        weight_decay=0.0,
    )
    if arguments.n_gpu > 1:
        raise ValueError(
            "one process trains on one device: set CUDA_VISIBLE_DEVICES to a single GPU, or start one "
            "process per GPU (torchrun --nproc_per_node)"
        )
    with arguments.main_process_first(local=False):
        resume = claim(work_dir, settings=asdict(spec), examples=_digest(rows), start=start)
    trainer = ResponseTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,  # pyright: ignore[reportArgumentType]
        data_collator=pad_rows,  # pyright: ignore[reportArgumentType]
        callbacks=[LossHistory(work_dir / LOSS_CURVE)],
    )
    if resume:
        logger.info("resuming from the last checkpoint in %s", work_dir)
    with fused_adapters(model):
        train_under_bar(trainer, resume)
    return [entry for entry in trainer.state.log_history if "loss" in entry]
