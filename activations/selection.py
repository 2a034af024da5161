"""Which positions of a row are kept, and whether they are pooled into one vector."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from activations.tokens import EncodedRow, RowError

Pool = Literal["none", "mean", "max"]


@dataclass(frozen=True, kw_only=True)
class TokenSelection:
    """Which positions of a row are kept, and whether they are pooled into one vector.

    `positions` takes an `EncodedRow` and returns token positions (integers, a slice, or a boolean mask as
    long as the row). `pool` is `"mean"`, `"max"` or `"none"`; with `"none"` every kept token is stored.

    >>> second = TokenSelection(name="second", positions=lambda row: [1], pool="none", one=True)
    >>> row = EncodedRow(id="a", group="a", ids=np.arange(4), prompt_len=3, response="x", offsets=None)
    >>> second.select([row])[0].tolist()
    [1]
    """

    name: str
    positions: Callable[[EncodedRow], Any]
    pool: Pool = "mean"
    one: bool = False
    """True when every row keeps exactly one token, so rows form a matrix although nothing is pooled."""
    needs_response: bool = False
    """True when a row without a response (a bare statement) makes no sense here."""

    @property
    def ragged(self) -> bool:
        """Whether rows keep several tokens each, stored one after the other with offsets."""
        return self.pool == "none" and not self.one

    def select(self, rows: Sequence[EncodedRow]) -> list[Int[np.ndarray, "_"]]:
        """The kept positions of every row, checked to lie inside it."""
        selected = [_as_positions(self.positions(row), row, self.name) for row in rows]
        if not self.ragged:
            empty = [row.id for row, kept in zip(rows, selected, strict=True) if not len(kept)]
            if empty:
                raise RowError(
                    f"tokens={self.name!r} keeps no token of {len(empty)} rows (an empty response?), first "
                    f"{empty[0]!r}. Drop these rows or select other tokens, for example 'last'."
                )
        if self.one and any(len(kept) != 1 for kept in selected):
            raise RowError(f"tokens={self.name!r} must keep exactly one token of every row.")
        return selected

    @classmethod
    def spans(
        cls,
        spans: Mapping[str, tuple[int, int]],
        *,
        unit: Literal["token", "character"] = "token",
        pool: Pool = "mean",
    ) -> "TokenSelection":
        """One half-open span of the response per row id, counted in its tokens or its characters."""

        def positions(row: EncodedRow) -> Any:
            start, stop = _of_row(spans, row)
            size = len(row) - row.prompt_len if unit == "token" else len(row.response)
            if not 0 <= start < stop <= size:
                raise RowError(
                    f"Row {row.id!r}: span ({start}, {stop}) must lie inside its response of {size} {unit}s."
                )
            if unit == "token":
                return np.arange(row.prompt_len + start, row.prompt_len + stop)
            if row.offsets is None:
                raise RowError("Character spans need a fast tokenizer; count in tokens instead.")
            inside = (row.offsets[:, 0] < stop) & (row.offsets[:, 1] > start)
            return row.prompt_len + np.flatnonzero(inside)

        return cls(name=f"{unit}_spans", positions=positions, pool=pool, needs_response=True)

    @classmethod
    def masks(cls, masks: Mapping[str, Any], *, pool: Pool = "mean") -> "TokenSelection":
        """One boolean mask per row id, over all its tokens (prompt and response)."""
        return cls(name="masks", positions=lambda row: np.asarray(_of_row(masks, row), dtype=bool), pool=pool)


def _of_row(values: Mapping[str, Any], row: EncodedRow) -> Any:
    if row.id not in values:
        raise RowError(f"Row {row.id!r} has no span or mask.")
    return values[row.id]


def _as_positions(kept: Any, row: EncodedRow, name: str) -> Int[np.ndarray, "selected"]:
    if isinstance(kept, slice):
        return np.arange(len(row))[kept]
    array = np.atleast_1d(np.asarray(kept))
    if array.dtype == bool:
        if len(array) != len(row):
            raise RowError(f"tokens={name!r}, row {row.id!r}: mask of {len(array)} for {len(row)} tokens.")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise RowError(f"tokens={name!r}, row {row.id!r}: positions must be integers, a slice or a mask.")
    if array.min() < 0 or array.max() >= len(row) or np.any(np.diff(array) <= 0):
        raise RowError(
            f"tokens={name!r}, row {row.id!r}: positions {array[:5].tolist()}... must rise and lie in "
            f"0..{len(row) - 1}."
        )
    return array.astype(np.int64)


def _prompt_last(row: EncodedRow) -> Any:
    return range(row.prompt_len - 1, row.prompt_len) if row.prompt_len else []


def _response_last(row: EncodedRow) -> Any:
    return [len(row) - 1] if len(row) > row.prompt_len else []


def _response(row: EncodedRow) -> Any:
    return slice(row.prompt_len, None)


def _last(row: EncodedRow) -> Any:
    return [len(row) - 1]


def _known(name: str, positions: Callable[[EncodedRow], Any], **options: Any) -> TokenSelection:
    return TokenSelection(
        name=name, positions=positions, needs_response=name.startswith("response"), **options
    )


SELECTIONS = {
    selection.name: selection
    for selection in (
        _known("last", _last, pool="none", one=True),
        _known("prompt_last", _prompt_last, pool="none", one=True),
        _known("response_last", _response_last, pool="none", one=True),
        _known("response_mean", _response, pool="mean"),
        _known("response_max", _response, pool="max"),
        _known("response_all", _response, pool="none"),
    )
}


def resolve_selection(tokens: Any) -> TokenSelection:
    """A `TokenSelection` from its name, from itself, or from a function (whose positions are averaged).

    >>> resolve_selection("response_last").pool
    'none'
    """
    if isinstance(tokens, TokenSelection):
        return tokens
    if callable(tokens):
        return TokenSelection(name=getattr(tokens, "__name__", "function"), positions=tokens)
    if isinstance(tokens, str) and tokens in SELECTIONS:
        return SELECTIONS[tokens]
    raise ValueError(
        f"tokens={tokens!r}: use {', '.join(SELECTIONS)}, a TokenSelection, or a function from "
        "row to positions."
    )
