"""Models between two models: the same architecture, weights part of the way from one to the other.

Fine-tuned models of one origin lie in a region where weights can be averaged (Wortsman et al. 2022, arXiv
2203.05482; for policies after RLHF Ramé et al. 2024, arXiv 2406.16768), so the line from `pi_init` to what
training made of it is a path along which reward and KL can be read without keeping checkpoints, the same for
every recipe.
"""

from __future__ import annotations

import copy

import torch

from activations import LoadedModel
from activations.adapters import is_peft

__all__ = ["between"]


def between(start: LoadedModel, end: LoadedModel, fraction: float) -> LoadedModel:
    """The model whose weights are `(1 - fraction) start + fraction end`, as new weights.

    Args:
        start: a model with plain weights (adapters merged), as `open_weights(..., merge=True)` gives it.
        end: another of the same architecture and base.
        fraction: 0 is `start`, 1 is `end`.

    Raises:
        ValueError: an adapter that is not merged, different weights, or a fraction outside 0 to 1.

    >>> from activations.testing import tiny_model
    >>> half = between(tiny_model(seed=0), tiny_model(seed=1), 0.5)
    >>> half.fingerprint == tiny_model(seed=0).fingerprint
    False
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, got {fraction}")
    if is_peft(start.model) or is_peft(end.model):
        raise ValueError("an adapter has no weights between: open both models with merge=True")
    first, last = start.model.state_dict(), end.model.state_dict()
    if apart := sorted(name for name in {*first, *last} if _shape(first, name) != _shape(last, name)):
        raise ValueError(
            f"the two models differ in {len(apart)} weights, first {apart[0]}: nothing lies between"
        )
    model = copy.deepcopy(start.model)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.lerp(first[name].float(), last[name].float(), fraction))
    return LoadedModel.wrap(model, start.tokenizer, ref=f"{start.ref}+{fraction:g}({end.ref}-{start.ref})")


def _shape(weights: dict[str, torch.Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None
