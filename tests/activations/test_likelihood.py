"""Likelihood baselines equal the loss transformers reports, row by row."""

import numpy as np
import pytest
import torch

from activations import RowError, response_likelihood
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
