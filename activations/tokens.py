"""Text becomes token ids: here and nowhere else, for extraction, sampling, training and scoring alike.

Prompt and response are tokenised apart and joined, so the boundary between them is exact, and the ids are
those of the text as written: the tokenizer's opening tokens (a BOS) once, no closing ones, no space that
a tokenizer invents where the response begins. Messages are rendered with the tokenizer's chat template; a
template that writes today's date gets `CHAT_DATE`, so that the same messages have the same ids tomorrow.
"""

import datetime
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

CHAT_DATE = datetime.date(2024, 7, 26)
"""The day that a chat template is told it is (Llama 3's own default when nobody tells it)."""
ASKS_THE_DATE = re.compile(r"""strftime_now\s*\(\s*(?P<quote>['"])(?P<format>.*?)(?P=quote)\s*\)""")
# What the response is tokenised after where a tokenizer treats the start of a text differently: the first
# of these that the response does not merge with.
ANCHORS = ("\n", ".", "a", "0", ")")


class RowError(ValueError):
    """A row that cannot be used as it is; the message names it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """A prompt and its response as token ids."""

    ids: list[int]
    """Prompt ids followed by response ids; no end-of-text follows unless the response's text has it."""
    prompt_len: int
    """Tokens of the prompt: `ids[prompt_len:]` is the response."""
    offsets: Int[np.ndarray, "response_position 2"] | None
    """Start and end character of every response token in its text; None from tokenizers without offsets."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedRow:
    """One row as token ids, with the boundary between prompt and response."""

    id: str
    group: str
    ids: Int[np.ndarray, "position"]
    """Prompt ids followed by response ids."""
    prompt_len: int
    response: str
    """The response's text; empty when the row has none."""
    offsets: Int[np.ndarray, "response_position 2"] | None
    """Start and end character in `response` of every response token; None from tokenizers without them."""

    def __len__(self) -> int:
        return len(self.ids)


def encode(prompt: Any, response: str, tokenizer: Any) -> Encoding:
    """Token ids of a prompt (text, or a list of `{"role", "content"}` messages) and a response.

    Raises:
        RowError: messages without a chat template, messages that the template refuses or renders to
            nothing, or something that is neither text nor messages.

    >>> from activations.testing import tiny_tokenizer
    >>> found = encode("A", "B", tiny_tokenizer())
    >>> found.ids, found.prompt_len  # <s>, then A, then B
    ([256, 32, 33], 2)
    """
    return encode_pairs([(prompt, response)], tokenizer)[0]


def encode_prompt(prompt: Any, tokenizer: Any) -> list[int]:
    """Token ids of a prompt alone: those that `encode` puts before the response.

    >>> from activations.testing import tiny_tokenizer
    >>> encode_prompt([{"role": "user", "content": "A"}], tiny_tokenizer(bos=False))[:3]
    [27, 84, 82]
    """
    return _encode_prompts([_as_prompt(prompt)], tokenizer)[0]


def encode_conversation(messages: Any, tokenizer: Any) -> list[int]:
    """Token ids of finished messages, the last of them closed as the chat template closes a turn.

    >>> from activations.testing import tiny_tokenizer
    >>> said = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
    >>> len(encode_conversation(said, tiny_tokenizer())) > len(encode_prompt(said[:1], tiny_tokenizer()))
    True
    """
    text = _render(_as_prompt(messages), tokenizer, answer=False)
    return _one_bos(tokenizer(text, add_special_tokens=False).input_ids, _opening(tokenizer), tokenizer)


def encode_pairs(pairs: Sequence[tuple[Any, str]], tokenizer: Any) -> list[Encoding]:
    """`encode` for many prompts and responses at once, which fast tokenizers do in parallel."""
    prompts = [_as_prompt(prompt) for prompt, _ in pairs]
    heads = _encode_prompts(prompts, tokenizer)
    tails = _encode_responses([response for _, response in pairs], [p == "" for p in prompts], tokenizer)
    return [
        Encoding(ids=[*head, *tail], prompt_len=len(head), offsets=offsets)
        for head, (tail, offsets) in zip(heads, tails, strict=True)
    ]


def encode_rows(
    rows: Any,
    tokenizer: Any,
    *,
    max_len: int | None = None,
    vocabulary: int | None = None,
    bare: bool = False,
) -> list[EncodedRow]:
    """Tokenise rows (transcripts, dicts, or a `datasets.Dataset`) that have `id`, `prompt`, `response`.

    A `prompt` that is a string is taken literally; a list of `{"role", "content"}` messages is rendered
    with the tokenizer's chat template and its generation prompt. With `bare`, rows may be statements that
    have no `response`. `group` is optional: a row without one is a group of its own.

    Raises:
        RowError: no rows, a repeated id, a missing field, a row with no tokens, one longer than `max_len`, or
            one with a token id that is not below `vocabulary`.
    """
    records = [_fields(row, index, bare) for index, row in enumerate(rows)]
    if not records:
        raise RowError("No rows to extract from: the input is empty.")
    _check_ids([record["id"] for record in records])
    pairs = [(record["prompt"], record["response"]) for record in records]
    try:
        encodings = encode_pairs(pairs, tokenizer)
    except RowError:  # one of them: find out which
        for record, pair in zip(records, pairs, strict=True):
            try:
                encode_pairs([pair], tokenizer)
            except RowError as error:
                raise RowError(f"Row {record['id']!r}: {error}") from error
        raise
    encoded = [
        EncodedRow(
            id=record["id"],
            group=record["group"],
            ids=np.asarray(encoding.ids, dtype=np.int32),
            prompt_len=encoding.prompt_len,
            response=record["response"],
            offsets=encoding.offsets,
        )
        for record, encoding in zip(records, encodings, strict=True)
    ]
    _check_lengths(encoded, max_len)
    if vocabulary is not None and (wrong := [row for row in encoded if row.ids.max() >= vocabulary]):
        raise RowError(
            f"Row {wrong[0].id!r} has token id {wrong[0].ids.max()}, but the model embeds only {vocabulary}: "
            "this tokenizer has tokens that were added after the model's vocabulary was fixed."
        )
    return encoded


def _fields(row: Any, index: int, bare: bool) -> dict[str, Any]:
    get = row.get if isinstance(row, Mapping) else lambda name, default=None: getattr(row, name, default)
    record = {name: get(name, None) for name in ("id", "prompt", "response")}
    name = record["id"]
    if bare and record["response"] is None:
        record["response"] = ""
    missing = [name for name, value in record.items() if value is None]
    if missing:
        raise RowError(
            f"Row {index} (id {name!r}) lacks {', '.join(missing)}: rows need id, prompt and response (a "
            "statement without a response is read with tokens='last')."
        )
    if not isinstance(record["response"], str):
        raise RowError(f"Row {name!r}: response is {type(record['response']).__name__}, not a string.")
    try:
        record["prompt"] = _as_prompt(record["prompt"])
        f"{record['prompt']}{record['response']}".encode()
    except RowError as error:
        raise RowError(f"Row {name!r}: {error}") from error
    except UnicodeEncodeError as error:
        raise RowError(f"Row {name!r} holds half a character (a lone surrogate): {error}.") from error
    group = get("group", None)
    own = group is None or (isinstance(group, str) and not group)
    identity = _name(name, f"Row {index}: id")
    return {**record, "id": identity, "group": identity if own else _name(group, f"Row {name!r}: group")}


def _name(value: Any, what: str) -> str:
    """An id or a group as text, the same for 1, 1.0 and numpy's 1; NaN and its like are refused."""
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        value = value.item()
    try:
        missing = bool(value != value)  # NaN and NaT are not equal to themselves
    except (TypeError, ValueError):  # pandas' NA has no truth value
        missing = True
    if missing:
        raise RowError(f"{what} is missing ({value!r}): fill it in, or leave the group out of every row.")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_prompt(prompt: Any) -> str | list[dict[str, Any]]:
    """Text, or messages as plain dicts, whatever sequence (an array of numpy, of pandas) they came in."""
    if isinstance(prompt, str):
        return str(prompt)
    if not isinstance(prompt, (Sequence, np.ndarray)) or isinstance(prompt, bytes) or np.ndim(prompt) == 0:
        raise RowError(
            f"the prompt is {type(prompt).__name__}: give text, or a list of "
            '{"role": ..., "content": ...} messages.'
        )
    for message in prompt:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise RowError(f'{message!r} is no message: messages are {{"role": ..., "content": ...}}.')
    return [dict(message) for message in prompt]


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


def _encode_prompts(prompts: Sequence[str | list[dict[str, Any]]], tokenizer: Any) -> list[list[int]]:
    if not prompts:
        return []
    texts = [prompt if isinstance(prompt, str) else _render(prompt, tokenizer) for prompt in prompts]
    opening = _opening(tokenizer)
    bodies = tokenizer(texts, add_special_tokens=False).input_ids
    rows = []
    for prompt, body in zip(prompts, bodies, strict=True):
        # a chat template writes its own BOS; a text that begins with the BOS already has it
        given = not isinstance(prompt, str) or body[: len(opening)] == opening
        rows.append(_one_bos(body if given else [*opening, *body], opening, tokenizer))
    return rows


def _render(messages: Any, tokenizer: Any, *, answer: bool = True) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise RowError("Prompts are lists of messages, but this tokenizer has no chat template.")
    template = _on_chat_date(tokenizer.get_chat_template())
    try:
        text = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=answer
        )
    except Exception as error:  # a template is a program of the model's maker: it may fail in any way
        raise RowError(f"the chat template refuses these messages ({error}).") from error
    if not text:
        raise RowError("the chat template rendered its messages to nothing.")
    return text


def _on_chat_date(template: str) -> str:
    """The template with every question for today's date answered by `CHAT_DATE`."""
    fixed = ASKS_THE_DATE.sub(lambda found: repr(CHAT_DATE.strftime(found["format"])), template)
    if re.search(r"strftime_now\s*\(", fixed):
        raise RowError(
            "the chat template writes today's date in a way that cannot be fixed to a day, so these "
            "messages would have other ids tomorrow: give the tokenizer a template with a date in it."
        )
    return fixed


def _opening(tokenizer: Any) -> list[int]:
    """What the tokenizer's own rule puts before a text; what it puts after one a response must not follow."""
    ruled, bare = tokenizer("a").input_ids, tokenizer("a", add_special_tokens=False).input_ids
    for start in range(len(ruled) - len(bare) + 1):
        if ruled[start : start + len(bare)] == bare:
            return list(ruled[:start])
    return []


def _one_bos(ids: list[int], opening: list[int], tokenizer: Any) -> list[int]:
    bos = tokenizer.bos_token_id
    if bos is not None and (bos != tokenizer.eos_token_id or bos in opening):
        while len(ids) > 1 and ids[0] == ids[1] == bos:
            ids = ids[1:]
    return ids


def _encode_responses(
    responses: Sequence[str], first: Sequence[bool], tokenizer: Any
) -> list[tuple[list[int], Any]]:
    """Ids and offsets of each response; `first[i]` says that nothing precedes it, not even a prompt."""
    plain = _encode_after("", responses, tokenizer)
    if _starts_alike(tokenizer):
        return plain
    found: dict[int, tuple[list[int], Any]] = {
        i: row for i, row in enumerate(plain) if first[i] or not responses[i]
    }
    for anchor in ANCHORS:
        left = [i for i in range(len(responses)) if i not in found]
        rows = _encode_after(anchor, [responses[i] for i in left], tokenizer)
        found |= {i: row for i, row in zip(left, rows, strict=True) if row is not None}
    if len(found) < len(responses):
        text = next(response for i, response in enumerate(responses) if i not in found)
        raise RowError(f"this tokenizer gives {text[:20]!r} no ids of its own after another text.")
    return [found[i] for i in range(len(responses))]


def _starts_alike(tokenizer: Any) -> bool:
    """Whether a text's first word has the same ids at its start as in its middle.

    SentencePiece tokenizers write a space before it, and a byte-level one with `add_prefix_space` does.
    """
    start = tokenizer("a", add_special_tokens=False).input_ids
    middle = [row for row in (_encode_after(anchor, ["a"], tokenizer)[0] for anchor in ANCHORS) if row]
    return not middle or middle[0][0] == start


def _encode_after(anchor: str, texts: Sequence[str], tokenizer: Any) -> list[Any]:
    """Ids and offsets of each text when it follows `anchor`; None where the two share a token."""
    if not texts:
        return []
    fast = getattr(tokenizer, "is_fast", False)
    head = tokenizer(anchor, add_special_tokens=False).input_ids if anchor else []
    encoding = tokenizer(
        [anchor + text for text in texts], add_special_tokens=False, return_offsets_mapping=fast
    )
    rows = []
    for index, ids in enumerate(encoding.input_ids):
        if ids[: len(head)] != head:
            rows.append(None)
            continue
        spans = encoding.offset_mapping[index][len(head) :] if fast else None
        offsets = None if spans is None else np.asarray(spans, dtype=np.int32).reshape(-1, 2) - len(anchor)
        rows.append((list(ids[len(head) :]), offsets))
    return rows
