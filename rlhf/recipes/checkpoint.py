"""Checkpoints from which a killed run goes on exactly: weights, optimiser, and a few numbers.

Sampling needs no state of a random generator (`rlhf.recipes.rollout`). A PEFT adapter is stored as PEFT
does, so every checkpoint can be loaded as an adapter; older checkpoints keep their weights only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_OPTIMISER, _HEAD, _STATE = "optimiser.safetensors", "value_head.safetensors", "state.json"
_ADAPTER, _WEIGHTS = "adapter_model.safetensors", "weights.safetensors"


def trained_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """What trains in a model, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def digest_weights(model: Any) -> str:
    """Names the trainable weights as they are now."""
    digest = hashlib.sha256()
    for name, parameter in sorted(trained_parameters(model).items()):
        digest.update(name.encode() + parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def checkpoints(work_dir: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(p for p in work_dir.glob("checkpoint-*") if (p / _STATE).is_file())


def save_checkpoint(
    work_dir: Path,
    *,
    rounds: int,
    model: Any,
    head: torch.nn.Module | None,
    optimiser: torch.optim.Optimizer,
    state: dict[str, Any],
    keep: int | None,
) -> Path:
    """Write `checkpoint-ROUNDS`; it appears by rename, whole or not at all."""
    final = work_dir / f"checkpoint-{rounds:06d}"
    folder = work_dir / f".{final.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_weights(model, folder)
    if head is not None:
        save_file({n: t.contiguous().cpu() for n, t in head.state_dict().items()}, folder / _HEAD)
    save_file(_flatten(optimiser), folder / _OPTIMISER)
    (folder / _STATE).write_text(json.dumps({"rounds": rounds, **state}, indent=1), encoding="utf-8")
    if final.exists():
        shutil.rmtree(final)
    folder.replace(final)
    for older in checkpoints(work_dir)[:-1]:
        (older / _OPTIMISER).unlink(missing_ok=True)
    if keep is not None:
        for older in checkpoints(work_dir)[:-keep]:
            shutil.rmtree(older)
    return final


def load_checkpoint(
    folder: Path, *, model: Any, head: torch.nn.Module | None, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put a checkpoint's numbers into model, value head and optimiser; gives its state.

    Raises:
        ValueError: a checkpoint without what it needs to go on exactly.
    """
    if not (folder / _OPTIMISER).is_file():
        raise ValueError(f"{folder} has no optimiser state, so a run cannot go on from it")
    load_weights(model, folder)
    if head is not None:
        head.load_state_dict(load_file(folder / _HEAD))
    _unflatten(optimiser, load_file(folder / _OPTIMISER))
    return json.loads((folder / _STATE).read_text(encoding="utf-8"))


def save_weights(model: Any, folder: Path) -> None:
    """Write what trains in a model: an adapter as PEFT does, else all trained weights."""
    if hasattr(model, "peft_config"):
        from peft import get_peft_model_state_dict

        (name, *_) = model.active_adapters
        tensors = get_peft_model_state_dict(model, adapter_name=name)
        save_file({n: t.detach().contiguous().cpu() for n, t in tensors.items()}, folder / _ADAPTER)
        model.peft_config[name].save_pretrained(folder)
    else:
        tensors = trained_parameters(model)
        save_file({n: t.detach().contiguous().cpu() for n, t in tensors.items()}, folder / _WEIGHTS)


def load_weights(model: Any, folder: Path) -> None:
    """Put what `save_weights` wrote into the same model.

    Raises:
        ValueError: the file holds other weights than those that train here; names one.
    """
    adapted = hasattr(model, "peft_config")
    weights = load_file(folder / (_ADAPTER if adapted else _WEIGHTS))
    if adapted:
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        (name, *_) = model.active_adapters
        _check_names(folder, weights, get_peft_model_state_dict(model, adapter_name=name))
        set_peft_model_state_dict(model, weights, adapter_name=name)
        return
    _check_names(folder, weights, trained_parameters(model))
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(weights[name])


def _check_names(folder: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if other := sorted(set(found) ^ set(expected)):
        side = "holds" if other[0] in found else "lacks"
        raise ValueError(f"{folder} holds weights of another model: it {side} {other[0]}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(
                f"{folder} holds weights of another model: {name} has shape {tuple(tensor.shape)}, "
                f"not {tuple(expected[name].shape)}"
            )


def _flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).contiguous().cpu()
        for index, entry in state.items()
        for name, value in entry.items()
    }


def _unflatten(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    full = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**full, "state": state})
