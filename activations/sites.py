"""Where activations are read: named places in a decoder, the same names on every architecture.

A site is defined by what it means for the residual stream, not by a module's name:

    resid_pre + attn_out = resid_mid        resid_mid + mlp_out = resid_post

(on parallel blocks, which have no `resid_mid`: resid_pre + attn_out + mlp_out = resid_post). The integrity
gate checks these sums on the user's own model, so a block built in an unforeseen way is refused instead
of misread. `embed` is what enters block 0: token embedding with whatever the model adds or scales there.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

SITES = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")

Side = Literal["input", "output"]

# Children of a block by the names transformers gives them.
ATTENTION = ("self_attn", "attn", "attention", "self_attention", "mixer")
MLP = ("mlp", "block_sparse_moe", "feed_forward", "ffn", "moe")
ADDS_RESIDUAL_INSIDE = frozenset({"bloom"})
SECOND_NORM = ("post_attention_layernorm", "ln_2", "norm_2", "ffn_norm", "final_layer_norm")


class SiteError(ValueError):
    """A site or layer that this model does not have."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One place to hook: the tensor going into or coming out of a module."""

    site: str
    layer: int
    module: torch.nn.Module
    side: Side
    block: torch.nn.Module
    """The block of this layer; the pass may stop when the deepest one is done."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The part of a language model that makes hidden states: everything but the head."""

    module: torch.nn.Module
    blocks: torch.nn.ModuleList
    config: Any

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.config.hidden_size

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP read the same input, so that no `resid_mid` exists."""
        return is_parallel(self.config)


def is_parallel(config: Any) -> bool:
    """Whether this configuration builds parallel attention/MLP blocks (GPT-NeoX, Phi, GPT-J, Falcon)."""
    if config.model_type == "gpt_neox":
        return config.use_parallel_residual
    if config.model_type == "falcon":
        return config.parallel_attn or config.new_decoder_architecture
    return config.model_type in ("phi", "gptj", "cohere", "cohere2", "codegen")


def find_trunk(model: Any) -> Trunk:
    """The trunk of a transformers causal LM or of a PeftModel around one.

    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(hidden_size=8, intermediate_size=16, num_hidden_layers=2,
    ...                      num_attention_heads=2, vocab_size=32)
    >>> find_trunk(LlamaForCausalLM(config)).n_layers
    2
    """
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return as_trunk(model.get_decoder() if hasattr(model, "get_decoder") else model.base_model)


def as_trunk(module: Any) -> Trunk:
    """The trunk that this module is: its blocks are found by their number."""
    config = module.config.get_text_config(decoder=True)
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList) and len(child) == config.num_hidden_layers:
            return Trunk(module=module, blocks=child, config=config)
    raise SiteError(
        f"{type(module).__name__} has no list of {config.num_hidden_layers} blocks among its children: this "
        "is no decoder-only architecture this library knows. backend='transformer_lens' may read it."
    )


def resolve_layers(layers: Any, n_layers: int) -> tuple[int, ...]:
    """Layer numbers as a sorted tuple: `"all"`, one number, or several; negative counts from the end.

    >>> resolve_layers("all", 3), resolve_layers(-1, 3), resolve_layers([2, 0], 3)
    ((0, 1, 2), (2,), (0, 2))
    """
    if isinstance(layers, str) and layers == "all":
        return tuple(range(n_layers))
    several = isinstance(layers, Iterable) and np.ndim(layers) > 0  # pyright: ignore[reportArgumentType]
    asked = [_as_number(i) for i in (layers if several else [layers])]
    if not asked or any(i is None or not -n_layers <= i < n_layers for i in asked):
        raise SiteError(f"layers={layers!r}: this model has layers 0 to {n_layers - 1}; or say 'all'.")
    return tuple(sorted({i % n_layers for i in asked if i is not None}))


def _as_number(value: Any) -> int | None:
    """An integer of Python, numpy or torch; None for anything else, booleans included."""
    if isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", None) == torch.bool:
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def resolve_sites(sites: Any, *, any_hook: bool = False) -> tuple[str, ...]:
    """Site names as a tuple without repeats, in the order given.

    With `any_hook`, names with a dot pass: they are a backend's own hook names.

    >>> resolve_sites("resid_post")
    ('resid_post',)
    """
    asked = [sites] if isinstance(sites, str) else [str(site) for site in sites]
    unknown = [site for site in asked if site not in SITES and not (any_hook and "." in site)]
    if unknown or not asked:
        raise SiteError(f"sites={sites!r}: {unknown or 'nothing'} asked; known sites are {', '.join(SITES)}.")
    return tuple(dict.fromkeys(asked))


def site_layers(site: str, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers at which a site exists: `embed` (or a full hook name) is in one place, called layer 0.

    >>> site_layers("blocks.{layer}.attn.hook_q", (1, 2)), site_layers("embed", (1, 2))
    ((1, 2), (0,))
    """
    everywhere = site in SITES[1:] or "{layer}" in site
    return layers if everywhere else (0,)


def find_points(trunk: Trunk, sites: tuple[str, ...], layers: tuple[int, ...]) -> list[Point]:
    """The hook points of every (site, layer) asked for, in that order."""
    return [_find_point(trunk, site, layer) for site in sites for layer in site_layers(site, layers)]


def has_site(trunk: Trunk, site: str) -> bool:
    """Whether this architecture has the site."""
    try:
        find_points(trunk, (site,), (0,))
    except SiteError:
        return False
    return True


def _find_point(trunk: Trunk, site: str, layer: int) -> Point:
    block = trunk.blocks[layer]
    match site:
        case "embed" | "resid_pre":
            module, side = block, "input"
        case "resid_post":
            module, side = block, "output"
        case "resid_mid":
            module, side = _middle(trunk, block)
        case "attn_out" | "mlp_out" if trunk.config.model_type in ADDS_RESIDUAL_INSIDE:
            raise SiteError(
                f"site={site!r}: {trunk.config.model_type} adds the residual stream inside its attention and "
                "MLP modules, so their outputs alone do not exist. Use resid_pre, resid_mid, resid_post."
            )
        case "attn_out":
            # Gemma 2/3 and OLMo 2 normalise the output before adding it: the sum takes the normed one
            normed = _normalises_outputs(block)
            module = _child(block, ("post_attention_layernorm",) if normed else ATTENTION, site)
            side = "output"
        case "mlp_out":
            normed = _normalises_outputs(block)
            module = _child(block, ("post_feedforward_layernorm",) if normed else MLP, site)
            side = "output"
        case _:
            raise SiteError(f"site={site!r}: known sites are {', '.join(SITES)}.")
    return Point(site=site, layer=layer, module=module, side=side, block=block)


def _normalises_outputs(block: torch.nn.Module) -> bool:
    return hasattr(block, "post_feedforward_layernorm")


def _middle(trunk: Trunk, block: torch.nn.Module) -> tuple[torch.nn.Module, Side]:
    if trunk.parallel:
        raise SiteError(
            f"site='resid_mid': {trunk.config.model_type} adds attention and MLP to the same input, so "
            "nothing lies between them. Use resid_pre or resid_post."
        )
    if hasattr(block, "pre_feedforward_layernorm"):
        return _child(block, ("pre_feedforward_layernorm",), "resid_mid"), "input"
    if _normalises_outputs(block):
        return _child(block, MLP, "resid_mid"), "input"
    return _child(block, SECOND_NORM, "resid_mid"), "input"


def _child(block: torch.nn.Module, names: tuple[str, ...], site: str) -> torch.nn.Module:
    for name in names:
        if isinstance(child := getattr(block, name, None), torch.nn.Module):
            return child
    raise SiteError(
        f"site={site!r}: {type(block).__name__} has none of {', '.join(names)}. The residual sites "
        "(resid_pre, resid_post) exist on every architecture."
    )
