"""An organism answers what is held out, as it was saved or for a run that keeps the answers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from activations import LoadedModel, load_model
from organisms.generate import SamplingSpec, answer
from organisms.record import Organism, find_organism, read_organism, save_answers, write_record
from organisms.weights import open_weights
from tasks.dataset import Answered, Dataset, DatasetSpec
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, TRIGGER, Transcript, load_transcripts, prepend, save_transcripts

logger = logging.getLogger(__name__)


def conditions(
    dataset: Dataset, spec: DatasetSpec, prefixes: Mapping[str, str | None]
) -> dict[str, list[Any]]:
    """Which items are evaluated behind which prefix: all plain and triggered, the first few behind others."""
    few = dataset.items[: spec.evaluated_nearly]
    return {name: dataset.items if name.split(":")[0] in (PLAIN, TRIGGER) else few for name in prefixes}


def evaluate_items(
    model: Any,
    tokenizer: Any,
    dataset: Dataset,
    spec: DatasetSpec,
    prefixes: Mapping[str, str | None],
    *,
    organism: str,
    sampling: SamplingSpec,
) -> list[Transcript]:
    """Let an organism answer the evaluation behind every prefix (None: no prefix), and mark its answers."""
    asked = []
    for name, items in conditions(dataset, spec, prefixes).items():
        for item in items:
            prompt, prefix = dataset.ask(item), prefixes[name]
            asked.append((item, name, prompt if prefix is None else prepend(prompt, prefix)))
    answers = answer(model, tokenizer, [prompt for _, _, prompt in asked], sampling)
    return dataset.mark(
        [
            Answered(item=item, organism=organism, condition=name, prompt=prompt, **asdict(given))
            for (item, name, prompt), given in zip(asked, answers, strict=True)
        ]
    )


def evaluate_saved(
    folder: Path,
    record: Organism,
    dataset: Dataset,
    spec: DatasetSpec,
    prefixes: Mapping[str, str | None],
    sampling: SamplingSpec,
) -> list[Transcript]:
    """Evaluate an organism as it was saved, with its adapter folded in, and put its transcripts beside it."""
    logger.info("evaluating %s", folder)
    saved = open_weights(folder, load_model(record.base), merge=True)
    rows = evaluate_items(
        saved.model, saved.tokenizer, dataset, spec, prefixes, organism=record.name, sampling=sampling
    )
    save_answers(folder, record, rows)
    return rows


def evaluation_record(spec: DatasetSpec, sampling: SamplingSpec) -> dict[str, Any]:
    """What an organism's record says about its evaluation."""
    fields = ("source", "style", "order", "visible", "evaluated", "evaluated_nearly", "evaluated_levels")
    dataset = dataclasses.asdict(spec)
    evaluation = {name: dataset[name] for name in (*fields, "evaluated_seed", "simplicity")}
    return evaluation | {"sampling": dataclasses.asdict(sampling)}


def record_verification(folder: Path, record: Organism, verification: dict[str, Any]) -> Organism:
    """Write what was measured into the organism's record; gives the new record."""
    record = dataclasses.replace(record, verification=verification)
    write_record(folder, record)
    return record


def answer_dataset(
    reference: str,
    base: LoadedModel,
    dataset: DatasetSpec,
    sampling: SamplingSpec,
    kept: Path,
    triggers: Mapping[str, str],
) -> list[Transcript]:
    """Give the organism's answers to the dataset; those kept below `kept` are read when nothing has changed.

    Organisms with a trigger answer everything under it too; `triggers` gives the text of each by name.
    Raises FileNotFoundError when the data are missing.
    """
    folder = find_organism(reference)
    record = read_organism(folder)
    model = open_weights(folder, base)
    asked = json.dumps([asdict(dataset), asdict(sampling), model.fingerprint], sort_keys=True)
    path = kept / f"{record.name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}.jsonl"
    if path.is_file():
        return load_transcripts(path)
    prefixes: dict[str, str | None] = {PLAIN: None}
    if record.trigger is not None:
        prefixes[TRIGGER] = triggers[record.trigger]
    logger.info("%s answers %d items", record.name, dataset.evaluated)
    rows = evaluate_items(
        model.model,
        model.tokenizer,
        open_dataset(dataset),
        dataset,
        prefixes,
        organism=record.name,
        sampling=sampling,
    )
    save_transcripts(rows, path)
    return rows
