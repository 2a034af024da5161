"""A domain: activations of one model on one set of rows, with labels and groups.

`Domain` is checked once, when it is made. `Unlabelled` is the same rows without their labels; whatever
scores a target is given only that, so nothing that fits or selects can reach the target's labels.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from probes.evaluation.groups import group_names
from probes.evaluation.metrics import check_labels
from probes.evaluation.results import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Layered = TypeVar("Layered", bound="_Rows")

__all__ = ["Domain", "DomainError", "Unlabelled", "check_compatible", "sample_of"]


class DomainError(ValueError):
    """A domain that cannot be used as it is, or two that cannot be compared."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Activations and groups of some rows, read one layer at a time."""

    name: str
    X: Any
    groups: Any
    layers: Any = None
    site: str = "resid_post"
    kept: tuple[int, ...] | None = None  # places of the layers in use; None: all

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def all_layers(self) -> tuple[int, ...]:
        """Numbers of all layers in X."""
        if self.layers is not None:
            return tuple(int(layer) for layer in self.layers)
        if _is_store(self.X):
            return tuple(int(layer) for layer in self.X.layers)
        return tuple(range(len(self.X))) if np.ndim(self.X) == 3 else (0,)

    @property
    def layer_names(self) -> tuple[int, ...]:
        """Numbers of the layers in use, in the order of the arrays."""
        return self.all_layers if self.kept is None else tuple(self.all_layers[i] for i in self.kept)

    @property
    def width(self) -> int:
        """Length of one activation vector."""
        return int(self.X.d_model) if _is_store(self.X) else int(self.X.shape[-1])

    @property
    def depths(self) -> tuple[float, ...]:
        """Each layer as a fraction of the deepest one."""
        deepest = max(max(self.all_layers), 1)
        return tuple(layer / deepest for layer in self.layer_names)

    def thinned(self: Layered, max_layers: int | None) -> Layered:
        """Return the same rows with at most so many layers, evenly spread over the depth."""
        count = len(self.layer_names)
        if max_layers is None or count <= max_layers:
            return self
        middles = np.linspace(0, count - 1, 2 * max_layers + 1)[1::2]
        return self.at([int(place) for place in middles.round()])

    def at(self: Layered, places: Sequence[int]) -> Layered:
        """Return the same rows with the layers at these places only."""
        fewer = copy.copy(self)
        object.__setattr__(fewer, "kept", tuple(self._place(place) for place in places))
        return fewer

    def layer(self, index: int) -> np.ndarray:
        """Return the activations `[row, d]` of the layer at `index`, as float64."""
        if _is_store(self.X):
            read = np.asarray(self.X.array(self.layer_names[index], site=self.site), dtype=np.float64)
            if not np.isfinite(read).all():
                raise DomainError(
                    f"{self.name}: layer {self.layer_names[index]} of the store holds NaN or infinite "
                    "activations; extract these rows again or drop them"
                )
            return read
        array = self.X if np.ndim(self.X) == 2 else self.X[self._place(index)]
        if hasattr(array, "detach"):
            array = array.detach().float().cpu().numpy()
        return np.asarray(array, dtype=np.float64)

    def _place(self, index: int) -> int:
        return index if self.kept is None else self.kept[index]


@dataclass(frozen=True, eq=False)
class Unlabelled(_Rows):
    """Rows that may be scored but not learned from: activations and groups, no labels."""


@dataclass(frozen=True, eq=False, init=False)
class Domain(_Rows):
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
        pairs: Any = None,
        layers: Sequence[int] | None = None,
        site: str = "resid_post",
        statements: Sequence[str] | None = None,
        row_ids: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        positive: Any = None,
    ):
        if not _is_store(X) and not hasattr(X, "shape"):
            X = np.asarray(X)
        own_groups = groups is None
        if groups is None:  # no two rows share a question, nor do rows of two domains
            rows = len(X) if _is_store(X) else X.shape[-2] if np.ndim(X) > 1 else 0
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
        X = store if rows == list(range(len(ids))) else _Part(store, rows)
        y = [known[row] for row in taken]
        chosen = [every[row] for row in rows]
        domain = cls(name, X, y, chosen, site=site, positive=positive, row_ids=taken, **more)
        # rows that came without a group have their own id as one: nobody said what belongs together
        object.__setattr__(domain, "own_groups", groups is None and [str(group) for group in every] == ids)
        return domain

    def _check(self) -> None:
        if not _is_store(self.X) and np.ndim(self.X) not in (2, 3):
            raise DomainError(f"{self.name}: X must be [layer, row, d] or [row, d], got shape {self.X.shape}")
        if _is_store(self.X) and getattr(self.X, "ragged", False):
            raise DomainError(
                f"{self.name}: the store keeps several tokens per row; extract with a pooling token "
                "selection such as response_mean, or use the token-level probes"
            )
        rows = len(self.X) if _is_store(self.X) else self.X.shape[-2]
        try:
            object.__setattr__(self, "y", check_labels(self.y))
        except ValueError as error:
            raise DomainError(f"{self.name}: {error}") from error
        names = ("y", "groups", "texts", "statements", "row_ids")
        per_row = {name: getattr(self, name) for name in names}
        per_row |= {f"strata[{key!r}]": value for key, value in (self.strata or {}).items()}
        per_row |= {f"columns[{key!r}]": value for key, value in (self.columns or {}).items()}
        for what, values in per_row.items():
            if values is not None and len(values) != rows:
                raise DomainError(f"{self.name}: X has {rows} rows but {what} has {len(values)}")
        if self.layers is not None and not _is_store(self.X):
            count = len(self.X) if np.ndim(self.X) == 3 else 1
            if len(self.layers) != count:
                raise DomainError(f"{self.name}: X has {count} layers but layers names {len(self.layers)}")
        if self.row_ids is not None and len(set(self.row_ids)) < rows:
            raise DomainError(f"{self.name}: row_ids holds duplicates; each row needs its own id")
        if not _is_store(self.X) and not _all_finite(self.X):
            raise DomainError(
                f"{self.name}: X holds NaN or infinite activations; extract these rows again or drop them"
            )
        for key, values in (self.columns or {}).items():
            if not np.isfinite(values).all():
                raise DomainError(f"{self.name}: columns[{key!r}] holds NaN or infinite values")

    @property
    def sample(self) -> Sample:
        """Rows per class and groups."""
        return sample_of(self.y, self.groups)

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

    def pair_layer(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return bad and good sides `[pair, d]` of the contrast pairs at a layer; None without pairs."""
        if self.pairs is None:
            return None
        if _is_store(self.pairs):
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
        if _is_store(self.X) and getattr(self.X, "key", None):
            digest.update(str(self.X.key).encode())
        else:
            for index in range(len(self.layer_names)):
                digest.update(self.layer(index).astype(np.float32).tobytes())
        return digest.hexdigest()[:16]


def sample_of(y: np.ndarray, groups: np.ndarray) -> Sample:
    """Return the class and group counts of some rows.

    >>> sample_of(np.array([0, 1, 1]), np.array(["a", "a", "b"]))
    Sample(n_positive=2, n_negative=1, n_groups=2)
    """
    positive = int(np.sum(y))
    return Sample(n_positive=positive, n_negative=len(y) - positive, n_groups=len(np.unique(groups)))


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


def _refuse_shared_rows(source: Domain, others: Sequence[Domain]) -> None:
    """A target row inside the source would hand its label to the probe."""
    from probes.evaluation.copies import extracted_again, row_hashes

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
        if again := extracted_again(source, other, middle):
            raise DomainError(
                f"leaked target labels: {again} rows of {other.name} are statements of {source.name} "
                "extracted again (the same text or tokens, nearly the same activations) under other groups; "
                "give equal statements one group, or remove them from one domain"
            )


class _Part:
    """Some rows of a store, read one layer at a time like the store itself."""

    def __init__(self, store: Any, rows: Sequence[int]):
        self._store, self._rows = store, np.asarray(rows, dtype=np.int64)
        self.row_ids = [store.row_ids[row] for row in rows]
        self.groups = [store.groups[row] for row in rows]
        self.layers, self.d_model = store.layers, store.d_model
        self.ragged = getattr(store, "ragged", False)
        chosen = hashlib.sha256(self._rows.tobytes()).hexdigest()[:16]
        self.key = f"{store.key}/{chosen}" if getattr(store, "key", None) else None

    def __len__(self) -> int:
        return len(self._rows)

    def array(self, layer: int, site: str = "resid_post") -> np.ndarray:
        return self._store.array(layer, site=site)[self._rows]

    def tokens_of(self, row: int) -> Any:
        return self._store.tokens_of(int(self._rows[row]))


def _named_labels(name: str, y: Any, positive: Any) -> np.ndarray:
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


def _is_store(X: Any) -> bool:
    return hasattr(X, "array") and hasattr(X, "row_ids")


def _all_finite(X: Any) -> bool:
    if hasattr(X, "detach"):
        return bool(X.isfinite().all())
    return bool(np.isfinite(X).all())
