"""The steps both training programs share: open a trainable model, save an organism, examine it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activations import load_model
from backdoor import FineTuneSpec, Organism, SamplingSpec
from backdoor.finetune import add_adapter
from backdoor.organism import TRANSCRIPTS, write_record
from experiments.courses import Course, CourseSpec, examine
from tasks.transcript import Transcript, save_transcripts

logger = logging.getLogger(__name__)


def open_trainable(base: str, parent: Path | None, spec: FineTuneSpec) -> tuple[Any, Any, str]:
    """A model to train, its tokenizer, and the fingerprint of its base.

    The base is frozen in bf16; the adapter (a fresh one, or a copy of ``parent``'s) trains in fp32.
    """
    from peft import PeftModel

    loaded = load_model(base, dtype="bfloat16" if spec.rank else "float32")
    model = loaded.model
    if model.device.type == "cpu":
        # on CPUs the backward pass of fused attention is several times slower than plain matrix products
        model.set_attn_implementation("eager")
    if parent is not None:
        # load_model refuses an adapter whose recorded base is another one
        load_model(base, adapter=parent)
        model = PeftModel.from_pretrained(model, str(parent), is_trainable=True)
    elif spec.rank:
        model = add_adapter(model, spec)
    return model, loaded.tokenizer, loaded.base_fingerprint


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
    saved = load_model(record.base, adapter=folder, merge=True)
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
