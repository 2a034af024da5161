"""Everything a GGUF file says about its computation must stand in the converted model, or it is refused.

transformers reads the fields and tensors of a GGUF file that it knows and drops the others in silence: a RoPE
scaling, a soft cap, a residual multiplier. So every field of the architecture and every tensor is accounted
for here: equal to what the converted configuration has, without effect, or the reason to refuse.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NEAR = 1e-5  # relative: the file holds float32

# Sizes that the shapes of the tensors decide, and notes that no computation reads.
NO_EFFECT = frozenset(
    {"vocab_size", "block_count", "embedding_length", "context_length", "feed_forward_length"}
    | {
        "tensor_data_layout",
        "rope.scaling.finetuned",
        "expert_feed_forward_length",
        "interleave_moe_layer_step",
    }
    | {"expert_shared_feed_forward_length"}
)
NO_EFFECT_TENSORS = ("rope_freqs.weight",)  # when all ones


def _heads(config: Any) -> int:
    return config.num_attention_heads


def _head_dim(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // _heads(config)


def _rope(config: Any) -> dict[str, Any]:
    return getattr(config, "rope_parameters", None) or {}


def _rotated(config: Any) -> int:
    share = (
        _rope(config).get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1.0
    )
    return int(_head_dim(config) * share)


def _any(*names: str, neutral: Any = None) -> Callable[[Any], Any]:
    """The first of these that the configuration has; `neutral` is what a model without it computes."""

    def value(config: Any) -> Any:
        found = [getattr(config, name) for name in names if getattr(config, name, None) is not None]
        return found[0] if found else neutral

    return value


def _scale(config: Any) -> float:
    if (scalar := getattr(config, "query_pre_attn_scalar", None)) is not None:
        return scalar**-0.5
    return getattr(config, "attention_multiplier", None) or _head_dim(config) ** -0.5


def _logit_scale(config: Any) -> float:
    if divisor := getattr(config, "logits_scaling", None):
        return divisor  # llama.cpp divides by Granite's logit_scale
    return getattr(config, "logit_scale", None) or 1.0


_EPSILON = _any("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
EXPECTED: dict[str, Callable[[Any], Any]] = {
    "attention.head_count": _heads,
    "attention.head_count_kv": lambda config: getattr(config, "num_key_value_heads", None) or _heads(config),
    "attention.key_length": _head_dim,
    "attention.value_length": _head_dim,
    "attention.layer_norm_rms_epsilon": _EPSILON,
    "attention.layer_norm_epsilon": _EPSILON,
    "attention.sliding_window": _any("sliding_window"),
    "attention.scale": _scale,
    "attention.causal": lambda config: True,
    "attention.clamp_kqv": lambda config: 0.0,
    "attention.max_alibi_bias": lambda config: 8.0 if config.model_type == "bloom" else 0.0,
    "attn_logit_softcapping": _any("attn_logit_softcapping", neutral=0.0),
    "final_logit_softcapping": _any("final_logit_softcapping", neutral=0.0),
    "logit_scale": _logit_scale,
    "embedding_scale": _any("embedding_multiplier", neutral=1.0),
    "residual_scale": _any("residual_multiplier", neutral=1.0),
    "use_parallel_residual": _any("use_parallel_residual", neutral=False),
    "expert_count": _any("num_experts", "num_local_experts", neutral=0),
    "expert_used_count": _any("num_experts_per_tok", neutral=0),
    "rope.dimension_count": _rotated,
    "rope.freq_base": lambda config: _rope(config).get("rope_theta", getattr(config, "rope_theta", None)),
    "rope.scaling.type": lambda config: {"default": "none"}.get(
        kind := _rope(config).get("rope_type", "none"), kind
    ),
    "rope.scaling.factor": lambda config: _rope(config).get("factor", 1.0),
    "rope.scale_linear": lambda config: _rope(config).get("factor", 1.0),
    "rope.scaling.attn_factor": lambda config: 1.0,
    "rope.scaling.yarn_log_multiplier": lambda config: 0.0,
}


def read_fields(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the file's architecture (without its name before them), and its tensors by name."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    contents = {name: field.contents() for name, field in reader.fields.items()}
    start = f"{contents['general.architecture']}."
    fields = {name.removeprefix(start): value for name, value in contents.items() if name.startswith(start)}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def carry_scaling(fields: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the file's linear RoPE scaling, which transformers drops.

    >>> carry_scaling({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    ...               {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}})["rope_parameters"]
    {'rope_theta': 10000.0, 'rope_type': 'linear', 'factor': 4.0}
    """
    rope = config.get("rope_parameters") or {}
    factor = float(fields.get("rope.scaling.factor", fields.get("rope.scale_linear", 1.0)) or 1.0)
    kind = fields.get("rope.scaling.type", "linear" if factor != 1.0 else "none")
    if kind != "linear" or factor == 1.0 or rope.get("rope_type", "default") != "default":
        return config
    return {**config, "rope_parameters": {**rope, "rope_type": "linear", "factor": factor}}


def uncarried(fields: Mapping[str, Any], tensors: Mapping[str, Any], model: Any) -> list[str]:
    """What the file says and the converted model does not do, one line each."""
    lost = []
    unscaled = fields.get("rope.scaling.type") == "none"
    for name, value in sorted(fields.items()):
        if name in NO_EFFECT or (name.startswith("rope.scaling.") and unscaled):
            continue
        if name == "rope.scaling.original_context_length" and fields.get("rope.scaling.type") == "linear":
            continue  # linear scaling does not look at it
        if name not in EXPECTED:
            lost.append(f"{name} = {value!r} (unknown here)")
        elif not _same(value, has := EXPECTED[name](model.config)):
            lost.append(f"{name} = {value!r} (converted: {has!r})")
    return lost + [f"tensor {name}" for name in _unread(tensors, model)]


def _same(value: Any, has: Any) -> bool:
    if isinstance(value, list):
        return all(_same(each, has) for each in value)
    if isinstance(value, (int, float)) and isinstance(has, (int, float)):
        return math.isclose(value, has, rel_tol=NEAR, abs_tol=1e-12)
    return value == has or (has is None and value in (0, False))


def _unread(tensors: Mapping[str, Any], model: Any) -> list[str]:
    """Tensors of the file that transformers finds no place for."""
    import numpy as np
    from transformers import modeling_gguf_pytorch_utils as reading

    processor = reading.TENSOR_PROCESSORS.get(model.config.model_type, reading.TensorProcessor)
    known = reading.get_gguf_hf_weights_map(model, processor(config=model.config.to_dict()))
    return [
        name
        for name, tensor in tensors.items()
        if name not in known
        and "_exps" not in name  # experts are split into modules of other names
        and not (name in NO_EFFECT_TENSORS and bool(np.all(np.asarray(tensor.data) == 1)))
    ]
