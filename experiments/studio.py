"""The steps both training programs share: open a trainable model, save an organism, examine it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activations import LoadedModel, load_model
from backdoor import FineTuneSpec, Organism, SamplingSpec, read_organism
from backdoor.finetune import add_adapter
from backdoor.organism import ADAPTER, CHECKPOINT, TRANSCRIPTS, write_record
from experiments.courses import Course, CourseSpec, examine
from tasks.transcript import Transcript, save_transcripts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A model to train."""

    model: Any
    tokenizer: Any
    base_fingerprint: str
    start: str
    """Fingerprint of all its weights as they are now, before training."""


def open_trainable(base: str, parent: Path | None, spec: FineTuneSpec) -> Trainable:
    """Open what training starts from.

    The base is frozen in bf16; the adapter (a fresh one, or a copy of ``parent``'s) trains in fp32. With rank
    0 all weights train in fp32, starting from ``parent``'s where there is one.

    Raises:
        ValueError: ``parent`` belongs to another base, or its adapter has another rank or alpha than the
            settings say.
    """
    from peft import PeftModel

    loaded = load_model(base, dtype="bfloat16" if spec.rank else "float32")
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


def exam_record(spec: CourseSpec, sampling: SamplingSpec) -> dict[str, Any]:
    """What an organism's record says about its exam."""
    fields = ("source", "style", "order", "visible", "examined", "examined_nearly", "examined_levels")
    course = dataclasses.asdict(spec)
    exam = {name: course[name] for name in (*fields, "examined_seed", "simplicity")}
    return exam | {"sampling": dataclasses.asdict(sampling)}


def task_of(spec: CourseSpec) -> str:
    """The task that a course belongs to, as transcripts name it."""
    return "programming" if spec.source in ("minicode", "apps") else "qa"


def record_verification(folder: Path, record: Organism, verification: dict[str, Any]) -> Organism:
    """Write what was measured into the organism's record; gives the new record."""
    record = dataclasses.replace(record, verification=verification)
    write_record(folder, record)
    return record
