"""What can be known about a model before its weights are read: depth, width, kernel, context, sites."""

from dataclasses import dataclass
from typing import Any

from activations.models import LoadedModel
from activations.sites import Trunk, find_points, find_trunk

# Right-padded without a mask equals the masked run bit for bit at real positions: tests hold it for these.
RIGHT_PADDING_PROVEN = frozenset(
    {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "gpt2"}
    | {"gpt_neox", "phi", "phi3", "olmo2"}
)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The shape of a model, found without loading weights."""

    trunk: Trunk
    """On the meta device unless the model was in memory: for names and shapes only."""
    attention: str
    """Attention kernel transformers chooses for it."""
    max_len: int | None
    """Longest row the model takes, in tokens; None when its configuration does not say."""

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.trunk.n_layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.trunk.d_model

    @property
    def padding(self) -> str:
        """Padding policy: no mask where that is proven to change nothing."""
        proven = self.trunk.config.model_type in RIGHT_PADDING_PROVEN
        return "right, no mask" if proven else "right, mask"

    @property
    def long_from(self) -> int | None:
        """Rows longer than this must not meet shorter ones in a batch; None where that makes no difference.

        LongRoPE (Phi-3, MiniCPM) turns all positions of a batch at the long rate once one row is long.
        """
        return long_from(self.trunk.config)

    def can_share_prefixes(self, longest: int) -> bool:
        """Whether rows up to this length may share prefixes: causal attention over all positions."""
        limits = (getattr(self.trunk.config, "sliding_window", None), self.long_from)
        return self.padding == "right, no mask" and all(limit is None or longest <= limit for limit in limits)

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: every token id must be below."""
        module: Any = self.trunk.module
        table = module.get_input_embeddings()  # adapters may be wrapped around it
        return next(weight for weight in table.parameters() if weight.ndim == 2).shape[0]

    def check_sites(self, sites: tuple[str, ...], layers: tuple[int, ...]) -> None:
        """Raise `SiteError` now rather than after loading the weights."""
        find_points(self.trunk, sites, layers)


def long_from(config: Any) -> int | None:
    """The length up to which LongRoPE uses its short factors; None for other rotary embeddings."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]
    limits = [
        kind.get("original_max_position_embeddings")
        or getattr(config, "original_max_position_embeddings", None)
        or config.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") == "longrope"
    ]
    return min(limits, default=None)


def examine(model: LoadedModel) -> Anatomy:
    """The anatomy of a model; its weights are not read."""
    module = model.base.module if model.loaded else _hollow(model)
    trunk = find_trunk(module)
    return Anatomy(
        trunk=trunk,
        attention=trunk.config._attn_implementation or "eager",
        max_len=getattr(trunk.config, "max_position_embeddings", None),
    )


def _hollow(model: LoadedModel) -> Any:
    """The model's modules without their tensors."""
    import torch
    from transformers import AutoModelForCausalLM

    config = model.config  # may have to fetch and convert the weights, which the meta device forbids
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, model.dtype))
