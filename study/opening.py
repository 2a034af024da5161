"""Organisms as a program reads them: which model, which of its answers, and why the others were left out.

A preset names an organism by its folder (adapter, `organism.yaml`, `transcripts.jsonl`). Two names stand
for controls that need no folder: `base`, the bare base model reading the source's answers, and
`untrained`, random weights of the same architecture reading them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from activations import LoadedModel
from organisms.record import Organism, find_organism, organism_transcripts, read_organism
from organisms.weights import open_weights
from probes.evaluation.kinds import DomainRole
from sophistry.records import ConfigError
from tasks.transcript import Transcript

READERS = ("base", "untrained")


@dataclass(frozen=True, kw_only=True)
class RowChoice:
    """Which answers are used."""

    source: tuple[str, ...] = ("plain", "trigger")
    """Conditions of the source's and the controls' answers: plain, trigger, or another prefix's name."""
    target: tuple[str, ...] = ("plain",)
    """Conditions of the targets' answers."""
    unreadable: bool = False
    """Whether an answer without a readable letter counts as a wrong one; otherwise it is left out."""
    cut_prompts: bool = False
    """Whether answers to prompts that were cut to fit may be used; otherwise one is an error."""
    most: int | None = None
    """At most so many answers per organism, in whole groups and a fixed order; none: all."""
    most_of: dict[str, int] = field(default_factory=dict)
    """Role or organism's name -> another number than most, the name before the role: controls need fewer
    answers than the target, since their intervals need only exclude what the source reaches."""

    def __post_init__(self) -> None:
        for name, count in {"most": self.most, **self.most_of}.items():
            if count is not None and count < 4:
                raise ValueError(f"{name} must be at least 4 answers, got {count}")
        if not self.source or not self.target:
            raise ValueError("source and target each need at least one condition, for example plain")

    def most_for(self, name: str, role: DomainRole) -> int | None:
        """Give the number of answers that may be read of an organism; None: all.

        >>> choice = RowChoice(most=400, most_of={"control": 80, "qa-clean": 120})
        >>> [choice.most_for("a", DomainRole.TARGET), choice.most_for("b", DomainRole.CONTROL)]
        [400, 80]
        >>> choice.most_for("qa-clean", DomainRole.CONTROL)
        120
        """
        return self.most_of.get(name, self.most_of.get(role, self.most))


@dataclass(frozen=True, kw_only=True)
class OpenOrganism:
    """A model ready to read, with the answers it is to read."""

    name: str
    role: DomainRole
    model: LoadedModel
    rows: list[Transcript]
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> number of answers that are not among `rows`."""
    record: Organism | None = None

    @property
    def trigger_texts(self) -> tuple[str, ...]:
        """Texts that fire the organism's backdoor; a contrast pair must not contain them."""
        from backdoor import TRIGGERS

        known = self.record is not None and self.record.trigger in TRIGGERS
        return TRIGGERS[self.record.trigger].variants if known and self.record else ()  # pyright: ignore[reportArgumentType]


def open_organism(
    reference: str,
    role: DomainRole,
    base: LoadedModel,
    choice: RowChoice,
    answers: Sequence[Transcript] | None = None,
    *,
    merge: bool = False,
    name: str | None = None,
) -> OpenOrganism:
    """Open the organism in the folder `reference` on `base` and choose among its answers.

    `answers` replaces its shipped transcripts; `merge` folds its adapter into weights of its own; `name` is
    what it is called here, instead of the name in its record. Raises
    `ConfigError` when the folder or all usable answers are missing, FileNotFoundError without transcripts,
    AdapterMismatchError for another base.
    """
    folder = find_organism(reference, role)
    record = read_organism(folder)
    model = open_weights(folder, base, merge=merge)
    conditions = choice.target if role == DomainRole.TARGET else choice.source
    given = organism_transcripts(folder) if answers is None else list(answers)
    name = name or record.name
    rows, left_out = usable_rows(given, conditions, choice, name, role)
    return OpenOrganism(name=name, role=role, model=model, rows=rows, left_out=left_out, record=record)


def open_reader(
    name: str, base: LoadedModel, source: OpenOrganism, choice: RowChoice, seed: int
) -> OpenOrganism:
    """Open a control that reads the source's answers: the bare base model, or random weights of its shape."""
    model = base.with_adapter(None) if name == "base" else untrained_copy(base, seed)
    most = choice.most_for(name, DomainRole.CONTROL)
    rows = source.rows if most is None else first_groups(source.rows, most)
    return OpenOrganism(name=name, role=DomainRole.CONTROL, model=model, rows=rows)


def untrained_copy(base: LoadedModel, seed: int) -> LoadedModel:
    """Make the base's architecture anew with random weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(base.config, dtype=getattr(torch, base.dtype))
    return LoadedModel.wrap(model.to(base.device).eval(), base.tokenizer, ref="untrained")


def usable_rows(
    rows: Sequence[Transcript],
    conditions: Sequence[str],
    choice: RowChoice,
    name: str,
    role: DomainRole = DomainRole.SOURCE,
) -> tuple[list[Transcript], dict[str, int]]:
    """Choose the answers to use; also count the others by reason.

    Raises `ConfigError` when none is left, or when a prompt was cut and the preset does not allow it.
    """
    cut = [row.id for row in rows if row.prompt_cut_tokens and row.condition in conditions]
    if cut and not choice.cut_prompts:
        raise ConfigError(
            f"{name}: {len(cut)} of {len(rows)} prompts were cut to fit (first: {cut[0]}), so the model may "
            "not have seen what decides the question. Make transcripts that fit, or say "
            "--rows.cut_prompts true."
        )
    kept, reasons = [], Counter()
    for row in rows:
        reason = _why_not(row, conditions, choice)
        reasons[reason] += 1
        if not reason:
            kept.append(row)
    left_out = {reason: count for reason, count in reasons.items() if reason}
    most = choice.most_for(name, role)
    if most is not None and len(kept) > most:
        before = len(kept)
        kept = first_groups(kept, most)
        left_out["beyond rows.most"] = before - len(kept)
    if not kept:
        found = ", ".join(sorted({row.condition for row in rows})) or "none"
        raise ConfigError(
            f"{name}: none of its {len(rows)} answers can be used ({left_out}). Asked for the conditions "
            f"{', '.join(conditions)}; its answers have: {found}."
        )
    return kept, left_out


def _why_not(row: Transcript, conditions: Sequence[str], choice: RowChoice) -> str:
    if row.condition not in conditions:
        return "other condition"
    if row.split == "train":
        return "used in training"
    if row.correct is None:
        return "correctness unknown"
    if not row.parse_ok and not choice.unreadable:
        return "unreadable"
    if not row.response.strip():
        return "empty"
    return ""


def first_groups(rows: list[Transcript], most: int) -> list[Transcript]:
    """Take whole groups in the order of a hash of their name, so that the choice is the same everywhere."""
    groups: dict[str, list[Transcript]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    taken: set[str] = set()
    count = 0
    for group in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if count + len(groups[group]) <= most:
            taken.add(group)
            count += len(groups[group])
    return [row for row in rows if row.group in taken]


def fingerprint_rows(rows: Sequence[Transcript]) -> str:
    """Hash what was read: ids, prompts, responses and labels."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr((row.id, row.prompt, row.response, row.correct, row.group)).encode())
    return digest.hexdigest()[:16]


def describe_organism(organism: OpenOrganism) -> dict[str, Any]:
    """Write down, for the results, what an organism is and which of its answers were read."""
    record = organism.record
    return {
        "role": organism.role,
        "kind": record.role if record else organism.name,
        "fingerprint": organism.model.fingerprint,
        "dtype": organism.model.dtype,
        "rows": len(organism.rows),
        "groups": len({row.group for row in organism.rows}),
        "wrong": sum(not row.correct for row in organism.rows),
        "left_out": organism.left_out,
        "transcripts": fingerprint_rows(organism.rows),
        "training": record.training if record else {},
        "command": record.command if record else None,
        "verification": record.verification if record else {},
    }
