"""Let an organism answer a course when its transcripts cannot be shipped (real text); keep the answers."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path

from activations import LoadedModel
from backdoor import TRIGGERS, SamplingSpec, read_organism
from experiments.config import find_path
from experiments.courses import CourseSpec, examine, open_course
from experiments.studio import open_weights
from tasks.transcript import Transcript, load_transcripts, save_transcripts

logger = logging.getLogger(__name__)


def answer_course(
    reference: str, base: LoadedModel, course: CourseSpec, sampling: SamplingSpec, kept: Path
) -> list[Transcript]:
    """Give the organism's answers to the course; those kept below `kept` are read when nothing has changed.

    Organisms with a trigger answer everything under it too. Raises FileNotFoundError when the course's data
    are missing.
    """
    folder = find_path(reference, "organism")
    record = read_organism(folder)
    model = open_weights(folder, base)
    asked = json.dumps([asdict(course), asdict(sampling), model.fingerprint], sort_keys=True)
    path = kept / f"{record.name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.jsonl"
    if path.is_file():
        return load_transcripts(path)
    prefixes: dict[str, str | None] = {"plain": None}
    if record.trigger is not None:
        prefixes["trigger"] = TRIGGERS[record.trigger].variants[0]
    logger.info("%s answers %d items", record.name, course.examined)
    rows = examine(
        model.model,
        model.tokenizer,
        open_course(course),
        course,
        prefixes,
        organism=record.name,
        sampling=sampling,
    )
    save_transcripts(rows, path)
    return rows
