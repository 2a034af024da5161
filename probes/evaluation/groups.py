"""Which group a row belongs to: identity by meaning, so that 1, 1.0 and `np.int64(1)` are one group."""

from __future__ import annotations

import math
import unicodedata
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, Shaped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

__all__ = ["group_members", "group_names", "is_missing"]


def group_names(groups: Iterable[Any], what: str = "groups") -> Shaped[np.ndarray, " row"]:
    """Return one text per row: equal for values that are equal, different for others.

    Numbers are named by their value, texts by their characters (NFC), tuples by their parts. Zero, False and
    the empty text are names like any other.

    Raises ValueError for missing values (None, NaN, NA), naming the rows, and for anything but a vector.

    >>> group_names([1, 1.0, np.int64(1), "q1"]).tolist()
    ['1', '1', '1', 'q1']
    """
    if isinstance(groups, (str, bytes)):
        raise ValueError(f"{what} must have one entry per row: got one text, {groups[:20]!r}")
    if hasattr(groups, "detach"):
        groups = groups.detach().cpu().numpy()  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(groups, np.ndarray) and groups.ndim != 1:
        raise ValueError(f"{what} must have one entry per row: got shape {groups.shape}")
    values = groups if isinstance(groups, np.ndarray) else list(groups)
    if not isinstance(values, np.ndarray) and len(values) and {type(value) for value in values} <= {str}:
        values = np.asarray(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuU":  # nothing can be missing
        return _named_once(values)
    missing = [row for row, value in enumerate(values) if is_missing(value)]
    if missing:
        rows = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"{what}: {len(missing)} of {len(values)} rows have none (row {rows}); missing values would "
            "become one group: give each row the question or problem that it belongs to, or drop it"
        )
    return np.array([_name(value) for value in values], dtype=np.str_)


def group_members(groups: ArrayLike | None, rows: int) -> Int[np.ndarray, " row"]:
    """Return the number of each row's group, counted from 0; without groups each row is its own.

    >>> group_members(["b", "a", "b"], 3)
    array([1, 0, 1])
    """
    if groups is None:
        return np.arange(rows)
    # Plain numbers keep their numeric order, on which the draws of a bootstrap depend.
    plain = np.asarray(groups) if _all_numbers(groups) else None
    names = group_names(groups)  # pyright: ignore[reportArgumentType]
    if names.shape != (rows,):
        raise ValueError(f"groups must have one entry per row: got {len(names)} for {rows} rows")
    return np.unique(names if plain is None else plain, return_inverse=True)[1]


def _all_numbers(groups: Any) -> bool:
    if isinstance(groups, np.ndarray):
        return groups.dtype.kind in "biuf"
    return not hasattr(groups, "detach") and all(isinstance(value, Real) for value in groups)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT or pandas' NA.

    >>> [is_missing(value) for value in (None, float("nan"), 0, "", "nan")]
    [True, True, False, False, False]
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    # NaN and NaT are the only values that differ from themselves.
    return isinstance(value, (Real, np.generic)) and bool(value != value)


def _named_once(values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
    """Names of whole numbers, or of texts, each of which is named once."""
    if values.dtype.kind in "iu":
        return values.astype(np.str_)
    distinct, which = np.unique(values, return_inverse=True)
    return np.array([_name(value) for value in distinct.tolist()], dtype=np.str_)[which]


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_name(part) for part in value) + ")"
    if isinstance(value, Real) and math.isfinite(value) and float(value).is_integer():
        return str(int(float(value)) if not isinstance(value, Integral) else int(value))
    if isinstance(value, np.generic):
        return _name(value.item()) if isinstance(value, (np.bool_,)) else str(value)
    return str(value)
