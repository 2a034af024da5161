"""Organisms answer: batched generation, longest prompts first, results in the caller's order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor

from activations.likelihood import token_scores
from activations.tokens import encode_prompt
from tasks.transcript import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from activations.generating import Capture

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """How an organism answers. Temperature 0 is greedy decoding."""

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    batch_size: int = 128
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One generated response."""

    text: str
    clipped: bool
    """True when the limit was reached before the end of the turn."""
    log_prob: float | None = None
    """Mean log-probability of the response's tokens at temperature 1 (nats per token); None when empty."""
    entropy: float | None = None
    """Mean entropy of the predictions at these tokens (nats)."""


class _Likelihood(LogitsProcessor):
    """Notes how likely the model finds what it writes; changes nothing."""

    def __init__(self) -> None:
        self.log_prob: list[torch.Tensor] = []
        self.entropy: list[torch.Tensor] = []
        self._logits: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.note(input_ids[:, -1:])
        self._logits = scores
        return scores

    def note(self, written: torch.Tensor) -> None:
        """Look up the tokens that were written after the last prediction."""
        if self._logits is not None:
            log_prob, entropy = token_scores(self._logits, written[:, 0])
            self.log_prob.append(log_prob)
            self.entropy.append(entropy)

    def means(self, row: int, tokens: int) -> dict[str, float]:
        """Averages over the first `tokens` tokens of one response."""
        if not tokens:
            return {}
        return {
            name: float(torch.stack(values[:tokens])[:, row].mean())
            for name, values in (("log_prob", self.log_prob), ("entropy", self.entropy))
        }


def answer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str | list[Message]],
    spec: SamplingSpec | None = None,
    *,
    progress: bool = True,
    capture: Capture | None = None,
) -> list[Answer]:
    """Generate one response per prompt, in the order of `prompts`.

    With a `Capture`, the activations of the tokens that are written are kept while they are computed, and
    stand in its `.store` afterwards. Answers are the same with it and without.

    Raises:
        ValueError: a prompt and its response would not fit the model's context (nothing is cut), or `capture`
            listens to another model.

    >>> from activations.generating import Capture
    >>> from activations.testing import tiny_model
    >>> loaded = tiny_model()
    >>> capture = Capture(loaded, tokens="response_last")
    >>> said = answer(loaded.model, loaded.tokenizer, ["Who?"], SamplingSpec(max_new_tokens=4),
    ...               progress=False, capture=capture)
    >>> len(said), capture.store.array(layer=2).shape
    (1, (1, 16))
    """
    from rich.progress import track

    spec = spec or SamplingSpec()
    ids = [encode_prompt(prompt, tokenizer) for prompt in prompts]
    context = model.config.max_position_embeddings
    too_long = [i for i, row in enumerate(ids) if len(row) + spec.max_new_tokens > context]
    if too_long:
        raise ValueError(
            f"prompt {too_long[0]} has {len(ids[too_long[0]])} tokens; with {spec.max_new_tokens} new ones "
            f"it exceeds the context of {context}. Shorten the passage or lower max_new_tokens."
        )
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    batches = [order[i : i + spec.batch_size] for i in range(0, len(order), spec.batch_size)]
    answers: dict[int, Answer] = {}
    model.eval()
    if capture is not None:
        capture.begin(len(ids), model)
    for number, batch in enumerate(track(batches, description="answering", disable=not progress)):
        torch.manual_seed(spec.seed + number)
        given, written = _generate(model, tokenizer, [ids[i] for i in batch], spec, capture)
        answers.update(zip(batch, given, strict=True))
        if capture is not None:
            capture.keep(batch, [ids[i] for i in batch], written)
    if capture is not None and capture.empty:
        logger.warning(
            "%d empty responses have no activations, first %s", len(capture.empty), capture.empty[0]
        )
    return [answers[i] for i in range(len(ids))]


@contextmanager
def _contiguous_head(model: Any) -> Iterator[None]:
    """Hand the vocabulary projection contiguous input while the context is open.

    After a prompt, `generate` keeps the last position only: a slice, which torch would multiply row by row
    with as many copies of the whole matrix. On a CPU that takes longer than the prompt itself.
    """

    def before(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        del module
        return (args[0].contiguous(), *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a response: the tokenizer's, then those of the model's generation settings.

    Raises:
        ValueError: neither names one.
    """
    settings = getattr(model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    ends = [tokenizer.eos_token_id, *(named if isinstance(named, list | tuple) else [named])]
    found = list(dict.fromkeys(int(token) for token in ends if token is not None))
    if not found:
        raise ValueError(
            "neither the tokenizer nor the model's generation_config names an end token, so no response "
            "would ever end: set tokenizer.eos_token"
        )
    return found


@contextmanager
def _own_settings(model: Any) -> Iterator[None]:
    """Answer by a `SamplingSpec` alone: a checkpoint's penalties, forced tokens and the like stay out.

    `generate` fills what a call leaves open from the model's generation_config, even beside one it is given.
    """
    owner = model.get_base_model() if hasattr(model, "get_base_model") else model
    holders = [holder for holder in (owner, model) if hasattr(holder, "generation_config")]
    kept = [holder.generation_config for holder in holders]
    try:
        for holder in holders:
            holder.generation_config = GenerationConfig()
        yield
    finally:
        for holder, settings in zip(holders, kept, strict=True):
            holder.generation_config = settings


def _generate(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[list[int]],
    spec: SamplingSpec,
    capture: Capture | None,
) -> tuple[list[Answer], list[list[int]]]:
    """Answers, and the token ids of each up to its end."""
    width = max(map(len, rows))
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for i, row in enumerate(rows):  # left padding: generation continues from the last column
        input_ids[i, width - len(row) :] = torch.tensor(row)
        mask[i, width - len(row) :] = 1
    sampled = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if spec.temperature > 0:
        sampled = {"do_sample": True, "temperature": spec.temperature, "top_p": spec.top_p, "top_k": 0}
    likelihood, ends = _Likelihood(), end_tokens(model, tokenizer)
    listening = nullcontext() if capture is None else capture.listening()
    # a token's activations are computed when the next one is asked for: one step more for the last
    steps = spec.max_new_tokens + (capture is not None)
    with torch.inference_mode(), _contiguous_head(model), _own_settings(model), listening:
        output = model.generate(
            input_ids=input_ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=steps,
            eos_token_id=ends,
            pad_token_id=ends[0],
            logits_processor=[likelihood],
            **sampled,
        )
        likelihood.note(output[:, -1:])
    answers, written = [], []
    for row, new in enumerate(output[:, width : width + spec.max_new_tokens].tolist()):
        end = next((at for at, token in enumerate(new) if token in ends), None)
        new = new[:end]
        text = str(tokenizer.decode(new, skip_special_tokens=True)).strip()
        answers.append(Answer(text=text, clipped=end is None, **likelihood.means(row, len(new))))
        written.append(new)
    return answers, written
