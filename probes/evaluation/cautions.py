"""What a reader should know about the data before believing any number made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.evaluation.copies import near_copies, row_hashes, statements_of
from probes.evaluation.nulls import exchangeable_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from probes.evaluation.domain import Domain
    from probes.evaluation.evaluate import Assessor
    from probes.evaluation.families import Family

__all__ = ["cautions"]

FEW_GROUPS = 30  # below, a cluster bootstrap's intervals are too short
MOST = 0.9


def cautions(
    domains: Sequence[Domain], assessors: Mapping[str, Assessor], families: Sequence[Family]
) -> tuple[str, ...]:
    """Return one sentence for each thing about these domains that weakens a number of the result."""
    found = []
    for domain in domains:
        groups = domain.sample.n_groups
        if domain.own_groups:
            found.append(
                f"{domain.name}: no groups were given, so every row was taken for a question of its own; if "
                "rows share questions, folds leak and intervals are too short"
            )
        if groups < FEW_GROUPS:
            found.append(
                f"{domain.name} has {groups} groups only; with fewer than {FEW_GROUPS} its intervals are too "
                "short and should be read as a lower bound of the uncertainty"
            )
        movable = exchangeable_share(domain.y, domain.groups)
        if movable < MOST:
            found.append(
                f"{domain.name}: the labels of {1 - movable:.0%} of the rows are in groups of one class, of "
                "a size that no other group has, and never move in the permutation null, whose p-values are "
                "conservative"
            )
        redrawn = assessors[domain.name].resample.redrawn
        if redrawn > 0:
            found.append(
                f"{domain.name}: {redrawn} bootstrap samples lacked a class and were drawn again; the rare "
                "class sits in few groups"
            )
        if copies := _rows_in_several_groups(domain):
            found.append(
                f"{domain.name}: {copies} rows have exactly the activations of a row of another group, so "
                "held-out rows are not new to the probe; put copies into one group"
            )
        if nearly := _alike(domain, domain):
            found.append(
                f"{nearly} of another group, so held-out rows are not new to the probe; put near copies into "
                "one group"
            )
    found += [
        f"{nearly}, on which the probe was fitted; remove them, or give near copies one group"
        for other in domains[1:]
        if (nearly := _alike(domains[0], other))
    ]
    count = len(domains[0].layer_names)
    found += [
        f"{family.name} was fitted on {family.max_layers} of {count} layers, spread evenly over the depth"
        for family in families
        if family.max_layers is not None and family.max_layers < count
    ]
    return tuple(found)


def _alike(first: Domain, second: Domain) -> str:
    """Say how many rows of the second read nearly like rows of the first, with an example; else nothing."""
    count, pair = near_copies(first, second)
    if pair is None:
        return ""
    examples = []
    for domain, row in zip((second, first), reversed(pair), strict=True):
        text = (statements_of(domain) or [])[row]
        name = domain.row_ids[row] if domain.row_ids is not None else row
        examples.append(f"row {name} ({text[:60]!r}{'...' if len(text) > 60 else ''})")
    where = "a row" if first is second else f"rows of {first.name}"
    return f"{second.name}: {count} rows read nearly like {where}, for example {' and '.join(examples)}"


def _rows_in_several_groups(domain: Domain) -> int:
    seen: dict[bytes, set[str]] = {}
    hashes = row_hashes(domain, len(domain.layer_names) // 2)
    for key, group in zip(hashes, domain.groups, strict=True):
        seen.setdefault(key, set()).add(str(group))
    return sum(len(seen[key]) > 1 for key in hashes)
