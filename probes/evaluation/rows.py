"""Activations of some rows, read one layer at a time from an array, a store, or part of a store.

`Unlabelled` is what may be scored but not learned from: whatever scores a target is given only that, so
nothing that fits or selects can reach the target's labels.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from collections.abc import Sequence

Layered = TypeVar("Layered", bound="Rows")

__all__ = ["DomainError", "Rows", "StorePart", "Unlabelled", "is_store"]


class DomainError(ValueError):
    """A domain that cannot be used as it is, or two that cannot be compared."""


@dataclass(frozen=True, eq=False)
class Rows:
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
        if is_store(self.X):
            return tuple(int(layer) for layer in self.X.layers)
        return tuple(range(len(self.X))) if np.ndim(self.X) == 3 else (0,)

    @property
    def layer_names(self) -> tuple[int, ...]:
        """Numbers of the layers in use, in the order of the arrays."""
        return self.all_layers if self.kept is None else tuple(self.all_layers[i] for i in self.kept)

    @property
    def width(self) -> int:
        """Length of one activation vector."""
        return int(self.X.d_model) if is_store(self.X) else int(self.X.shape[-1])

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

    def layer(self, index: int) -> Float[np.ndarray, "row d"]:
        """Return the activations of the layer at `index`, as float64."""
        if is_store(self.X):
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
class Unlabelled(Rows):
    """Rows that may be scored but not learned from: activations and groups, no labels."""


class StorePart:
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

    def array(self, layer: int, site: str = "resid_post") -> Float[np.ndarray, "row d"]:
        """Return these rows of the store's activations."""
        return self._store.array(layer, site=site)[self._rows]

    def tokens_of(self, row: int) -> Any:
        """Return what the store kept of a row's tokens."""
        return self._store.tokens_of(int(self._rows[row]))


def is_store(X: Any) -> bool:
    """Say whether X has the interface of an activation store."""
    return hasattr(X, "array") and hasattr(X, "row_ids")
