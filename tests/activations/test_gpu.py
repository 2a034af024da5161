"""What is read on a GPU is what is read on the CPU. Off by default; `make test-gpu` runs it."""

import numpy as np
import pytest
import torch

from activations import extract, load_model, response_likelihood
from activations.testing import tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    model = tiny_model()
    model.model.save_pretrained(path)
    model.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def both(folder):
    """The same weights on the GPU (the default where there is one) and on the CPU."""
    gpu, cpu = load_model(folder, dtype="float32"), load_model(folder, dtype="float32", device="cpu")
    assert gpu.model.device.type == "cuda"
    assert cpu.model.device.type == "cpu"
    return gpu, cpu


@pytest.mark.parametrize("tokens", ["prompt_last", "response_last", "response_mean", "response_max"])
def test_pooled_activations_equal_those_of_the_cpu(both, rows, tokens):
    gpu, cpu = (extract(model, rows, tokens=tokens, progress=False) for model in both)
    torch.testing.assert_close(gpu.tensor(), cpu.tensor(), rtol=1e-3, atol=1e-4)


def test_every_token_equals_that_of_the_cpu(both, rows):
    (gpu, offsets), (cpu, same) = (
        extract(model, rows, tokens="response_all", layers=[1], progress=False).ragged_array(1)
        for model in both
    )
    np.testing.assert_array_equal(offsets, same)
    np.testing.assert_allclose(gpu, cpu, rtol=1e-3, atol=1e-4)


def test_batch_plan_changes_nothing_and_a_second_reading_is_the_same_to_the_bit(both, rows):
    gpu = both[0]
    once, again = (extract(gpu, rows, progress=False).tensor() for _ in range(2))
    assert torch.equal(once, again)
    for budget in (1, 40):
        split = extract(gpu, rows, token_budget=budget, progress=False)
        torch.testing.assert_close(split.tensor(), once, rtol=1e-3, atol=1e-4)


def test_bfloat16_with_prefix_sharing_is_close_to_float32(both, folder):
    passage = "Once upon a time there was a house by the sea. " * 3
    rows = [
        {"id": f"{i}", "group": "g", "prompt": f"{passage}Question {i}?", "response": f"No {i}."}
        for i in range(6)
    ]
    rough = extract(
        load_model(folder, dtype="bfloat16"), rows, share_prefixes=True, strict=False, progress=False
    )
    exact = extract(both[0], rows, progress=False)
    apart = (rough.tensor().float() - exact.tensor()).norm(dim=-1) / exact.tensor().norm(dim=-1)
    assert apart.max() < 0.1


def test_likelihood_equals_that_of_the_cpu(both, rows):
    gpu, cpu = (response_likelihood(model, rows) for model in both)
    np.testing.assert_allclose(gpu.log_prob, cpu.log_prob, rtol=1e-3)
    np.testing.assert_allclose(gpu.entropy, cpu.entropy, rtol=1e-3)
