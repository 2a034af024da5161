"""Whether a probe of one domain may be applied to others: same width and layers, no row in common."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.evaluation.domain import Domain, DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_compatible", "row_hashes"]

NEAR = 0.05  # of a row's distance from the mean; number types and batches move activations by less


def check_compatible(source: Domain, others: Sequence[Domain]) -> None:
    """Raise DomainError unless a probe of `source` can be applied to each of `others`.

    Needs the same width, layers and, where both are recorded in `meta`, the same `tokenizer` and `site`;
    distinct names; no row of one domain inside another.

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
                    "scores would not mean the same thing"
                )
    _refuse_shared_rows(source, others)


def row_hashes(domain: Domain, index: int) -> list[bytes]:
    """Return a hash of each row's activations at the layer at `index`: equal only for equal activations.

    >>> hashes = row_hashes(Domain("a", [[1.0], [2.0], [1.0]], [0, 1, 0], list("abc")), 0)
    >>> hashes[0] == hashes[2], hashes[0] == hashes[1]
    (True, False)
    """
    rows = np.ascontiguousarray(domain.layer(index).astype(np.float32))
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _refuse_shared_rows(source: Domain, others: Sequence[Domain]) -> None:
    """A target row inside the source would hand its label to the probe."""
    middle = len(source.layer_names) // 2
    ours = set(row_hashes(source, middle))
    for other in others:
        shared = ours & set(row_hashes(other, middle))
        if shared:
            raise DomainError(
                f"leaked target labels: {len(shared)} rows of {other.name} have exactly the activations of "
                f"rows of {source.name}, so the probe would have seen their labels; remove them "
                "from one domain"
            )
        if again := _extracted_again(source, other, middle):
            raise DomainError(
                f"leaked target labels: {again} rows of {other.name} are statements of {source.name} "
                "extracted again (the same text or tokens, nearly the same activations) under other groups; "
                "give equal statements one group, or remove them from one domain"
            )


def _extracted_again(source: Domain, other: Domain, middle: int) -> int:
    """Count rows of `other` with the text or tokens of a source row of another group, and near it.

    Text alone is no proof: many questions are answered `B`. Of one statement read twice by one model the
    activations are equal up to number type and batch.
    """
    both_have_texts = source.texts is not None and other.texts is not None
    read = _texts if both_have_texts else _kept_tokens
    ours, theirs = read(source), read(other)
    if ours is None or theirs is None:
        return 0
    rows_of: dict[Any, list[int]] = {}
    for row, statement in enumerate(ours):
        rows_of.setdefault(statement, []).append(row)
    if not rows_of.keys() & set(theirs):
        return 0
    X, Z = source.layer(middle), other.layer(middle)
    size = np.linalg.norm(X - X.mean(0), axis=1)
    return sum(
        any(
            source.groups[i] != other.groups[row] and np.linalg.norm(X[i] - Z[row]) <= NEAR * size[i]
            for i in rows_of.get(statement, ())
        )
        for row, statement in enumerate(theirs)
    )


def _texts(domain: Domain) -> list[Any] | None:
    return None if domain.texts is None else list(domain.texts)


def _kept_tokens(domain: Domain) -> list[Any] | None:
    """Return the token ids that a store kept of each row; None for arrays."""
    if not hasattr(domain.X, "tokens_of"):
        return None
    return [tuple(map(int, domain.X.tokens_of(row)[0])) for row in range(len(domain))]
