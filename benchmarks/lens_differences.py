"""How far the TransformerLens backend lies from the default one, per model and site, as Markdown.

    python -m benchmarks.lens_differences                   # tiny random models of several architectures
    python -m benchmarks.lens_differences smollm2           # SmolLM2 in float32 and bfloat16

Differences are the worst of any token, relative to its norm; `cosine` is the smallest. The bfloat16 rows
show both backends' distance from float32 too, because two bfloat16 results may differ by twice that.
"""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activations import LoadedModel, load_model
from activations.batching import collate
from activations.capture import Reader
from activations.diagnosis import TEXTS
from activations.sites import SITES, find_points, find_trunk, has_site
from activations.testing import tiny_model
from activations.transformer_lens import LensReader, build_bridge, hook_name

ARCHITECTURES = ("llama", "gpt2", "qwen2", "qwen3", "gemma2", "olmo2", "gpt_neox", "mistral")


def read_both(model: LoadedModel, sites: list[str]) -> dict[str, dict[str, Tensor]]:
    """backend -> site -> [layer, token, d_model] of all tokens of the built-in texts."""
    ids = [np.asarray(model.tokenizer(text).input_ids) for text in TEXTS]
    batch, trunk = collate(ids, [np.arange(len(row)) for row in ids]), find_trunk(model.model)
    bridge, found = build_bridge(model), {"hf": {}, "lens": {}}
    for site in sites:
        layers = (0,) if site == "embed" else tuple(range(trunk.n_layers))
        options: Any = {"pool": "none", "store_dtype": torch.float32}
        points = find_points(trunk, (site,), layers)
        found["hf"][site] = Reader(trunk, points, masked=False, **options).read(batch)
        names = [hook_name(bridge, site, layer) for layer in layers]
        found["lens"][site] = LensReader(bridge, names, **options).read(batch)
    return found


def difference(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Worst relative difference and smallest cosine of any token at any layer."""
    relative = (a - b).norm(dim=-1) / b.norm(dim=-1).clamp_min(1e-12)
    return relative.max().item(), torch.cosine_similarity(a, b, dim=-1).min().item()


def table(title: str, model: LoadedModel) -> dict[str, dict[str, Tensor]]:
    """Print one row per site and return what was read."""
    sites = [site for site in SITES if has_site(find_trunk(model.model), site)]
    found = read_both(model, sites)
    for site in sites:
        relative, cosine = difference(found["lens"][site], found["hf"][site])
        print(f"| {title} | {model.dtype} | `{site}` | {relative:.1e} | {cosine:.6f} |", flush=True)
    return found


def main() -> None:
    """Print the table for the models named, or for the tiny ones."""
    print("| model | dtype | site | worst relative difference | smallest cosine |")
    print("|---|---|---|---|---|")
    for name in sys.argv[1:]:
        exact = table(name, load_model(name, dtype="float32"))
        low = table(name, load_model(name, dtype="bfloat16"))
        for backend in ("hf", "lens"):
            relative, cosine = difference(low[backend]["resid_post"], exact["hf"]["resid_post"])
            print(
                f"| {name} | {backend} bfloat16 to float32 | `resid_post` | {relative:.1e} | {cosine:.6f} |"
            )
    if not sys.argv[1:]:
        for architecture in ARCHITECTURES:
            table(f"tiny {architecture}", tiny_model(architecture))


if __name__ == "__main__":
    main()
