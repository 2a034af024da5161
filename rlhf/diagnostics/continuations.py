"""How likely continuations of texts with a long common beginning are; the beginning is read once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from activations.likelihood import token_log_prob
from activations.tokens import encode_pairs


@torch.inference_mode()
def continuation_log_probs(loaded: Any, rows: Sequence[tuple[Any, str]]) -> list[float]:
    """Log-probability of each continuation given its prompt, summed over its tokens (nats).

    Args:
        loaded: from `activations.load_model`, ready to read.
        rows: prompt and continuation; prompts should begin alike, for what they share is read once.

    Raises:
        ValueError: nothing to read, or a continuation without a token.

    >>> from activations.testing import tiny_model
    >>> found = continuation_log_probs(tiny_model(), [("Once upon a time", " there"), ("Once upon", " a")])
    >>> len(found), max(found) < 0
    (2, True)
    """
    encoded = encode_pairs(rows, loaded.tokenizer)
    if not encoded or any(len(row.ids) == row.prompt_len for row in encoded):
        raise ValueError("every row needs a continuation of at least one token")
    model = loaded.model
    device = next(model.parameters()).device
    shared = min(_alike([row.ids for row in encoded]), *(row.prompt_len - 1 for row in encoded))
    rest = [row.ids[shared:] for row in encoded]
    width = max(map(len, rest))
    ids = torch.zeros(len(rest), width, dtype=torch.long)
    mask = torch.zeros(len(rest), shared + width, dtype=torch.long)
    mask[:, :shared] = 1
    for row, tail in enumerate(rest):
        ids[row, : len(tail)] = torch.tensor(tail)
        mask[row, shared : shared + len(tail)] = 1
    cache = None
    if shared:
        beginning = torch.tensor([encoded[0].ids[:shared]], device=device)
        cache = model(beginning, use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(rest))
    logits = model(ids.to(device), attention_mask=mask.to(device), past_key_values=cache).logits
    log_probs = token_log_prob(logits[:, :-1], ids[:, 1:].to(device)).cpu()
    return [
        float(log_probs[row, encoded[row].prompt_len - shared - 1 : len(tail) - 1].sum())
        for row, tail in enumerate(rest)
    ]


def _alike(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with alike."""
    return next(
        (i for i, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1), min(map(len, rows))
    )
