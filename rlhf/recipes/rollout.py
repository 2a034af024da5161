"""Sampling: several responses per prompt, the same ones whatever the batch, the process and the device.

Every token is drawn by inverting the cumulative distribution at one uniform number, which depends only on
(seed, round, place of the prompt in the round, sample, token). So a response does not change when batches are
cut differently, when two processes share the work, or when a killed run goes on.

A prompt is read once; its cache is copied for its samples. Rows that ended leave the batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from activations.likelihood import head_logits, token_log_prob
from rlhf.recipes.packing import bf16

_CHECK_EVERY = 8
"""Tokens between two looks at which rows have ended (a look waits for the device)."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How responses are drawn. Temperature 1 and `top_p` 1 are on-policy; anything else is not."""

    samples: int = 8
    """Responses per prompt."""
    max_new_tokens: int = 64
    temperature: float = 1.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    batch_size: int | None = None
    """Responses at once; None: 1,024 on a GPU, where each step costs launches whatever its width, else 64."""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_new_tokens < 1:
            raise ValueError("samples and max_new_tokens must be at least 1")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must not be negative, and top_p lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Response:
    """One sampled response."""

    ids: list[int]
    """Sampled ids, up to and including the end of turn; never decoded and tokenised again."""
    clipped: bool
    """The limit came before the end of turn."""
    log_probs: list[float]
    """Of these tokens at temperature 1, as the sampler saw them (nats)."""


def sample_groups(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    eos: int,
    options: SamplingOptions,
    seed: Sequence[int] = (0,),
    places: Sequence[int] | None = None,
    autocast: bool = False,
) -> list[list[Response]]:
    """Draw `options.samples` responses to every prompt, in the order of `prompts`.

    Args:
        model: a causal LM, with or without a LoRA adapter (merged while sampling).
        prompts: token ids.
        eos: the token that ends a turn.
        options: how many, how long, how.
        seed: numbers that name this round.
        places: what each prompt is called in the round, so that its noise does not depend on who draws it.
        autocast: compute in bfloat16 around float32 weights.
    """
    places = range(len(prompts)) if places is None else places
    device = next(model.parameters()).device
    at_once = options.batch_size or (1024 if device.type == "cuda" else 64)
    per_batch = max(1, at_once // options.samples)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, list[Response]] = {}
    model.eval()
    with torch.inference_mode(), merged_adapters(model), bf16(device, autocast):
        for start in range(0, len(order), per_batch):
            batch = order[start : start + per_batch]
            noise = np.stack(
                [
                    np.random.default_rng([*seed, places[i], sample]).random(options.max_new_tokens)
                    for i in batch
                    for sample in range(options.samples)
                ]
            )
            responses = _sample(model, [prompts[i] for i in batch], noise, eos, options)
            for number, i in enumerate(batch):
                found[i] = responses[number * options.samples : (number + 1) * options.samples]
    return [found[i] for i in range(len(prompts))]


def _sample(
    model: Any, prompts: Sequence[Sequence[int]], noise: np.ndarray, eos: int, options: SamplingOptions
) -> list[Response]:
    from transformers import DynamicCache

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    trunk = causal.get_decoder()
    device = next(model.parameters()).device
    ids, mask = _left_pad(prompts, device)
    cache = DynamicCache(config=causal.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = trunk(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    )
    cache.batch_repeat_interleave(options.samples)
    hidden = out.last_hidden_state[:, -1].contiguous().repeat_interleave(options.samples, 0)
    mask = mask.repeat_interleave(options.samples, 0)
    position = positions[:, -1:].repeat_interleave(options.samples, 0)
    uniform = torch.from_numpy(noise).to(device, torch.float32)
    rows = torch.arange(len(uniform), device=device)
    written = torch.full(uniform.shape, eos, dtype=torch.long, device=device)
    log_probs = torch.zeros_like(uniform)
    ended = torch.zeros(len(uniform), dtype=torch.bool, device=device)
    for step in range(options.max_new_tokens):
        logits = head_logits(causal, hidden)
        token = choose(logits, uniform[rows, step], options)
        written[rows, step] = torch.where(ended[rows], written[rows, step], token)
        log_probs[rows, step] = token_log_prob(logits, token)
        ended[rows] |= token == eos
        if step + 1 == options.max_new_tokens:
            break
        if step % _CHECK_EVERY == _CHECK_EVERY - 1 or device.type == "cpu":
            alive = (~ended[rows]).nonzero()[:, 0]
            if not len(alive):
                break
            if len(alive) < len(rows):
                cache.batch_select_indices(alive)
                rows, token, mask, position = rows[alive], token[alive], mask[alive], position[alive]
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        position = position + 1
        out = trunk(
            input_ids=token[:, None],
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        hidden = out.last_hidden_state[:, -1]
    return [
        _cut(ids, scores, stop, eos)
        for ids, scores, stop in zip(written.tolist(), log_probs.tolist(), ended.tolist(), strict=True)
    ]


def _left_pad(
    prompts: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "row position"], Int[Tensor, "row position"]]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _cut(ids: list[int], log_probs: list[float], ended: bool, eos: int) -> Response:
    length = ids.index(eos) + 1 if ended else len(ids)
    return Response(ids=ids[:length], clipped=not ended, log_probs=log_probs[:length])


def choose(
    logits: Float[Tensor, "row vocabulary"], uniform: Float[Tensor, "row"], options: SamplingOptions
) -> Int[Tensor, "row"]:
    """The token at which the cumulative distribution passes each row's uniform number.

    >>> even = torch.zeros(2, 4)
    >>> choose(even, torch.tensor([0.1, 0.9]), SamplingOptions())
    tensor([0, 3])
    """
    if options.temperature == 0:
        return logits.argmax(-1)
    scores = logits / options.temperature
    if options.top_p < 1:
        from transformers import TopPLogitsWarper

        scores = TopPLogitsWarper(options.top_p)(None, scores)  # pyright: ignore[reportArgumentType]
    cumulative = scores.softmax(-1).cumsum(-1)
    wanted = uniform[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


@contextmanager
def merged_adapters(model: Any) -> Iterator[int]:
    """Run LoRA layers as one matrix product each while the context is open; gives how many of them.

    The base weights are put aside and put back, so nothing is lost to rounding. Layers with a LoRA variant,
    several adapters or quantised weights keep PEFT's own way.

    >>> with merged_adapters(torch.nn.Linear(2, 2)) as layers:
    ...     layers
    0
    """
    from peft.tuners.lora import Linear

    aside: list[tuple[Any, Tensor]] = []
    try:
        for layer in model.modules():
            if not isinstance(layer, Linear) or layer.disable_adapters or layer.merged:
                continue
            if len(layer.active_adapters) != 1 or layer.active_adapters[0] in layer.lora_variant:
                continue
            (name,) = layer.active_adapters
            if name not in layer.lora_A or type(layer.base_layer) is not torch.nn.Linear:
                continue
            base = layer.base_layer.weight
            aside.append((layer, base.data))
            base.data = (base.data.float() + layer.get_delta_weight(name).float()).to(base.dtype)
            vars(layer)["forward"] = layer.base_layer.forward
        yield len(aside)
    finally:
        for layer, weight in aside:
            layer.base_layer.weight.data = weight
            layer.__dict__.pop("forward", None)
