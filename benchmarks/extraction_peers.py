"""The same activations by five routes: each peer at its documented best and, where it differs, at defaults.

Every route is a function `ids -> [layer, row, d_model]` (the last token's residual stream after every block,
float32, on the CPU), so outputs can be compared before anything is timed.
"""

import copy
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activations import LoadedModel
from activations.batching import collate
from activations.capture import Reader
from activations.sites import find_points, find_trunk

Route = Callable[[Tensor], Tensor]


def bare(model: LoadedModel) -> Route:
    """The yardstick: the trunk alone, best kernel, no mask, nothing read."""
    trunk = find_trunk(model.model).module

    @torch.inference_mode()
    def run(ids: Tensor) -> Tensor:
        return trunk(input_ids=ids, use_cache=False).last_hidden_state

    return run


def ours(model: LoadedModel, *, pool: str = "none", all_tokens: bool = False) -> Route:
    """This library's reader; `pool="mean"` over the second half, or every token of the last block."""
    trunk = find_trunk(model.model)
    layers = (trunk.n_layers - 1,) if all_tokens else tuple(range(trunk.n_layers))
    reader = Reader(
        trunk,
        find_points(trunk, ("resid_post",), layers),
        pool="mean" if pool == "mean" else "none",
        store_dtype=torch.float32 if pool == "mean" else next(trunk.module.parameters()).dtype,
        masked=False,
    )

    def run(ids: Tensor) -> Tensor:
        rows, width = ids.shape
        start = 0 if all_tokens else width // 2 if pool == "mean" else width - 1
        kept = [np.arange(start, width)] * rows
        return reader.read(collate(list(ids.cpu().numpy()), kept))

    return run


def transformers_lm(model: LoadedModel) -> Route:
    """`output_hidden_states=True` through the language model, as most scripts do."""

    @torch.inference_mode()
    def run(ids: Tensor) -> Tensor:
        states = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states
        return torch.stack([state[:, -1] for state in states[1:]]).float().cpu()

    return run


def transformer_lens(model: LoadedModel, *, tuned: bool) -> Route:
    """`run_with_cache` on the residual stream of all blocks; tuned: few logits, no attention outputs."""
    from activations.transformer_lens import build_bridge

    bridge = build_bridge(model)
    names = [f"blocks.{i}.hook_out" for i in range(bridge.cfg.n_layers)]

    @torch.inference_mode()
    def defaults(ids: Tensor) -> Tensor:
        _, cache = bridge.run_with_cache(ids, names_filter=names)
        return torch.stack([cache[name][:, -1] for name in names]).float().cpu()

    @torch.inference_mode()
    def few(ids: Tensor) -> Tensor:
        seen: dict[str, Tensor] = {}

        def read(value: Tensor, hook: Any) -> None:
            seen[hook.name] = value[:, -1].float()

        with bridge.hooks(fwd_hooks=[(name, read) for name in names]):
            bridge(ids, use_cache=False, return_type=None, logits_to_keep=1, output_attentions=False)
        return torch.stack([seen[name] for name in names]).cpu()

    return few if tuned else defaults


def nnsight(model: LoadedModel) -> Route:
    """A trace that saves the last token after every block."""
    from nnsight import NNsight

    wrapped = NNsight(copy.deepcopy(find_trunk(model.model).module))
    blocks = find_trunk(model.model).n_layers

    @torch.inference_mode()
    def run(ids: Tensor) -> Tensor:
        saved = []
        with wrapped.trace(input_ids=ids, use_cache=False):
            for i in range(blocks):
                saved.append(wrapped.layers[i].output[:, -1].save())
        return torch.stack([value.float() for value in saved]).cpu()

    return run


def routes(model: LoadedModel) -> dict[str, Callable[[], Route]]:
    """Name -> maker of every route that can run here; makers may copy the model."""
    found: dict[str, Callable[[], Route]] = {
        "bare trunk": lambda: bare(model),
        "ours, last token": lambda: ours(model),
        "ours, mean": lambda: ours(model, pool="mean"),
        "ours, all tokens of one layer": lambda: ours(model, all_tokens=True),
        "transformers output_hidden_states": lambda: transformers_lm(model),
    }
    if find_spec("transformer_lens"):
        found["TransformerLens run_with_cache"] = lambda: transformer_lens(model, tuned=False)
        found["TransformerLens hooks, tuned"] = lambda: transformer_lens(model, tuned=True)
    if find_spec("nnsight"):
        found["nnsight trace"] = lambda: nnsight(model)
    return found


def absent() -> dict[str, str]:
    """Peers that are not measured here, and why."""
    extras = {"transformer_lens": "transformer-lens", "nnsight": "bench"}
    return {
        name: f"not installed: pip install 'sophistry-probes[{extra}]'"
        for name, extra in extras.items()
        if not find_spec(name)
    }


COMPARABLE = (
    "ours, last token",
    "TransformerLens run_with_cache",
    "TransformerLens hooks, tuned",
    "nnsight trace",
    "transformers output_hidden_states",
)
"""Routes whose outputs must be equal (transformers' last layer is post-norm and left out)."""
