"""The TransformerLens backend reads the same numbers through another library, and refuses what it cannot."""

import numpy as np
import pytest
import torch

from activations import SiteError, extract
from activations.testing import tiny_model

pytest.importorskip("transformer_lens", reason="TransformerLens is an optional extra")

SHARED = ["embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"]
LENS = {"backend": "transformer_lens", "progress": False}


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("llama", "response_last"),
        *((n, "response_mean") for n in ["llama", "gpt2", "qwen2", "gemma2", "olmo2", "gpt_neox"]),
    ],
)
def test_shared_sites_equal_the_default_backend(models, rows, name, tokens):
    model = models(name)
    sites = [s for s in SHARED if name != "gpt_neox" or s != "resid_mid"]
    ours = extract(model, rows, sites=sites, tokens=tokens, progress=False)
    theirs = extract(model, rows, sites=sites, tokens=tokens, **LENS)
    assert theirs.key != ours.key
    assert theirs.row_ids == ours.row_ids
    for site in sites:
        torch.testing.assert_close(theirs.tensor(site), ours.tensor(site), rtol=1e-3, atol=1e-4)


def test_stopping_early_changes_nothing(models, rows):
    early = extract(models("llama"), rows, layers=[0], **LENS)
    late = extract(models("llama"), rows, layers=[0, 2], **LENS)
    np.testing.assert_allclose(early.array(0), late.array(0), rtol=1e-5, atol=1e-6)


def test_any_hook_point_can_be_read(models, rows):
    acts = extract(models("llama"), rows, sites="blocks.{layer}.attn.q.hook_out", layers=[0, 2], **LENS)
    assert acts.array(2, "blocks.{layer}.attn.q.hook_out").shape == (5, 16)  # 4 heads of 4, flat
    final = extract(models("llama"), rows, sites=["ln_final.hook_out"], tokens="response_last", **LENS)
    with torch.inference_mode():
        row = models("llama").tokenizer("One token").input_ids + models("llama").tokenizer("x").input_ids[1:]
        normed = models("llama").model.model(torch.tensor([row])).last_hidden_state[0, -1]
    np.testing.assert_allclose(final.array(0, "ln_final.hook_out")[3], normed.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        ("blocks.{layer}.hook_nonsense", "no hook"),
        ("blocks.{layer}.attn.hook_pattern", "no vector per token"),
        ("blocks.{layer}.hook_mlp_in", "use_hook_mlp_in"),
        (["resid_post", "blocks.{layer}.mlp.in.hook_out"], "widths"),
    ],
)
def test_hooks_that_cannot_be_read_are_refused(models, rows, site, reason):
    with pytest.raises(SiteError, match=reason):
        extract(models("llama"), rows, sites=site, **LENS)


def test_the_callers_model_and_tokenizer_are_left_alone(rows):
    model = tiny_model()
    before = model.model(torch.arange(5)[None]).logits
    names = [name for name, _ in model.model.named_modules()]
    special, attention = dict(model.tokenizer.special_tokens_map), model.model.config._attn_implementation
    extract(model, rows, **LENS)
    assert [name for name, _ in model.model.named_modules()] == names
    assert torch.equal(model.model(torch.arange(5)[None]).logits, before)
    assert model.tokenizer.special_tokens_map == special
    assert model.model.config._attn_implementation == attention


def test_disagreeing_backends_are_refused(rows, monkeypatch):
    import activations.transformer_lens as lens
    from activations import ParityError

    monkeypatch.setattr(lens, "HOOKS", {**lens.HOOKS, "resid_post": ("blocks.{layer}.mlp.hook_out",)})
    with pytest.raises(ParityError, match="backend == hf"):
        extract(tiny_model(), rows, **LENS)
