"""A domain: activations of one model on one set of rows, with labels and groups, checked once when made."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probes.evaluation.arrays import Groups, Labels
from probes.evaluation.groups import group_names
from probes.evaluation.metrics import check_labels
from probes.evaluation.results import Sample
from probes.evaluation.rows import DomainError, Rows, StorePart, Unlabelled, is_store
from sophistry.notebook import fact_table, layer_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Domain", "DomainError", "Unlabelled", "sample_of"]


@dataclass(frozen=True, eq=False, init=False)
class Domain(Rows):
    """Labelled rows of one model.

    Args:
        name: how results call it, for example the organism's name.
        X: an activation store, or an array `[layer, row, d]` or `[row, d]`.
        y: 0/1 per row, 1 = misleading (incorrect).
        groups: the question or problem of each row; splits and resampling never cut one. Equal values are one
            group, whatever their type (1, 1.0). None says that every row is a question of its own, which a
            result repeats as a warning: if rows share questions, intervals are then too short.
        texts: the response of each row, for the text-only controls.
        strata: name -> value per row (answer letter, length bin, truncated, evidence visible, ...).
        columns: name -> number per row that serves as a control score (log-probability, entropy, ...).
        concepts: name -> 0/1 per row for something that every model surely represents (answers A, asks who):
            the positive control of a transfer, see `shared_concepts.py`.
        pairs: activations of contrast pairs, `[layer, pair, 2, d]` with index 0 the bad answer, or a store
            or array `[layer, 2 * pair, d]` in the order of `contrast_rows`.
        layers: layer numbers when X is an array; 0, 1, ... by default.
        site: which site of a store to read.
        statements: all that the model read of each row, prompt and response; by it copies in other groups are
            found. `texts`, or the tokens that a store kept, serve where there are none.
        row_ids: ids that name the same (prompt, response) in every domain; used to pair rows for CKA.
        meta: anything to carry into the result: organism, tokens, fingerprint, label meaning, on_policy.
        positive: the value of y that counts as 1, for labels with names: `positive="false"`.

    Raises DomainError for missing classes, wrong lengths, non-finite or ragged activations, duplicate ids.

    >>> domain = Domain("toy", np.eye(4), [0, 1, 0, 1], ["a", "a", "b", "b"])
    >>> len(domain), domain.layer_names, domain.width
    (4, (0,), 4)
    """

    y: Any = None
    texts: Sequence[str] | None = None
    strata: Mapping[str, Any] | None = None
    columns: Mapping[str, Any] | None = None
    concepts: Mapping[str, Any] | None = None
    pairs: Any = None
    statements: Sequence[str] | None = None
    row_ids: Sequence[str] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    own_groups: bool = False  # no groups were given: every row was taken for a question of its own

    # The four that everyone gives come first and by position: Domain(name, X, y, groups, ...).
    def __init__(
        self,
        name: str,
        X: Any,
        y: Any,
        groups: Any = None,
        texts: Sequence[str] | None = None,
        strata: Mapping[str, Any] | None = None,
        *,
        columns: Mapping[str, Any] | None = None,
        concepts: Mapping[str, Any] | None = None,
        pairs: Any = None,
        layers: Sequence[int] | None = None,
        site: str = "resid_post",
        statements: Sequence[str] | None = None,
        row_ids: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        positive: Any = None,
    ):
        if not is_store(X) and not hasattr(X, "shape"):
            X = np.asarray(X)
        own_groups = groups is None
        if groups is None:  # no two rows share a question, nor do rows of two domains
            rows = len(X) if is_store(X) else X.shape[-2] if np.ndim(X) > 1 else 0
            groups = [f"{name}: row {row}" for row in range(rows)]
        try:
            names = group_names(groups)
            ids = None if row_ids is None else group_names(row_ids, "row_ids").tolist()
        except ValueError as error:
            raise DomainError(f"{name}: {error}") from error
        given = {
            "name": name,
            "X": X,
            "groups": names,
            "layers": layers,
            "site": site,
            "y": np.asarray(y) if positive is None else _named_labels(name, y, positive),
            "texts": texts,
            "strata": {key: np.asarray(value) for key, value in (strata or {}).items()},
            "columns": {key: np.asarray(value, dtype=np.float64) for key, value in (columns or {}).items()},
            "concepts": {key: _two_valued(name, key, value) for key, value in (concepts or {}).items()},
            "pairs": pairs,
            "statements": None if statements is None else list(statements),
            "row_ids": ids,
            "meta": dict(meta or {}),
            "own_groups": own_groups,
        }
        for key, value in given.items():
            object.__setattr__(self, key, value)
        self._check()

    @classmethod
    def from_store(
        cls,
        store: Any,
        labels: Mapping[str, Any] | Sequence[Any],
        *,
        name: str = "store",
        subset: Sequence[Any] | None = None,
        positive: Any = None,
        groups: Sequence[Any] | None = None,
        site: str = "resid_post",
        **more: Any,
    ) -> Domain:
        """Take a store, or part of it, with its own row ids, layers and groups.

        Args:
            store: an activation store with one vector per row.
            labels: row id -> label, or one label per row of the store.
            name: how results call it.
            subset: ids of the rows to take, in any order; None takes the rows that `labels` names, in the
                order of the store.
            positive: the label that counts as 1; None where labels are 0/1.
            groups: one group per row of the *store*; None takes those that it was extracted with.
            site: which site to read.
            more: further arguments of `Domain`, one entry per row that is taken.

        Raises DomainError for row ids that the store lacks, or rows without a label.
        """
        ids = [str(row) for row in store.row_ids]
        if not hasattr(labels, "items"):
            if len(labels) != len(ids):
                raise DomainError(f"{name}: the store has {len(ids)} rows but labels has {len(labels)}")
            labels = dict(zip(ids, labels, strict=True))  # pyright: ignore[reportArgumentType]
        known = {str(row): label for row, label in labels.items()}  # pyright: ignore[reportAttributeAccessIssue]
        taken = [row for row in ids if row in known] if subset is None else [str(row) for row in subset]
        if strange := [row for row in (*known, *taken) if row not in set(ids)]:
            raise DomainError(f"{name}: the store has no row {strange[0]!r} ({len(strange)} such ids)")
        if bare := [row for row in taken if row not in known]:
            raise DomainError(f"{name}: row {bare[0]!r} has no label ({len(bare)} such rows)")
        place = {row: i for i, row in enumerate(ids)}
        rows = [place[row] for row in taken]
        every = list(store.groups if groups is None else groups)
        if len(every) != len(ids):
            raise DomainError(f"{name}: the store has {len(ids)} rows but groups has {len(every)}")
        X = store if rows == list(range(len(ids))) else StorePart(store, rows)
        y = [known[row] for row in taken]
        chosen = [every[row] for row in rows]
        domain = cls(name, X, y, chosen, site=site, positive=positive, row_ids=taken, **more)
        # rows that came without a group have their own id as one: nobody said what belongs together
        object.__setattr__(domain, "own_groups", groups is None and [str(group) for group in every] == ids)
        return domain

    def _check(self) -> None:
        if not is_store(self.X) and np.ndim(self.X) not in (2, 3):
            raise DomainError(f"{self.name}: X must be [layer, row, d] or [row, d], got shape {self.X.shape}")
        if is_store(self.X) and getattr(self.X, "ragged", False):
            raise DomainError(
                f"{self.name}: the store keeps several tokens per row; extract with a pooling token "
                "selection such as response_mean, or use the token-level probes"
            )
        rows = len(self.X) if is_store(self.X) else self.X.shape[-2]
        try:
            object.__setattr__(self, "y", check_labels(self.y))
        except ValueError as error:
            raise DomainError(f"{self.name}: {error}") from error
        names = ("y", "groups", "texts", "statements", "row_ids")
        per_row = {name: getattr(self, name) for name in names}
        per_row |= {f"strata[{key!r}]": value for key, value in (self.strata or {}).items()}
        per_row |= {f"columns[{key!r}]": value for key, value in (self.columns or {}).items()}
        per_row |= {f"concepts[{key!r}]": value for key, value in (self.concepts or {}).items()}
        for what, values in per_row.items():
            if values is not None and len(values) != rows:
                raise DomainError(f"{self.name}: X has {rows} rows but {what} has {len(values)}")
        if self.layers is not None and not is_store(self.X):
            count = len(self.X) if np.ndim(self.X) == 3 else 1
            if len(self.layers) != count:
                raise DomainError(f"{self.name}: X has {count} layers but layers names {len(self.layers)}")
        if self.row_ids is not None and len(set(self.row_ids)) < rows:
            raise DomainError(f"{self.name}: row_ids holds duplicates; each row needs its own id")
        if not is_store(self.X) and not _all_finite(self.X):
            raise DomainError(
                f"{self.name}: X holds NaN or infinite activations; extract these rows again or drop them"
            )
        for key, values in (self.columns or {}).items():
            if not np.isfinite(values).all():
                raise DomainError(f"{self.name}: columns[{key!r}] holds NaN or infinite values")

    def _repr_html_(self) -> str:
        """What a notebook shows: how many rows of which class, and what there is to control with."""
        sample, pairs = self.sample, self.pairs is not None
        note = "No groups were given: every row counts as a question of its own." if self.own_groups else ""
        return fact_table(
            f"Domain {self.name}",
            {
                "rows": f"{sample.n_positive:,} wrong (y = 1), {sample.n_negative:,} right",
                "groups": f"{sample.n_groups:,}",
                "layers": layer_range(self.layer_names),
                "width": self.width,
                "site": self.site if is_store(self.X) else None,
                "organism": self.meta.get("organism"),
                "tokens": self.meta.get("tokens"),
                "texts": "for the text-only controls"
                if self.texts is not None
                else "none: no text-only controls",
                "strata": ", ".join(self.strata or ()),
                "columns": ", ".join(self.columns or ()),
                "shared concepts": ", ".join(self.concepts or ()),
                "contrast pairs": "yes" if pairs else None,
            },
            [note] if note else (),
        )

    @property
    def sample(self) -> Sample:
        """Rows per class and groups."""
        return sample_of(self.y, self.groups)

    def about(self, concept: str) -> Domain:
        """Return the same rows with one of their concepts as the label.

        >>> toy = Domain("toy", np.eye(2), [0, 1], ["a", "b"], concepts={"asks who": [1, 0]})
        >>> toy.about("asks who").y.tolist()
        [1, 0]
        """
        if concept not in (self.concepts or {}):
            known = ", ".join(self.concepts or {}) or "none"
            raise DomainError(f"{self.name} has no concept {concept!r}; it has {known}")
        other = copy.copy(self)
        other.__dict__.pop("data_hash", None)
        object.__setattr__(other, "y", (self.concepts or {})[concept])
        return other

    def unlabelled(self) -> Unlabelled:
        """Return the same rows without their labels, texts, strata and columns."""
        return Unlabelled(
            name=self.name,
            X=self.X,
            groups=self.groups,
            layers=self.layers,
            site=self.site,
            kept=self.kept,
        )

    def pair_layer(
        self, index: int
    ) -> tuple[Float[np.ndarray, "pair d"], Float[np.ndarray, "pair d"]] | None:
        """Return bad and good sides `[pair, d]` of the contrast pairs at a layer; None without pairs."""
        if self.pairs is None:
            return None
        if is_store(self.pairs):
            array = np.asarray(self.pairs.array(self.layer_names[index], site=self.site), dtype=np.float64)
        else:
            array = np.asarray(self.pairs[self._place(index)], dtype=np.float64)
        if array.ndim == 2:
            array = array.reshape(-1, 2, array.shape[-1])
        return array[:, 0], array[:, 1]

    @cached_property
    def data_hash(self) -> str:
        """Short sha256 of activations (by a store's key), labels and groups."""
        digest = hashlib.sha256()
        for part in (self.y.astype(np.int8), self.groups.astype("U")):
            digest.update(np.ascontiguousarray(part).tobytes())
        if is_store(self.X) and getattr(self.X, "key", None):
            digest.update(str(self.X.key).encode())
        else:
            for index in range(len(self.layer_names)):
                digest.update(self.layer(index).astype(np.float32).tobytes())
        return digest.hexdigest()[:16]


def sample_of(y: Labels, groups: Groups) -> Sample:
    """Return the class and group counts of some rows.

    >>> sample_of(np.array([0, 1, 1]), np.array(["a", "a", "b"]))
    Sample(n_positive=2, n_negative=1, n_groups=2)
    """
    positive = int(np.sum(y))
    return Sample(n_positive=positive, n_negative=len(y) - positive, n_groups=len(np.unique(groups)))


def _named_labels(name: str, y: Any, positive: Any) -> Labels:
    """Turn labels of two values into 0/1."""
    values = list(y)
    try:
        group_names(values, "labels")  # a missing label is not the other value
    except ValueError as error:
        raise DomainError(f"{name}: {error}") from error
    others = {str(value) for value in values if value != positive}
    if positive not in values or len(others) != 1:
        found = sorted({str(value) for value in values})
        raise DomainError(
            f"{name}: positive={positive!r} needs labels of two values, one of them this; found {found[:5]}"
        )
    return np.array([int(value == positive) for value in values])


def _two_valued(name: str, concept: str, values: Any) -> np.ndarray:
    """Turn a concept's values into integers; it may be all 0 or all 1 here."""
    found = np.asarray(values)
    if not np.isin(found, (0, 1)).all():
        raise DomainError(f"{name}: concepts[{concept!r}] must be 0 or 1 per row, or true or false")
    return found.astype(np.int64)


def _all_finite(X: Any) -> bool:
    if hasattr(X, "detach"):
        return bool(X.isfinite().all())
    return bool(np.isfinite(X).all())
