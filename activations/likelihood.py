"""How likely a model finds its responses: per token for everyone, and as two numbers per row.

`token_scores` is the one place where logits become log-probabilities and entropies (`token_log_prob` its
cheaper half), and `head_logits` where hidden states become logits: training, sampling and reading again all
call them. The two numbers per row are
control baselines that a probe has to beat: if a detector of misleading answers only sees that they are
surprising or uncertain, the mean log-probability or the entropy of the response does as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from activations.adapters import is_peft
from activations.anatomy import examine
from activations.batching import collate, plan_batches
from activations.integrity import ParityError, refuse_train_mode
from activations.job import TOKEN_BUDGET
from activations.models import LoadedModel
from activations.selection import SELECTIONS
from activations.tokens import encode_rows

CHUNK = 256  # response tokens whose logits are held at once: the vocabulary is wide


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseLikelihood:
    """Per row, in the order given; natural logarithms, averaged over the response's tokens."""

    row_ids: list[str]
    log_prob: Float[np.ndarray, "row"]
    """Mean log-probability of each response token given everything before it (nats per token, <= 0)."""
    entropy: Float[np.ndarray, "row"]
    """Mean entropy of the predictive distribution at these tokens (nats)."""


@torch.inference_mode()
def response_likelihood(
    model: LoadedModel, rows: Iterable[Any], *, token_budget: int | None = None
) -> ResponseLikelihood:
    """Mean log-probability and entropy of every row's response under the model.

    Args:
        model: from `load_model`.
        rows: as for `extract`.
        token_budget: padded tokens per batch.

    Raises:
        RowError: a row is invalid, has no prompt token, or has an empty response.

    >>> from activations.testing import tiny_model
    >>> found = response_likelihood(tiny_model(), [{"id": "a", "prompt": "Hi", "response": "yo"}])
    >>> found.log_prob.shape, bool(found.log_prob[0] < 0 < found.entropy[0])
    ((1,), True)
    """
    anatomy = examine(model)
    encoded = encode_rows(rows, model.tokenizer, max_len=anatomy.max_len, vocabulary=anatomy.vocabulary)
    selected = [kept - 1 for kept in SELECTIONS["response_mean"].select(encoded)]  # predicted from one before
    SELECTIONS["prompt_last"].select(encoded)  # the first response token needs a token before it
    causal = model.model.get_base_model() if is_peft(model.model) else model.model
    refuse_train_mode(causal)
    trunk = causal.base_model
    device = next(trunk.parameters()).device
    check_head(causal, encoded[0].ids)
    budget = token_budget or TOKEN_BUDGET.get(device.type, TOKEN_BUDGET["cpu"])
    found = np.zeros((2, len(encoded)))
    for places in plan_batches([len(row) for row in encoded], budget, anatomy.long_from):
        batch = collate([encoded[i].ids for i in places], [selected[i] for i in places]).to(device)
        mask = {} if anatomy.padding == "right, no mask" else {"attention_mask": batch.mask.long()}
        hidden = trunk(input_ids=batch.ids, use_cache=False, **mask).last_hidden_state.flatten(0, 1)
        kept, targets = batch.kept.flat, batch.ids.flatten()[batch.kept.flat + 1]
        scores = torch.cat(
            [
                torch.stack(token_scores(head_logits(causal, hidden[at]), ids))
                for at, ids in zip(kept.split(CHUNK), targets.split(CHUNK), strict=True)
            ],
            dim=1,
        )
        sums = scores.new_zeros(2, len(places)).index_add_(1, batch.kept.owner, scores)
        found[:, places] = (sums / batch.kept.counts).cpu().numpy()
    return ResponseLikelihood(row_ids=[row.id for row in encoded], log_prob=found[0], entropy=found[1])


def token_scores(
    logits: Float[Tensor, "*token vocabulary"], ids: Int[Tensor, "*token"]
) -> tuple[Float[Tensor, "*token"], Float[Tensor, "*token"]]:
    """Log-probability of each token and entropy of its prediction (nats), in float32; gradients flow.

    Args:
        logits: the model's own (see `head_logits`); minus infinity rules a token out.
        ids: the token that was written where `logits` predict it: position `t` of `ids` is read from
            `logits` at position `t`, so shift them before.

    >>> log_prob, entropy = token_scores(torch.zeros(1, 4), torch.tensor([2]))
    >>> round(log_prob.exp().item(), 4), round(entropy.exp().item(), 4)
    (0.25, 4.0)
    """
    log_probs = logits.float().log_softmax(-1)
    chosen = log_probs.gather(-1, ids[..., None])[..., 0]
    finite = log_probs.clamp_min(torch.finfo(log_probs.dtype).min)  # 0 times minus infinity is not a number
    return chosen, -(log_probs.exp() * finite).sum(-1)


def token_log_prob(
    logits: Float[Tensor, "*token vocabulary"], ids: Int[Tensor, "*token"]
) -> Float[Tensor, "*token"]:
    """The log-probabilities of `token_scores` without the entropies, which a loss need not pay for.

    >>> round(token_log_prob(torch.zeros(1, 4), torch.tensor([2])).exp().item(), 4)
    0.25
    """
    return logits.float().log_softmax(-1).gather(-1, ids[..., None])[..., 0]


def head_logits(causal: Any, hidden: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token vocabulary"]:
    """The logits a transformers causal LM makes of its trunk's last hidden states, in float32.

    Projecting only the tokens that are wanted saves the vocabulary's width everywhere else. What models do
    to their logits after the head is followed (soft caps of Gemma 2, scales of Cohere and Granite);
    `check_head` says whether that was all.
    """
    logits, config = causal.get_output_embeddings()(hidden).float(), causal.config.get_text_config()
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return logits


@torch.no_grad()
def check_head(causal: Any, ids: Int[np.ndarray, "position"]) -> None:
    """Make sure that `head_logits` gives this model's own logits.

    Raises:
        ParityError: the model does something to its logits that this file does not follow.
    """
    trunk = causal.base_model
    row = torch.as_tensor(np.asarray(ids)).long()[None].to(next(trunk.parameters()).device)
    expected = causal(row, use_cache=False).logits[0, -1:].float().log_softmax(-1)
    hidden = trunk(input_ids=row, use_cache=False).last_hidden_state[0, -1:]
    got = head_logits(causal, hidden).log_softmax(-1)
    if not torch.allclose(got, expected, rtol=0.02, atol=0.05):
        raise ParityError(
            f"{type(causal).__name__} changes its logits after the head, so likelihoods would be wrong: "
            "report the architecture."
        )
