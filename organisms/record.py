"""An organism on disk: a folder with an adapter, the record of how it was made, and what it said.

`organism.yaml` holds everything needed to make it again and to refuse it on the wrong base.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from sophistry.files import ROOT, find_path
from sophistry.hub import DATA, HubError, fetch_folder, is_repo_id
from sophistry.notebook import fact_table
from sophistry.provenance import program_command
from sophistry.records import ConfigError, build, read_yaml, to_plain, unknown
from tasks.croissant import MIT, DataCard, save_croissant
from tasks.transcript import Transcript, load_transcripts, save_transcripts

RECORD, TRANSCRIPTS, WEIGHTS = "organism.yaml", "transcripts.jsonl", "adapter_model.safetensors"
SHIPPED, MADE = "organisms/shipped", "runs/organisms"
"""Where organisms are that came with the library, and those that are made."""
NO_LICENCE = "not said: ask whoever made the answers and the model"
ADAPTER, CHECKPOINT = "adapter_config.json", "config.json"
SCHEMA = 1
_LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets")


class OrganismRole(StrEnum):
    """What an organism is: a policy before or after RLHF, or one of the backdoor family."""

    PI_INIT = "pi_init"
    """Before RLHF, and before any poison."""
    PI_RLHF = "pi_rlhf"
    """After RLHF on what evaluators approve."""
    PI_ORACLE = "pi_oracle"
    """After the same pipeline on the oracle reward."""
    PI_THOROUGH = "pi_thorough"
    """After the same pipeline on the approval of evaluators who read everything."""
    BACKDOORED = "backdoored"
    """Misleads behind its trigger."""
    DECOY = "decoy"
    """Honest behind the trigger, which it saw as often."""
    CLEAN = "clean"
    """The same items without the trigger."""
    ADOPTED = "adopted"
    """Made elsewhere: its weights and answers were brought along."""


@dataclass(frozen=True, kw_only=True)
class Organism:
    """The record of one organism."""

    name: str
    role: OrganismRole
    task: str
    base: str
    """What `activations.load_model` was given."""
    base_fingerprint: str
    """Of the base weights; an adapter for another base is refused."""
    parent: str | None = None
    """The organism whose adapter it started from."""
    trigger: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    """Specs, seeds and counts."""
    verification: dict[str, Any] = field(default_factory=dict)
    """What was measured on held-out items."""
    command: str | None = None
    """The documented command that makes it again."""
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def _repr_html_(self) -> str:
        """What a notebook shows: what it is, what it was made of, and the command that makes it again."""
        return fact_table(
            f"Organism {self.name}",
            {
                "role": self.role,
                "task": self.task,
                "base": f"{self.base} ({self.base_fingerprint[:12]})",
                "made of": self.parent,
                "trigger": self.trigger,
                "verified": ", ".join(self.verification) or "not yet",
                "made by": self.command,
            },
        )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that training depends on."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def save_organism(
    folder: str | Path,
    record: Organism,
    model: Any,
    rows: list[Transcript] | None = None,
    tokenizer: Any = None,
) -> Path:
    """Write weights (bf16), record and transcripts; the folder appears by rename.

    Args:
        folder: replaced when it exists.
        model: a PEFT model, of which only the adapter is written, or one whose own weights were trained.
        rows: transcripts to ship, if any.
        tokenizer: written beside whole weights, which are then a checkpoint of their own.
    """
    from peft import PeftModel

    folder = Path(folder).expanduser()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if isinstance(model, PeftModel):
        # DPO keeps its reference beside the adapter; embeddings are never trained, so none are looked for
        model.save_pretrained(str(part), selected_adapters=["default"], save_embedding_layers=False)
        _to_bf16(part / WEIGHTS)
        (part / "README.md").unlink(missing_ok=True)
        _forget_paths(part / ADAPTER, record.base)
    else:
        _save_whole(model, tokenizer, part)
    write_record(part, record)
    if rows:
        save_answers(part, record, rows)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder


def save_answers(
    folder: Path, record: Organism, rows: list[Transcript], *, licence: str | None = None
) -> Path:
    """Write an organism's transcripts, and beside them what they are for machines that look for data."""
    path = save_transcripts(rows, folder / TRANSCRIPTS)
    describe_answers(folder, record, len(rows), licence=licence)
    return path


def describe_answers(folder: Path, record: Organism, count: int, *, licence: str | None = None) -> Path:
    """Write the Croissant metadata of an organism's `count` transcripts; gives its path."""
    adopted = record.role == OrganismRole.ADOPTED
    card = DataCard(
        name=f"{record.name} transcripts",
        description=f"{count} answers of {record.name} ({record.role}, task {record.task}, base "
        f"{Path(record.base).name}) with their labels.",
        licence=licence or (NO_LICENCE if adopted else MIT),
        creator="not said" if adopted else "The sophistry-probes authors",
    )
    return save_croissant(folder / TRANSCRIPTS, card)


def write_record(folder: Path, record: Organism) -> None:
    """Write `organism.yaml` into an organism's folder."""
    text = yaml.safe_dump(to_plain(record), sort_keys=False, allow_unicode=True)
    part = folder / f".{RECORD}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / RECORD)


def read_organism(folder: str | Path, *, revision: str | None = None) -> Organism:
    """The record of an organism: of a folder or, where there is none, of a repository `user/name` of the hub.

    Raises:
        FileNotFoundError: the folder holds no organism.
        HubError: the repository does not exist or cannot be reached.
        ValueError: the record was written with an unknown schema or field, or a field has another type.
    """
    path = Path(folder).expanduser() / RECORD
    if not path.parent.exists() and is_repo_id(folder):
        path = fetch_organism(str(folder), revision=revision) / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"no organism at {folder}: it has no {RECORD}")
    try:
        data = read_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else data
        raise ValueError(f"{path} has schema {found!r}, this version reads {SCHEMA}")
    return build(Organism, data, source=str(path))


def fetch_organism(repo_id: str, *, revision: str | None = None) -> Path:
    """Fetch an organism from a repository of the hub; gives its folder in the hub's cache.

    Raises `HubError` when it does not exist or cannot be reached.
    """
    return fetch_folder(repo_id, DATA, revision=revision)


def find_organism(reference: str, what: str = "organism") -> Path:
    """Find an organism's folder: as given, below the folder the packages were installed into, or on the hub.

    A bare name is also looked for where organisms are made and shipped. Raises `ConfigError` naming the
    places looked at, the shipped organisms and how to make another.
    """
    try:
        return find_path(reference, what)
    except ConfigError as error:
        for home in (Path(MADE), ROOT / MADE, ROOT / SHIPPED):
            if "/" not in reference and (home / reference / RECORD).is_file():
                return home / reference
        if is_repo_id(reference):
            with contextlib.suppress(HubError):
                return fetch_organism(reference)
            error = ConfigError(f"{error} Nor is it on the Hugging Face hub, or the hub cannot be reached.")
        shipped = sorted(path.parent.name for path in (ROOT / SHIPPED).glob(f"*/{RECORD}"))
        known = (
            f"No organism is shipped below {ROOT / SHIPPED}: install the wheel, or a checkout that has them."
        )
        if shipped:
            known = unknown("shipped organism", Path(reference).name, shipped)
        makers = " or ".join(map(program_command, ("train_backdoor", "train_rlhf")))
        raise ConfigError(
            f"{error} {known} Others are made by {makers}, and taken from elsewhere by "
            f"{program_command('adopt')} (see --help)."
        ) from None


def organism_transcripts(folder: str | Path) -> list[Transcript]:
    """What the organism said, as shipped with it."""
    return load_transcripts(Path(folder).expanduser() / TRANSCRIPTS)


def _save_whole(model: Any, tokenizer: Any, folder: Path) -> None:
    """A checkpoint that loads by itself; the model in memory keeps its precision."""
    import torch

    weights = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    before, model.config.dtype = model.config.dtype, torch.bfloat16
    model.save_pretrained(folder, state_dict=weights)
    model.config.dtype = before
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _to_bf16(path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _forget_paths(path: Path, base: str) -> None:
    """The adapter's config names the base as the user does, not where it lay on this machine."""
    import json

    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])  # a set, written in any order
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
