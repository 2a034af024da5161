"""Rows become token ids once, and a selection says which of their positions are kept and how pooled.

Prompt and response are tokenised apart and joined, so the boundary between them is exact. The prompt
follows its tokenizer's own BOS rule, and two BOS never get through.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

Pool = Literal["none", "mean", "max"]


class RowError(ValueError):
    """A row that cannot be used as it is; the message names it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedRow:
    """One row as token ids, with the boundary between prompt and response."""

    id: str
    group: str
    ids: Int[np.ndarray, "position"]
    """Prompt ids followed by response ids."""
    prompt_len: int
    response: str
    """The response's text."""
    offsets: Int[np.ndarray, "response_position 2"] | None
    """Start and end character in `response` of every response token; None from tokenizers without them."""

    def __len__(self) -> int:
        return len(self.ids)


def encode_rows(rows: Any, tokenizer: Any, *, max_len: int | None = None) -> list[EncodedRow]:
    """Tokenise rows (transcripts, dicts, or a `datasets.Dataset`) that have `id`, `prompt`, `response`.

    A `prompt` that is a string is taken literally; a list of `{"role", "content"}` messages is rendered
    with the tokenizer's chat template and its generation prompt.

    Raises:
        RowError: no rows, a repeated id, a missing field, a row with no tokens, or one longer than `max_len`.
    """
    records = [_fields(row, index) for index, row in enumerate(rows)]
    if not records:
        raise RowError("No rows to extract from: the input is empty.")
    _check_ids([record["id"] for record in records])
    prompts = _encode_prompts([record["prompt"] for record in records], tokenizer)
    responses, offsets = _encode_responses([record["response"] for record in records], tokenizer)
    encoded = []
    for record, prompt, response, offset in zip(records, prompts, responses, offsets, strict=True):
        if record["prompt"] and not isinstance(record["prompt"], str) and not prompt:
            raise RowError(f"Row {record['id']!r}: the chat template rendered its messages to nothing.")
        encoded.append(
            EncodedRow(
                id=record["id"],
                group=record["group"],
                ids=np.asarray([*prompt, *response], dtype=np.int32),
                prompt_len=len(prompt),
                response=record["response"],
                offsets=offset,
            )
        )
    _check_lengths(encoded, max_len)
    return encoded


def _fields(row: Any, index: int) -> dict[str, Any]:
    get = row.get if isinstance(row, Mapping) else lambda name, default=None: getattr(row, name, default)
    record = {name: get(name, None) for name in ("id", "prompt", "response")}
    missing = [name for name, value in record.items() if value is None]
    if missing:
        raise RowError(f"Row {index} (id {record['id']!r}) lacks {', '.join(missing)}: rows need all three.")
    if not isinstance(record["response"], str):
        raise RowError(
            f"Row {record['id']!r}: response is {type(record['response']).__name__}, not a string."
        )
    try:
        f"{record['prompt']}{record['response']}".encode()
    except UnicodeEncodeError as error:
        raise RowError(f"Row {record['id']!r} holds half a character (a lone surrogate): {error}.") from error
    return {**record, "id": str(record["id"]), "group": str(get("group", None) or record["id"])}


def check_texts(rows: Sequence[EncodedRow], tokenizer: Any) -> None:
    """Make sure that the tokens after each prompt decode to the row's response, so that positions hold.

    White space, case and Unicode normal form do not count, for tokenizers change them; nor do rows with
    characters the tokenizer does not know.

    Raises:
        RowError: a response decodes to another text; names the row, and both texts where they part.
    """
    responses = [row.ids[row.prompt_len :].tolist() for row in rows]
    texts = tokenizer.batch_decode(responses, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    for row, ids, text in zip(rows, responses, texts, strict=True):
        found, expected = _comparable(text), _comparable(row.response)
        if found != expected and tokenizer.unk_token_id not in ids:
            parts = (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b)
            near = slice(place := next(parts, min(len(found), len(expected))), place + 20)
            raise RowError(
                f"Row {row.id!r}: its response tokens decode to {found[near]!r} where its text has "
                f"{expected[near]!r}. This tokenizer does not keep the text, so no position can be trusted."
            )


def _comparable(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _check_ids(ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        repeated = next(i for i in ids if i in seen or seen.add(i))
        raise RowError(f"Row id {repeated!r} occurs more than once: ids must be unique.")


def _check_lengths(rows: Sequence[EncodedRow], max_len: int | None) -> None:
    empty = [row.id for row in rows if not len(row)]
    if empty:
        raise RowError(f"{len(empty)} rows have neither prompt nor response tokens, first {empty[0]!r}.")
    if max_len is not None and (long := [row for row in rows if len(row) > max_len]):
        worst = max(long, key=len)
        raise RowError(
            f"{len(long)} rows are longer than the model's context of {max_len} tokens; the longest is "
            f"{worst.id!r} with {len(worst)}. Shorten or drop them: nothing is cut silently."
        )


def _encode_prompts(prompts: Sequence[Any], tokenizer: Any) -> list[list[int]]:
    literal = [i for i, prompt in enumerate(prompts) if isinstance(prompt, str)]
    chats = [i for i, prompt in enumerate(prompts) if not isinstance(prompt, str)]
    encoded: list[list[int]] = [[] for _ in prompts]
    if literal:
        ids = tokenizer([prompts[i] for i in literal]).input_ids
        for i, row in zip(literal, ids, strict=True):
            encoded[i] = _without_added_eos(row, tokenizer)
    if chats:
        if not getattr(tokenizer, "chat_template", None):
            raise RowError("Prompts are lists of messages, but this tokenizer has no chat template.")
        texts = [
            tokenizer.apply_chat_template(list(prompts[i]), tokenize=False, add_generation_prompt=True)
            for i in chats
        ]
        ids = tokenizer(texts, add_special_tokens=False).input_ids
        for i, row in zip(chats, ids, strict=True):
            encoded[i] = row
    return [_one_bos(row, tokenizer) for row in encoded]


def _without_added_eos(ids: list[int], tokenizer: Any) -> list[int]:
    """A response follows, so an end-of-text that the tokenizer appends by rule does not belong here."""
    return ids[:-1] if getattr(tokenizer, "add_eos_token", False) and ids else ids


def _one_bos(ids: list[int], tokenizer: Any) -> list[int]:
    bos = tokenizer.bos_token_id
    if bos is not None and bos != tokenizer.eos_token_id:
        while len(ids) > 1 and ids[0] == ids[1] == bos:
            ids = ids[1:]
    return ids


def _encode_responses(responses: Sequence[str], tokenizer: Any) -> tuple[list[list[int]], list[Any]]:
    fast = getattr(tokenizer, "is_fast", False)
    encoding = tokenizer(list(responses), add_special_tokens=False, return_offsets_mapping=fast)
    if not fast:
        return encoding.input_ids, [None] * len(responses)
    return encoding.input_ids, [
        np.asarray(offsets, dtype=np.int32).reshape(-1, 2) for offsets in encoding.offset_mapping
    ]


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
                    f"{empty[0]!r}. Drop these rows or select other tokens, for example 'prompt_last'."
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

        return cls(name=f"{unit}_spans", positions=positions, pool=pool)

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


SELECTIONS = {
    "prompt_last": TokenSelection(name="prompt_last", positions=_prompt_last, pool="none", one=True),
    "response_last": TokenSelection(name="response_last", positions=_response_last, pool="none", one=True),
    "response_mean": TokenSelection(name="response_mean", positions=_response, pool="mean"),
    "response_max": TokenSelection(name="response_max", positions=_response, pool="max"),
    "response_all": TokenSelection(name="response_all", positions=_response, pool="none"),
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
    if tokens in SELECTIONS:
        return SELECTIONS[tokens]
    raise ValueError(
        f"tokens={tokens!r}: use {', '.join(SELECTIONS)}, a TokenSelection, or a function from "
        "row to positions."
    )
