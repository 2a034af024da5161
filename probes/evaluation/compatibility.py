"""Whether a probe of one domain may be applied to others: same width and layers, no row in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.evaluation.copies import extracted_again, row_hashes
from probes.evaluation.domain import Domain, DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_compatible"]

_NEXT = {
    "base_fingerprint": ". If both were trained from one base, all weights of them, say so: "
    "--reading.one_base false (study.domains.Reading(one_base=False))"
}


def check_compatible(source: Domain, others: Sequence[Domain], *, crossed: bool = False) -> None:
    """Raise DomainError unless a probe of `source` can be applied to each of `others`.

    Needs the same width, layers and, where both are recorded in `meta`, the same `tokenizer` and `site`;
    distinct names; no row of one domain inside another. With `crossed`, groups that both share are scored by
    fits that never saw them, so a row may be in both under one group: one model at two models' equal answers.

    >>> import numpy as np
    >>> a = Domain("a", np.eye(4), [0, 1, 0, 1], list("abcd"))
    >>> b = Domain("b", np.eye(4)[:, :3], [0, 1, 0, 1], list("efgh"))
    >>> try:
    ...     check_compatible(a, [b])
    ... except DomainError as error:
    ...     print(str(error)[:56])
    a has activations of width 4 but b of width 3; a probe c
    """
    names = [source.name, *(other.name for other in others)]
    if len(set(names)) < len(names):
        raise DomainError(f"domains must have different names, got {names}")
    for other in others:
        if other.width != source.width:
            raise DomainError(
                f"{source.name} has activations of width {source.width} but {other.name} of width "
                f"{other.width}; a probe cannot cross models of different hidden size: use models of one base"
            )
        if other.layer_names != source.layer_names:
            raise DomainError(
                f"{source.name} has layers {source.layer_names} but {other.name} {other.layer_names}; "
                "extract the same layers from both"
            )
        for key in ("tokenizer", "site", "tokens", "base_fingerprint"):
            ours, theirs = source.meta.get(key), other.meta.get(key)
            if ours is not None and theirs is not None and ours != theirs:
                raise DomainError(
                    f"{key} differs: {source.name} has {ours!r}, {other.name} has {theirs!r}; "
                    f"scores would not mean the same thing{_NEXT.get(key, '')}"
                )
    _refuse_shared_rows(source, others, crossed)


def _refuse_shared_rows(source: Domain, others: Sequence[Domain], crossed: bool) -> None:
    """A target row inside the source would hand its label to the probe."""
    middle = len(source.layer_names) // 2
    groups_of: dict[bytes, set[str]] = {}
    for row, group in zip(row_hashes(source, middle), source.groups, strict=True):
        groups_of.setdefault(row, set()).add(str(group))
    for other in others:
        rows = zip(row_hashes(other, middle), other.groups, strict=True)
        shared = {
            row for row, group in rows if groups_of.get(row, set()) - ({str(group)} if crossed else set())
        }
        if shared:
            raise DomainError(
                f"leaked target labels: {len(shared)} rows of {other.name} have exactly the activations of "
                f"rows of {source.name}, so the probe would have seen their labels; remove them "
                "from one domain"
            )
        if again := extracted_again(source, other, middle):
            raise DomainError(
                f"leaked target labels: {again} rows of {other.name} are statements of {source.name} "
                "extracted again (the same text or tokens, nearly the same activations) under other groups; "
                "give equal statements one group, or remove them from one domain"
            )
