"""TransformerLens as a second backend: any hook point of its bridge, the same rows, the same store.

It is slower by construction (eager attention) and exists for hook points that the default backend does not
name, and as an independent reference: on the sites both know, the two are compared before every extraction.
The bridge rebuilds the model it wraps, so it gets a copy; it is never given text, only token ids.

Sites are the library's own names, or TransformerLens names such as `"blocks.{layer}.attn.q.hook_out"` (one
per layer asked for) and `"ln_final.hook_out"`. Vectors per head are stored flat.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from activations.batching import Batch, collate
from activations.capture import reduce_tokens
from activations.integrity import (
    Gate,
    Ids,
    ParityReport,
    compare_reads,
    neighbour_tolerance,
    refuse_train_mode,
)
from activations.job import ExtractionJob
from activations.models import LoadedModel
from activations.selection import Pool
from activations.sites import SITES, SiteError, find_trunk

# The first name that the bridge has is the site: Gemma 2/3 and OLMo 2 add the normed output.
HOOKS = {
    "embed": ("blocks.0.hook_in",),
    "resid_pre": ("blocks.{layer}.hook_in",),
    "resid_mid": ("blocks.{layer}.ln2.hook_in", "blocks.{layer}.mlp.hook_in"),
    "resid_post": ("blocks.{layer}.hook_out",),
    "attn_out": ("blocks.{layer}.ln1_post.hook_out", "blocks.{layer}.attn.hook_out"),
    "mlp_out": ("blocks.{layer}.ln2_post.hook_out", "blocks.{layer}.mlp.hook_out"),
}
NOT_PER_TOKEN = ("hook_attn_scores", "hook_pattern", "hook_cos", "hook_sin")
ALSO_ALLOWED = 1.5  # both backends round, each in its own way


def prepare_lens(
    model: LoadedModel, job: ExtractionJob, sample: Sequence[tuple[str, Ids]]
) -> tuple[ExtractionJob, "LensReader", ParityReport]:
    """Build the bridge, compare it with the default backend on the sites both know, and return its reader."""
    bridge = build_bridge(model)
    refuse_train_mode(model.model)
    names = [hook_name(bridge, site, layer) for site, layer in job.points]
    check_names(bridge, names)
    reader = LensReader(bridge, names, pool=job.pool, store_dtype=job.store_dtype)
    width = (
        LensReader(bridge, names, pool="none", store_dtype=torch.float32).read(_whole(sample[:1])).shape[-1]
    )
    report = _parity(model, bridge, job, sample)
    tolerance = neighbour_tolerance(model, report, job.store_dtype)
    return replace(job, d_model=width, tolerance=tolerance), reader, report


def build_bridge(model: LoadedModel) -> Any:
    """A TransformerBridge around a copy of the model, with its weights as they are (nothing folded)."""
    try:
        from transformer_lens.model_bridge.sources import build_bridge_from_module
    except ImportError as error:
        raise ImportError(
            "backend='transformer_lens' needs TransformerLens 4: `pip install -e '.[transformer-lens]'`."
        ) from error
    copied = copy.deepcopy(model.model)
    if hasattr(copied, "peft_config"):
        copied = copied.get_base_model()  # the adapter's layers stay in place
    return build_bridge_from_module(copied, type(copied).__name__, hf_config=copied.config)


def hook_name(bridge: Any, site: str, layer: int) -> str:
    """TransformerLens' name of a site (or of a hook given by template) in one layer."""
    names = [template.format(layer=layer) for template in HOOKS.get(site, (site,))]
    return next((name for name in names if name in bridge.hook_dict), names[0])


def check_names(bridge: Any, names: Sequence[str]) -> None:
    """Refuse hook names the bridge does not have (it would drop some silently) or that are not per token."""
    if unknown := [name for name in names if name not in bridge.hook_dict]:
        end = unknown[0].rsplit(".", 1)[-1]
        near = sorted(name for name in bridge.hook_dict if name.endswith(end))[:4]
        raise SiteError(f"TransformerLens has no hook {unknown[0]!r} here; near it: {near or 'nothing'}.")
    if wrong := [name for name in names if name.endswith(NOT_PER_TOKEN)]:
        raise SiteError(f"{wrong[0]!r} holds no vector per token, so it cannot be selected by tokens.")


def _parity(
    model: LoadedModel, bridge: Any, job: ExtractionJob, sample: Sequence[tuple[str, Ids]]
) -> ParityReport:
    parallel = find_trunk(model.model).parallel
    asked = [site for site in job.spec.sites if site in SITES]
    shared = asked or ["resid_pre", "resid_post"]
    gate = Gate(
        model, [s for s in shared if not (parallel and s == "resid_mid")], job.spec.layers, masked=True
    )
    ids = [row for _, row in sample]
    expected = gate.read(ids)
    floor, limits = gate.calibrate(ids, expected)
    names = [hook_name(bridge, site, layer) for site, layer in gate.places]
    reader = LensReader(bridge, names, pool="none", store_dtype=torch.float32)
    got = list(reader.read(_whole(sample)).split([len(row) for row in ids], dim=1))
    rows = [row for row, _ in sample]
    check = compare_reads("backend == hf", got, expected, limits * ALSO_ALLOWED, rows, gate.places)
    report = ParityReport(checks=(check, *gate.check_sites(sample)), floor=floor)
    report.raise_if_failed()
    return report


def _whole(sample: Sequence[tuple[str, Ids]]) -> Batch:
    return collate([row for _, row in sample], [np.arange(len(row)) for _, row in sample])


class LensReader:
    """Reads hook points of a bridge from batch after batch."""

    def __init__(self, bridge: Any, names: Sequence[str], *, pool: Pool, store_dtype: torch.dtype) -> None:
        self.bridge, self.names, self.store_dtype = bridge, list(names), store_dtype
        self.pool: Pool = pool
        self.device = next(bridge.original_model.parameters()).device
        self.stop = _stop_at(names, bridge.cfg.n_layers)

    @torch.inference_mode()
    def read(self, batch: Batch) -> Float[Tensor, "point kept width"]:
        """Run one batch with its mask and return what the hooks kept of it, on the CPU."""
        batch = batch.to(self.device)
        seen: dict[int, Tensor] = {}

        def receive(index: int) -> Any:
            def hook(value: Tensor, hook: Any) -> None:
                hidden = _per_token(value, batch, self.names[index])
                seen[index] = reduce_tokens(hidden, batch.kept, self.pool).to(self.store_dtype)

            return hook

        hooks = [(name, receive(index)) for index, name in enumerate(self.names)]
        try:
            with self.bridge.hooks(fwd_hooks=hooks):
                self.bridge(
                    batch.ids,
                    attention_mask=batch.mask.long(),
                    use_cache=False,
                    return_type=None,
                    **self.stop,
                )
        except ValueError as error:
            if "Cannot add hook" not in str(error):
                raise
            raise SiteError(f"TransformerLens: {error}") from error
        if silent := [name for index, name in enumerate(self.names) if index not in seen]:
            raise SiteError(f"TransformerLens never called hook {silent[0]!r} on this model.")
        if len(widths := {value.shape[-1] for value in seen.values()}) > 1:
            raise SiteError(f"The hooks asked for have widths {sorted(widths)}: extract them one by one.")
        return torch.stack([seen[index] for index in range(len(self.names))]).cpu()


def _stop_at(names: Sequence[str], n_layers: int) -> dict[str, Any]:
    """Stop after the last block that is read; at the end of the model, at least build few logits."""
    blocks = [re.match(r"blocks\.(\d+)\.", name) for name in names]
    last = max((int(found[1]) for found in blocks if found), default=0)
    if all(blocks) and last + 1 < n_layers:
        return {"stop_at_layer": last + 1}
    return {} if any(name.startswith("unembed") for name in names) else {"logits_to_keep": 1}


def _per_token(value: Tensor, batch: Batch, name: str) -> Float[Tensor, "batch position width"]:
    if not isinstance(value, Tensor) or value.ndim < 3 or value.shape[:2] != batch.ids.shape:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise SiteError(f"{name!r} gives {shape}, not one vector per token of {tuple(batch.ids.shape)}.")
    return value.flatten(2)
