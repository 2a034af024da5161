"""Likelihood baselines equal the loss transformers reports, row by row."""

import numpy as np
import pytest
import torch

from activations import ParityError, RowError, response_likelihood
from activations.likelihood import check_head, head_logits, token_scores
from activations.testing import tiny_model
from activations.tokens import encode_rows


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "qwen3_moe", "bloom"])
def test_log_prob_is_minus_transformers_loss_and_entropy_that_of_its_logits(models, rows, name):
    model = models(name)
    found = response_likelihood(model, rows, token_budget=60)
    for i, row in enumerate(encode_rows(rows, model.tokenizer)):
        ids = torch.from_numpy(row.ids).long()[None]
        labels = ids.clone()
        labels[:, : row.prompt_len] = -100
        with torch.inference_mode():
            out = model.model(ids, labels=labels)
        np.testing.assert_allclose(found.log_prob[i], -out.loss.item(), rtol=1e-4)
        logits = out.logits[0, row.prompt_len - 1 : -1].double()
        entropy = torch.distributions.Categorical(logits=logits).entropy().mean().item()
        np.testing.assert_allclose(found.entropy[i], entropy, rtol=1e-4)
    assert found.row_ids == [row["id"] for row in rows]


def test_chunks_of_logits_change_nothing(models, rows, monkeypatch):
    whole = response_likelihood(models("llama"), rows)
    monkeypatch.setattr("activations.likelihood.CHUNK", 3)
    np.testing.assert_allclose(response_likelihood(models("llama"), rows).log_prob, whole.log_prob, rtol=1e-5)


def test_an_empty_response_has_no_likelihood(models):
    with pytest.raises(RowError, match="'e'"):
        response_likelihood(models("llama"), [{"id": "e", "prompt": "x", "response": ""}])


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_scores_of_tokens_are_those_of_torchs_categorical(shape):
    logits = torch.randn(*shape, 7)
    ids = torch.randint(7, shape)
    log_prob, entropy = token_scores(logits, ids)
    reference = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(log_prob, reference.log_prob(ids))
    torch.testing.assert_close(entropy, reference.entropy())


def test_ruled_out_tokens_leave_scores_and_gradients_finite():
    logits = torch.tensor([[0.0, 1.0, -torch.inf]], requires_grad=True)
    log_prob, entropy = token_scores(logits, torch.tensor([1]))
    (log_prob + entropy).sum().backward()
    assert torch.isfinite(entropy).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gemma2", {"final_logit_softcapping": 0.5}),
        ("cohere", {"logit_scale": 0.1}),
        ("granite", {"logits_scaling": 8.0}),
        ("llama", {}),
    ],
)
def test_logits_of_hidden_states_are_the_models_own(name, changes):
    causal = tiny_model(name, **changes).model
    ids = torch.arange(9)[None]
    with torch.inference_mode():
        hidden = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
        torch.testing.assert_close(head_logits(causal, hidden), causal(ids).logits, rtol=1e-4, atol=1e-4)
    check_head(causal, np.arange(9))


def test_a_head_that_is_not_followed_is_refused():
    causal = tiny_model().model

    def shift(module, args, output):
        output.logits = output.logits * 3
        return output

    causal.register_forward_hook(shift)
    with pytest.raises(ParityError, match="changes its logits"):
        check_head(causal, np.arange(9))
