"""How likely a model finds its responses: two numbers per row that a probe has to beat.

If a detector of misleading answers only sees that they are surprising or uncertain, the mean log-probability
or the entropy of the response does as well; both serve as control baselines.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from activations.anatomy import examine
from activations.batching import collate, plan_batches
from activations.integrity import ParityError
from activations.job import TOKEN_BUDGET
from activations.models import LoadedModel
from activations.tokens import SELECTIONS, encode_rows

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
    encoded = encode_rows(rows, model.tokenizer, max_len=anatomy.max_len)
    selected = [kept - 1 for kept in SELECTIONS["response_mean"].select(encoded)]  # predicted from one before
    SELECTIONS["prompt_last"].select(encoded)  # the first response token needs a token before it
    causal = model.model.get_base_model() if model.adapter and not model.merge else model.model
    trunk, head = causal.base_model, causal.get_output_embeddings()
    device = next(trunk.parameters()).device
    _check_head(causal, trunk, head, encoded[0].ids, device)
    budget = token_budget or TOKEN_BUDGET.get(device.type, TOKEN_BUDGET["cpu"])
    found = np.zeros((2, len(encoded)))
    for places in plan_batches([len(row) for row in encoded], budget):
        batch = collate([encoded[i].ids for i in places], [selected[i] for i in places]).to(device)
        mask = {} if anatomy.padding == "right, no mask" else {"attention_mask": batch.mask.long()}
        hidden = trunk(input_ids=batch.ids, use_cache=False, **mask).last_hidden_state.flatten(0, 1)
        kept, targets = batch.kept.flat, batch.ids.flatten()[batch.kept.flat + 1]
        scores = torch.cat(
            [
                _score(
                    head(hidden[kept[start : start + CHUNK]]), targets[start : start + CHUNK], causal.config
                )
                for start in range(0, len(kept), CHUNK)
            ],
            dim=1,
        )
        sums = scores.new_zeros(2, len(places)).index_add_(1, batch.kept.owner, scores)
        found[:, places] = (sums / batch.kept.counts).cpu().numpy()
    return ResponseLikelihood(row_ids=[row.id for row in encoded], log_prob=found[0], entropy=found[1])


def _check_head(causal: Any, trunk: Any, head: Any, ids: Any, device: torch.device) -> None:
    """Some models scale or shift their logits outside the head: refuse those this file does not follow."""
    row = torch.from_numpy(ids).long()[None].to(device)
    expected = causal(row, use_cache=False).logits[0, -1:].float().log_softmax(-1)
    hidden = trunk(input_ids=row, use_cache=False).last_hidden_state[0, -1:]
    got = _logits(head(hidden), causal.config).log_softmax(-1)
    if not torch.allclose(got, expected, rtol=0.02, atol=0.05):
        raise ParityError(
            f"{type(causal).__name__} changes its logits after the head, so likelihoods would be wrong: "
            "report the architecture."
        )


def _logits(raw: Tensor, config: Any) -> Float[Tensor, "token vocabulary"]:
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2 applies it outside its head
    return cap * torch.tanh(raw.float() / cap) if cap else raw.float()


def _score(logits: Tensor, targets: Tensor, config: Any) -> Float[Tensor, "2 token"]:
    """Log-probability of the target and entropy, per token."""
    log_probs = _logits(logits, config).log_softmax(-1)
    chosen = log_probs.gather(-1, targets[:, None])[:, 0]
    return torch.stack([chosen, -(log_probs.exp() * log_probs).sum(-1)])
