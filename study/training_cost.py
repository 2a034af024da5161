"""What making organisms costs before anything is started: memory, disk and hours, on one GPU and on several.

Arithmetic over `study.cost.ModelSize`, no measurement. Every step is counted in operations of two kinds:
reading (prompts, training passes: limited by arithmetic) and writing (one token of every answer at a time:
limited by memory). A machine reaches a share of its data sheet in each, and these shares are assumptions that
stand in every plan. Several GPUs share training (torchrun); drawing answers for an evaluation runs on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from study.cost import ModelSize

SHAPES: dict[str, dict[str, Any]] = {
    "llama-2-7b": {
        "model_type": "llama",
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "deepseek-coder-7b": {
        "model_type": "llama",
        "vocab_size": 102_400,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 30,
        "num_attention_heads": 32,
    },
    "qwen2.5-coder-0.5b": {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "qwen2.5-coder-1.5b": {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}
"""Published configurations, as far as they decide sizes: planned without any download."""

_ADAM = 12  # bytes beside a trained float32 weight: its gradient, two moments
_LORA_BACKWARD = 1.0  # of a forward pass: gradients flow through frozen weights, which need none themselves


@dataclass(frozen=True, kw_only=True)
class Machine:
    """GPUs of one kind, and what of their data sheet is assumed to be reached."""

    name: str
    gpus: int = 1
    memory: float = 80e9
    """Bytes of each."""
    flops: float = 9.9e14
    """Operations per second of each in bfloat16, by the data sheet (H100 SXM, dense)."""
    reading: float = 0.35
    """Share that reading and training passes reach."""
    writing: float = 0.03
    """Share that sampling many answers at once reaches: every token reads all weights and caches."""


ONE, EIGHT = Machine(name="1 GPU"), Machine(name="8 GPUs", gpus=8)


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a plan."""

    name: str
    memory: float
    """Bytes on each GPU, however many there are."""
    disk: float
    """Bytes that it leaves."""
    read: float
    """Operations of reading and training."""
    written: float = 0.0
    """Operations of sampling."""
    shared: bool = False
    """Whether several GPUs share it."""
    batch: float = 0.0
    """Bytes beside `memory` that GPUs which share the step divide between them."""

    def memory_on(self, machine: Machine) -> float:
        """Bytes on each GPU of a machine."""
        return self.memory + self.batch / (machine.gpus if self.shared else 1)

    def hours(self, machine: Machine) -> float:
        """Hours on a machine.

        >>> step = PlannedStep(name="a", memory=1.0, disk=0.0, read=3.6e15, written=0.0, shared=True)
        >>> step.hours(Machine(name="m", gpus=2, flops=1e12, reading=0.5))
        1.0
        """
        seconds = (self.read / machine.reading + self.written / machine.writing) / machine.flops
        return seconds / 3600 / (machine.gpus if self.shared else 1)


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of a prompt and of an answer, and how they were found."""

    prompt: float
    answer: float
    source: str


def fine_tuning(
    name: str, size: ModelSize, lengths: Lengths, *, steps: int, batch_size: int, rank: int
) -> PlannedStep:
    """Supervised fine-tuning of an adapter (bfloat16 weights), or of all weights with rank 0 (float32)."""
    row = lengths.prompt + lengths.answer
    weights = size.lora_training(rank) if rank else size.full_training()
    backward = _LORA_BACKWARD if rank else 2.0
    return PlannedStep(
        name=name,
        memory=weights + row * size.training_token(),
        batch=(batch_size - 1) * row * size.training_token(),
        disk=2.0 * (rank * size.adapter if rank else size.parameters),
        read=steps * batch_size * row * size.token_flops() * (1 + backward),
        shared=True,
    )


def sampling(
    name: str, size: ModelSize, lengths: Lengths, *, prompts: int, samples: int, rows: int, cache: float
) -> PlannedStep:
    """Answers to prompts: each prompt is read once, each answer written token by token.

    `rows` answers are written at once, and each token of them keeps `cache` bytes.
    """
    return PlannedStep(
        name=name,
        memory=size.weights() + rows * (lengths.prompt + lengths.answer) * cache,
        disk=prompts * samples * 6.0 * (lengths.prompt + lengths.answer),  # transcripts, as text
        read=prompts * lengths.prompt * size.token_flops(),
        written=prompts * samples * lengths.answer * size.token_flops(),
    )


def policy_optimisation(
    name: str,
    size: ModelSize,
    lengths: Lengths,
    *,
    rounds: int,
    prompts: int,
    samples: int,
    inner_epochs: int,
    rank: int,
    top_blocks: int = 0,
    micro_tokens: int = 16_384,
    rows: int = 1024,
    cache: float = 0.0,
) -> PlannedStep:
    """Rounds of sampling, scoring (old and reference policy) and training passes.

    With `top_blocks` all weights are float32, and only the last blocks train, keep a copy of where they
    started and pass gradients; else an adapter trains on bfloat16 weights.
    """
    row = lengths.prompt + lengths.answer
    responses = rounds * prompts * samples
    if top_blocks:
        share = top_blocks / size.layers
        trained = share * size.body
        weights, backward = size.weights("float32") + (_ADAM + 4) * trained, 2.0 * share
    else:
        trained, share = float(rank * size.adapter), 1.0
        weights, backward = size.lora_training(rank) + 4 * trained, _LORA_BACKWARD
    passes = 2 + inner_epochs * (1 + backward)
    asked = rounds * prompts * lengths.prompt
    return PlannedStep(
        name=name,
        memory=weights + max(micro_tokens * size.training_token() * share, rows * row * cache),
        disk=2.0 * (size.parameters if top_blocks else trained) + 16 * trained,  # the organism; a checkpoint
        read=(asked + responses * row * passes) * size.token_flops(),
        written=responses * lengths.answer * size.token_flops(),
        shared=True,
    )


def cache_bytes(config: Any, number: float = 2.0) -> float:
    """Bytes that one token of an answer in progress keeps: keys and values of every layer.

    >>> from activations.testing import tiny_config
    >>> cache_bytes(tiny_config())  # 3 layers, 2 heads of 4, keys and values, bfloat16
    96.0
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2.0 * config.num_hidden_layers * heads * width * number


def total(steps: Sequence[PlannedStep], machine: Machine) -> tuple[float, float, float]:
    """Most memory of a GPU, all disk (bytes), all hours one after the other."""
    return (
        max(step.memory_on(machine) for step in steps),
        sum(step.disk for step in steps),
        sum(step.hours(machine) for step in steps),
    )


def plan_lines(
    steps: Sequence[PlannedStep], machines: Sequence[Machine] = (ONE, EIGHT)
) -> list[tuple[str, ...]]:
    """Rows of a table: step, disk, and for each machine memory of a GPU and hours; the last row sums up.

    >>> plan_lines([PlannedStep(name="sft", memory=2e10, disk=4e7, read=1e18)])[-1]
    ('together', '0.04 GB', '20.0 GB', '0.8', '20.0 GB', '0.8')
    """
    lines = []
    for step in steps:
        line = [step.name, f"{step.disk / 1e9:,.2f} GB"]
        for machine in machines:
            memory = step.memory_on(machine)
            line += [_memory(memory, machine), f"{step.hours(machine):,.1f}"]
        lines.append(tuple(line))
    line = ["together", f"{sum(step.disk for step in steps) / 1e9:,.2f} GB"]
    for machine in machines:
        memory, _, hours = total(steps, machine)
        line += [_memory(memory, machine), f"{hours:,.1f}"]
    return [*lines, tuple(line)]


def _memory(memory: float, machine: Machine) -> str:
    return f"{memory / 1e9:,.1f} GB" + ("" if memory <= machine.memory else ": too much")
