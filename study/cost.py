"""What a model of some size costs before it is downloaded: memory, disk, hours. Arithmetic, no measurement.

Sizes come from the model's configuration: its modules are built without memory (PyTorch's `meta` device) and
counted. Hours come from a rate; `study.plan` measures it with the model at hand, and where there is none yet
`ModelSize.rate` turns the arithmetic speed of a machine into tokens per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ADAM = 16  # bytes of a trained float32 number: itself, its gradient, two moments
_STORED = {"float32": 4, "bfloat16": 2, "float16": 2}
_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""Bytes of one number of a block's weights. 4bit: half a byte, and a float32 scale for every 64."""


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """The numbers of a causal language model that decide what it costs."""

    name: str
    parameters: int
    """All of them, tied ones once."""
    body: int
    """Those of the blocks: what every token is multiplied with when activations are read."""
    adapter: int
    """Those of a LoRA adapter of rank 1 on all linear layers of the blocks."""
    layers: int
    width: int
    """Of the residual stream."""

    @classmethod
    def of(cls, config: Any, name: str) -> ModelSize:
        """Count the model of a transformers configuration, without loading or downloading weights.

        Raises:
            SiteError: an architecture whose blocks this library does not find.

        >>> from activations.testing import tiny_config
        >>> size = ModelSize.of(tiny_config("gpt2"), "tiny")
        >>> size.layers, size.width, size.parameters > size.body > 0
        (3, 16, True)
        """
        import torch
        from transformers import AutoModelForCausalLM

        from activations.sites import find_trunk

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        trunk = find_trunk(model)
        blocks = trunk.blocks
        return cls(
            name=name,
            parameters=sum(p.numel() for p in model.parameters()),
            body=sum(p.numel() for block in blocks for p in block.parameters()),
            adapter=sum(
                sum(matrix.shape)  # rank 1: one column in, one row out
                for block in blocks
                for matrix in block.parameters()
                if matrix.ndim == 2
            ),
            layers=len(blocks),
            width=trunk.d_model,
        )

    def weights(self, kind: str = "bfloat16") -> float:
        """Bytes of the weights in memory: `float32`, `bfloat16`, `8bit` or `4bit` (bitsandbytes).

        Quantisation leaves what is outside the blocks in bfloat16.

        Raises:
            ValueError: another kind.
        """
        if kind not in _WEIGHT:
            raise ValueError(f"kind={kind!r}: use one of {', '.join(_WEIGHT)}.")
        outside = _WEIGHT[kind] if kind in _STORED else _WEIGHT["bfloat16"]
        return self.body * _WEIGHT[kind] + (self.parameters - self.body) * outside

    def lora_training(self, rank: int = 16) -> float:
        """Bytes for weights in bfloat16 with a float32 adapter, its gradients and Adam's moments."""
        return self.weights() + _ADAM * rank * self.adapter

    def full_training(self) -> float:
        """Bytes for float32 weights with their gradients and Adam's moments."""
        return _ADAM * self.parameters

    def training_token(self) -> float:
        """Bytes that a token of a batch keeps for the backward pass, without checkpointing.

        34 bytes a layer and number of the residual stream, attention scores aside, since fused kernels do not
        keep them (Korthikanti et al. 2022, arXiv 2205.05198, equation 1).
        """
        return 34.0 * self.layers * self.width

    def row(self, *, vectors: int = 1, sites: int = 1, dtype: str = "float32") -> int:
        """Bytes of one row in a store: all layers of so many sites, one vector when pooled.

        Raises:
            ValueError: a number type that stores do not have.
        """
        if dtype not in _STORED:
            raise ValueError(f"dtype={dtype!r}: use one of {', '.join(_STORED)}.")
        return vectors * sites * self.layers * self.width * _STORED[dtype]

    def token_flops(self) -> float:
        """Operations per token read: two for each number of the blocks, attention scores aside."""
        return 2.0 * self.body

    def rate(self, flops: float) -> float:
        """Tokens per second that a machine reads which really computes `flops` operations per second.

        Raises:
            ValueError: `flops` is not above 0.
        """
        if not flops > 0:
            raise ValueError(f"flops={flops} must be above 0: operations per second that are really reached.")
        return flops / self.token_flops()


def hours(tokens: float, rate: float) -> float:
    """Hours to read so many tokens at a rate of tokens per second.

    Raises:
        ValueError: a rate that is not above 0.

    >>> hours(3_600_000, 1_000)
    1.0
    """
    if not rate > 0:
        raise ValueError(f"rate={rate} must be above 0 tokens per second: measure it with --dry_run true.")
    return tokens / rate / 3600


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is to be read."""

    rows: int = 10_000
    tokens_per_row: int = 500
    response_tokens: int = 100
    """Of these, the response's: what `response_all` keeps."""
    flops: float = 1e14
    """Operations per second that the machine really reaches (not those of its data sheet)."""
    rank: int = 16
    """Of the adapter that is trained."""


COST_ROWS = (
    "parameters",
    "weights, bfloat16",
    "weights, 8 bit",
    "weights, 4 bit",
    "training an adapter",
    "and per token of a batch",
    "training all weights",
    "one row, pooled, all layers",
    "disk, pooled",
    "disk, every response token",
    "tokens per second",
    "hours of reading",
)


def cost_column(size: ModelSize, work: Workload) -> tuple[str, ...]:
    """The costs of one model in words, in the order of `COST_ROWS`."""
    rate = size.rate(work.flops)
    every = work.rows * size.row(vectors=work.response_tokens, dtype="bfloat16")
    return (
        f"{size.parameters / 1e9:,.2f} billion",
        _bytes(size.weights()),
        _bytes(size.weights("8bit")),
        _bytes(size.weights("4bit")),
        _bytes(size.lora_training(work.rank)),
        _bytes(size.training_token()),
        _bytes(size.full_training()),
        _bytes(size.row()),
        _bytes(work.rows * size.row()),
        _bytes(every),
        f"{rate:,.0f}",
        f"{hours(work.rows * work.tokens_per_row, rate):.2g}",
    )


def cost_table(sizes: Sequence[ModelSize], work: Workload | None = None) -> str:
    """The costs of several models as a Markdown table, one column each.

    >>> from activations.testing import tiny_config
    >>> cost_table([ModelSize.of(tiny_config(), "tiny")]).splitlines()[0]
    '| | tiny |'
    """
    columns = [cost_column(size, work or Workload()) for size in sizes]
    head = ["| | " + " | ".join(size.name for size in sizes) + " |", "|---|" + "---:|" * len(sizes)]
    rows = zip(COST_ROWS, *columns, strict=True)
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _bytes(count: float) -> str:
    """Write bytes with three digits.

    >>> _bytes(131_072), _bytes(13_476_831_232)
    ('131 kB', '13.5 GB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            number = count / size
            return f"{number:.{max(0, 2 - len(str(int(number))) + 1)}f} {unit}"
    return f"{count:.0f} bytes"
