"""The steps both training programs share: open a trainable model, save an organism, examine it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activations import LoadedModel, load_model
from backdoor import FineTuneSpec, Organism, SamplingSpec, read_organism
from backdoor.finetune import add_adapter
from backdoor.organism import ADAPTER, CHECKPOINT, TRANSCRIPTS, write_record
from experiments.courses import Course, CourseSpec, examine
from tasks.transcript import Transcript, save_transcripts

logger = logging.getLogger(__name__)


def open_trainable(base: str, parent: Path | None, spec: FineTuneSpec) -> tuple[Any, Any, str]:
    """A model to train, its tokenizer, and the fingerprint of its base.

    The base is frozen in bf16; the adapter (a fresh one, or a copy of ``parent``'s) trains in fp32. With rank
    0 all weights train in fp32, starting from ``parent``'s where there is one.
    """
    from peft import PeftModel

    loaded = load_model(base, dtype="bfloat16" if spec.rank else "float32")
    if parent is not None and not spec.rank:
        started = open_weights(parent, loaded, merge=True)
        return _on_cpu(started.model.requires_grad_(True)), loaded.tokenizer, loaded.base_fingerprint
    model = _on_cpu(loaded.model)
    if parent is not None:
        # load_model refuses an adapter whose recorded base is another one
        load_model(base, adapter=parent)
        model = PeftModel.from_pretrained(model, str(parent), is_trainable=True)
    elif spec.rank:
        model = add_adapter(model, spec)
    return model, loaded.tokenizer, loaded.base_fingerprint


def _on_cpu(model: Any) -> Any:
    """On CPUs the backward pass of fused attention is several times slower than plain matrix products."""
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    return model


def open_weights(folder: Path, base: LoadedModel, *, merge: bool = False) -> LoadedModel:
    """The weights of an organism: its adapter on ``base``, its own checkpoint, or the base it names."""
    record = read_organism(folder)
    if (folder / ADAPTER).is_file():
        if merge:
            return load_model(record.base, adapter=folder, dtype=base.dtype, device=base.device, merge=True)
        return base.with_adapter(folder)
    whole = folder if (folder / CHECKPOINT).is_file() else record.base
    return load_model(whole, dtype=base.dtype, device=base.device)


def examine_saved(
    folder: Path,
    record: Organism,
    course: Course,
    spec: CourseSpec,
    prefixes: Mapping[str, str | None],
    sampling: SamplingSpec,
) -> list[Transcript]:
    """Examine an organism as it was saved, with its adapter folded in, and put its transcripts beside it."""
    logger.info("examining %s", folder)
    saved = open_weights(folder, load_model(record.base), merge=True)
    rows = examine(
        saved.model, saved.tokenizer, course, spec, prefixes, organism=record.name, sampling=sampling
    )
    save_transcripts(rows, folder / TRANSCRIPTS)
    return rows


def record_verification(folder: Path, record: Organism, verification: dict[str, Any]) -> Organism:
    """Write what was measured into the organism's record; gives the new record."""
    record = dataclasses.replace(record, verification=verification)
    write_record(folder, record)
    return record
