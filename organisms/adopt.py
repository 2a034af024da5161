"""A model and answers that were made elsewhere become an organism: a folder like those that are made here.

Weights are not copied, only named and fingerprinted; an adapter is copied, since it is small. Every row is
tokenised once, so that what reading it later would refuse is counted now.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from activations import LoadedModel, load_model
from activations.adapters import Adapter
from activations.anatomy import examine
from activations.fingerprint import ADAPTER_FILES, TOKENIZER_FILES
from activations.likelihood import response_likelihood
from activations.tokens import RowError, check_texts, encode_rows
from organisms.record import ADAPTER, Organism, OrganismRole, library_versions, save_answers, write_record
from sophistry.files import write_atomic
from tasks.adopted import Adopted, AdoptionReport
from tasks.tables import TableError, Tally
from tasks.transcript import Transcript

REPORT = "adoption.json"
"""File in the organism's folder: what was read, dropped and why."""
WRONG, DECEPTIVE, FALSE = "1 = wrong answer (R* = 0)", "1 = deceptive response", "1 = false statement"
"""What a probe's positive class is, by format."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """An organism that was taken over, and the report of its rows."""

    folder: Path
    record: Organism
    report: AdoptionReport


def open_model(reference: str | None, adapter: str | None = None) -> LoadedModel:
    """Open the model that is to be adopted; its weights are not read yet.

    Args:
        reference: hub id, folder, GGUF file or `smollm2`; None: the base that the adapter's configuration
            names.
        adapter: a PEFT adapter's folder, or hub id.

    Raises:
        ValueError: neither is given, or the adapter names no base.
        WeightsError, AdapterMismatchError: the model cannot be read, or the adapter belongs to another.
    """
    if reference is None:
        if adapter is None:
            raise ValueError(
                "No model: say --model HUB_ID, a folder or a GGUF file (and --adapter, if it has one)."
            )
        path = Adapter.open(adapter).path / ADAPTER
        reference = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not reference:
            raise ValueError(f"{path} names no base model: say --model.")
    path = Path(reference).expanduser()
    model = load_model(str(path.absolute()) if path.exists() else reference, adapter=adapter)
    _ = model.config  # an encoder-decoder, or a model that needs code of its own, is refused here
    return model


def adopt(
    folder: str | Path,
    model: LoadedModel,
    adopted: Adopted,
    *,
    name: str,
    task: str = "other",
    on_policy: bool = True,
    label: str = WRONG,
    likelihood: bool = False,
    licence: str | None = None,
    how: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> Adoption:
    """Write an organism's folder from a model and its answers.

    Args:
        folder: replaced when it exists; appears by rename.
        model: from `open_model`.
        adopted: from `tasks.adopted.adopt_rows`.
        on_policy: whether this model wrote the responses; false for statements and other models' answers.
        label: what a probe's positive class is, for results.
        likelihood: also compute how likely the model finds each response (one pass over all rows), a control.
        licence: of the answers, for their metadata.
        how: settings of the adoption, for the record.
        command: what makes it again.

    Raises:
        TableError: no row fits the model, or too few of a class are left.
    """
    rows, report = fit_rows(model, adopted)
    if likelihood:
        found = response_likelihood(model, rows)
        rows = [
            replace(row, log_prob=float(p), entropy=float(h))
            for row, p, h in zip(rows, found.log_prob, found.entropy, strict=True)
        ]
    record = Organism(
        name=name,
        role=OrganismRole.ADOPTED,
        task=task,
        base=model.ref,
        base_fingerprint=model.base_fingerprint,
        training={"adopted": dict(how or {}), "on_policy": on_policy, "label": label},
        verification={"answers": report.kept, "wrong": report.wrong, "groups": report.groups},
        command=command,
        versions=library_versions(),
    )
    folder = Path(folder).expanduser()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if model.adapter is not None:
        for file in (*ADAPTER_FILES, *TOKENIZER_FILES):
            if (model.adapter.path / file).is_file():
                shutil.copy2(model.adapter.path / file, part / file)
    write_record(part, record)
    save_answers(part, record, rows, licence=licence)
    write_atomic(part / REPORT, json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return Adoption(folder=folder, record=record, report=report)


def fit_rows(model: LoadedModel, adopted: Adopted) -> tuple[list[Transcript], AdoptionReport]:
    """Leave out the rows that this model cannot read, and say so in the report.

    Raises:
        TableError: none is left, or all that are left have the same label.
    """
    limit, vocabulary = (anatomy := examine(model)).max_len, anatomy.vocabulary
    tally = Tally(counts=Counter(adopted.report.dropped), first=dict(adopted.report.first))
    kept = []
    problems = _problems(model, adopted.rows, limit, vocabulary)
    for row, where, problem in zip(adopted.rows, adopted.places, problems, strict=True):
        if problem:
            tally.add(problem, where)
        else:
            kept.append(row)
    if len({row.correct for row in kept}) < 2:
        named = "; ".join(f"{count} rows: {reason}" for reason, count in tally.counts.items())
        raise TableError(
            f"{adopted.report.source}: {len(kept)} rows are left for {model.ref}, not of both labels "
            f"({named}). Shorten or mend them, or take another model."
        )
    report = replace(
        adopted.report,
        kept=len(kept),
        wrong=sum(not row.correct for row in kept),
        groups=len({row.group for row in kept}),
        dropped=dict(tally.counts),
        first=tally.first,
        notes=(*adopted.report.notes, *_notes(model, kept)),
    )
    return kept, report


def _problems(
    model: LoadedModel, rows: Sequence[Transcript], limit: int | None, vocabulary: int | None
) -> list[str]:
    """What keeps this model from reading each row; "" for nothing."""
    tokenizer = model.tokenizer
    try:
        encoded = encode_rows(rows, tokenizer, vocabulary=vocabulary)
        check_texts(encoded, tokenizer)
    except RowError:  # some row: look at each
        return [_problem(row, model, limit, vocabulary) for row in rows]
    long = [len(row) > limit if limit else False for row in encoded]
    return [_too_long(limit) if is_long else "" for is_long in long]


def _problem(row: Transcript, model: LoadedModel, limit: int | None, vocabulary: int | None) -> str:
    try:
        encoded = encode_rows([row], model.tokenizer, vocabulary=vocabulary)
    except RowError as error:
        return str(error).removeprefix(f"Row {row.id!r}").removeprefix(":").strip()
    try:
        check_texts(encoded, model.tokenizer)
    except RowError:
        return "the tokenizer does not keep the text of its response"
    return _too_long(limit) if limit and len(encoded[0]) > limit else ""


def _too_long(limit: int | None) -> str:
    return f"longer than the model's context of {limit} tokens"


def _notes(model: LoadedModel, rows: Sequence[Transcript]) -> list[str]:
    """What about texts and tokenizer one ought to know."""
    notes, tokenizer = [], model.tokenizer
    plain = sum(isinstance(row.prompt, str) and bool(row.prompt) for row in rows)
    if plain and getattr(tokenizer, "chat_template", None):
        notes.append(
            f"{plain} prompts are plain text and read literally, though the tokenizer has a chat template: "
            "if the model saw them as a user's turn, say --chat true"
        )
    ends = {str(token) for token in (tokenizer.eos_token, tokenizer.pad_token) if token} | {"<|im_end|>"}
    closed = sum(any(row.response.rstrip().endswith(end) for end in ends) for row in rows)
    if closed:
        notes.append(
            f"{closed} responses end with an end-of-turn token as text: it is read as part of the answer, so "
            "cut it off if others lack it"
        )
    return notes
