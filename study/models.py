"""The models of a study by the names its preset gives them, and readers: one model at another's answers.

`U-stories reads I-stories` is the model U-stories at the prompts and answers of I-stories. Scoring a probe of
I-stories there changes the weights and keeps the text; `I-stories reads U-stories` changes the text and
keeps the weights; U-stories itself changes both. `base` and `untrained` may read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from activations import LoadedModel
from probes.evaluation.kinds import DomainRole
from sophistry.records import ConfigError, unknown
from study.opening import (
    READERS,
    OpenOrganism,
    RowChoice,
    first_groups,
    open_organism,
    untrained_copy,
)
from tasks.transcript import Transcript

__all__ = ["READS", "Roles", "open_models", "split_reader"]

READS = " reads "


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which models of a study are fitted on, scored, and expected to fail."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    controls: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every model once: sources, then targets, then controls.

        >>> Roles(sources=("a",), targets=("b", "a"), controls=("c",)).names
        ('a', 'b', 'c')
        """
        return tuple(dict.fromkeys((*self.sources, *self.targets, *self.controls)))

    def of(self, name: str) -> DomainRole:
        """The role that a model has before any other: source, target, control."""
        if name in self.sources:
            return DomainRole.SOURCE
        return DomainRole.TARGET if name in self.targets else DomainRole.CONTROL

    def check(self, models: Mapping[str, str]) -> None:
        """Raise `ConfigError` for an empty study, a name that is no model, or one in two places."""
        if not self.sources:
            raise ConfigError("sources is empty: name at least one model to fit probes on")
        if len(self.names) < 2:
            raise ConfigError("targets and controls are empty: name at least one model to score")
        for place in ("sources", "targets", "controls"):
            names = getattr(self, place)
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ConfigError(f"{place}: {', '.join(twice)} is named twice")
        both = sorted(set(self.targets) & set(self.controls))
        if both:
            raise ConfigError(f"{', '.join(both)} is named as target and as control: choose one")
        for name in self.names:
            reader, answers = split_reader(name)
            known = [*models, *READERS] if reader != name else list(models)
            for part in {reader, answers}:
                if part not in (known if part == reader else models):
                    raise ConfigError(unknown("model", part, models))
        for name in models:
            if READS in name or name in READERS:
                raise ConfigError(
                    f"models: {name!r} cannot be a name; '{READS.strip()}' and {READERS} are taken"
                )


def split_reader(name: str) -> tuple[str, str]:
    """Give the model that reads and the model whose answers are read.

    >>> split_reader("base reads I-stories"), split_reader("clean")
    (('base', 'I-stories'), ('clean', 'clean'))
    """
    reader, reads, answers = name.partition(READS)
    return (reader, answers) if reads else (name, name)


def open_models(
    models: Mapping[str, str],
    roles: Roles,
    base: LoadedModel,
    choice: RowChoice,
    *,
    merge: bool = False,
    seed: int = 0,
) -> list[OpenOrganism]:
    """Open every model that has a role, on one base, with the answers it is to read.

    Every model answers under the conditions of `choice.source`: those that were never asked behind a trigger
    have plain answers only. Raises as `open_organism` does.
    """
    opened: dict[str, OpenOrganism] = {}

    def answering(name: str, role: DomainRole) -> OpenOrganism:
        if name not in opened:
            plain = replace(choice, target=choice.source)
            opened[name] = open_organism(models[name], role, base, plain, merge=merge, name=name)
        return opened[name]

    found = []
    for name in roles.names:
        reader, answers = split_reader(name)
        if reader == answers:
            found.append(answering(name, roles.of(name)))
            continue
        read = answering(answers, roles.of(answers) if answers in roles.names else roles.of(name))
        if reader in READERS:
            model = base.with_adapter(None) if reader == "base" else untrained_copy(base, seed)
        else:
            model = answering(reader, roles.of(reader) if reader in roles.names else roles.of(name)).model
        found.append(_reader(name, roles.of(name), model, read.rows, choice))
    return found


def _reader(
    name: str, role: DomainRole, model: LoadedModel, rows: Sequence[Transcript], choice: RowChoice
) -> OpenOrganism:
    """At most as many answers as the name or the role may have, but only where that is said for it."""
    most = choice.most_of.get(name, choice.most_of.get(role))
    kept = list(rows) if most is None else first_groups(list(rows), most)
    return OpenOrganism(name=name, role=role, model=model, rows=kept)
