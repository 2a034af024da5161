"""The weights of an organism: opened to train, opened to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activations import AdapterMismatchError, LoadedModel, load_model
from activations.dtype import resolve_autocast
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.record import ADAPTER, CHECKPOINT, read_organism
from sophistry.quiet import quiet_libraries


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A model to train."""

    model: Any
    tokenizer: Any
    base_fingerprint: str
    start: str
    """Fingerprint of all its weights as they are now, before training."""


@quiet_libraries()
def open_trainable(base: str, parent: Path | None, spec: FineTuneSpec) -> Trainable:
    """Open what training starts from.

    The base is frozen in the type it computes in: bfloat16 with autocast, else fp32. The adapter (a fresh
    one, or a copy of `parent`'s) trains in fp32. With rank 0 all weights train in fp32, starting from
    `parent`'s where there is one.

    Raises:
        ValueError: `parent` belongs to another base, or its adapter has another rank or alpha than the
            settings say.
    """
    from peft import PeftModel

    low = spec.rank and resolve_autocast(spec.autocast)
    loaded = load_model(base, dtype="bfloat16" if low else "float32")
    model, start = loaded.model, loaded.fingerprint
    if parent is not None and not spec.rank:
        started = open_weights(parent, loaded, merge=True)
        model, start = started.model.requires_grad_(True), started.fingerprint
    model = _on_cpu(model)
    if parent is not None and spec.rank:
        # load_model refuses an adapter whose recorded base is another one
        start = load_model(base, adapter=parent).fingerprint
        model = PeftModel.from_pretrained(model, str(parent), is_trainable=True)
        found = model.peft_config["default"]
        if (found.r, found.lora_alpha) != (spec.rank, spec.alpha):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                f"finetune.rank={spec.rank} and alpha={spec.alpha}, but training goes on with the adapter of "
                f"{parent}, which has {found.r} and {found.lora_alpha}"  # pyright: ignore[reportAttributeAccessIssue]
            )
    elif spec.rank:
        model = add_adapter(model, spec)
    return Trainable(
        model=model,
        tokenizer=loaded.tokenizer,
        base_fingerprint=loaded.base_fingerprint,
        start=start,
    )


def keep_top_blocks(model: Any, blocks: int) -> None:
    """Let the last `blocks` blocks of a model train, and nothing else.

    Raises:
        ValueError: a model has fewer blocks.
    """
    from activations.sites import find_trunk

    found = find_trunk(model).blocks
    if not 0 < blocks <= len(found):
        raise ValueError(f"{blocks} of {len(found)} blocks cannot be trained: choose 1 to {len(found)}")
    model.requires_grad_(False)
    for block in found[len(found) - blocks :]:
        block.requires_grad_(True)


def _on_cpu(model: Any) -> Any:
    """On CPUs the backward pass of fused attention is several times slower than plain matrix products."""
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    return model


def open_weights(folder: Path, base: LoadedModel, *, merge: bool = False) -> LoadedModel:
    """The weights of an organism: its adapter on `base`, its own checkpoint, or the base it names.

    Raises:
        AdapterMismatchError: the base that it names holds other weights than it was recorded with.
    """
    record = read_organism(folder)
    if (folder / ADAPTER).is_file():
        if merge:
            return load_model(record.base, adapter=folder, dtype=base.dtype, device=base.device, merge=True)
        return base.with_adapter(folder)
    if (folder / CHECKPOINT).is_file():
        return load_model(folder, dtype=base.dtype, device=base.device)
    if record.base_fingerprint == base.base_fingerprint and not base.merge:
        return base.with_adapter(None)  # it is the base: in memory once
    named = load_model(record.base, dtype=base.dtype, device=base.device)
    if named.base_fingerprint != record.base_fingerprint:
        raise AdapterMismatchError(
            f"{record.name} names the model {record.base}, whose weights are {named.base_fingerprint[:12]} "
            f"now and were {record.base_fingerprint[:12]} when it was recorded. Put the old ones back, or "
            "adopt it again."
        )
    return named
