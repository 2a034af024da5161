"""What is kept while a model writes is what it computes reading the same tokens again."""

import sys

import numpy as np
import pytest
import torch

from activations import ActivationStore, Capture, RowError, extract
from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.generate import SamplingSpec, answer

PROMPTS = ["Who?", "A much longer question, about nothing?", [{"role": "user", "content": "Why?"}], "Hm"]


def reread(loaded, capture, said, monkeypatch, **how):
    """Extract at the very tokens that were written, whatever the text would be cut into."""
    from activations import job
    from activations.tokens import EncodedRow

    rows = [capture._written[place][0] for place in sorted(capture._written)]
    monkeypatch.setattr(job, "encode_rows", lambda *_, **__: rows)
    monkeypatch.setattr(sys.modules["activations.extract"], "check_texts", lambda *_: None)
    assert all(isinstance(row, EncodedRow) for row in rows)
    return extract(loaded, rows, progress=False, share_prefixes=False, **how)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "gemma2", "qwen2"])
@pytest.mark.parametrize("tokens", ["response_mean", "response_last", "response_max", "prompt_last"])
def test_capture_equals_reading_the_same_tokens_again(architecture, tokens, monkeypatch):
    loaded = tiny_model(architecture)
    capture = Capture(loaded, tokens=tokens, sites=["resid_post", "mlp_out"])
    spec = SamplingSpec(max_new_tokens=7, batch_size=3)
    said = answer(loaded.model, loaded.tokenizer, PROMPTS, spec, progress=False, capture=capture)
    store = capture.store
    again = reread(loaded, capture, said, monkeypatch, tokens=tokens, sites=["resid_post", "mlp_out"])
    assert store.row_ids == again.row_ids
    assert (store.layers, store.sites, store.ragged) == (again.layers, again.sites, again.ragged)
    for row in range(len(store)):
        for ours, theirs in zip(store.tokens_of(row), again.tokens_of(row), strict=True):
            assert np.array_equal(ours, theirs)
    for site in store.sites:
        for layer in store.layers:
            a, b = store.array(layer, site), again.array(layer, site)
            assert np.linalg.norm(a - b, axis=1).max() <= 1e-4 * np.linalg.norm(b, axis=1).max()


def test_every_written_token_is_kept_the_last_one_too(monkeypatch):
    loaded = tiny_model()
    capture = Capture(loaded, tokens="response_all", layers=[1])
    spec = SamplingSpec(max_new_tokens=5)
    answer(loaded.model, loaded.tokenizer, PROMPTS, spec, progress=False, capture=capture)
    store = capture.store
    again = reread(loaded, capture, None, monkeypatch, tokens="response_all", layers=[1])
    (ours, offsets), (theirs, _) = store.ragged_array(1), again.ragged_array(1)
    assert np.diff(offsets).max() == 5
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_the_same_with_capture_and_without(temperature):
    loaded = tiny_model()
    spec = SamplingSpec(max_new_tokens=6, temperature=temperature, batch_size=2)
    plain = answer(loaded.model, loaded.tokenizer, PROMPTS, spec, progress=False)
    watched = answer(loaded.model, loaded.tokenizer, PROMPTS, spec, progress=False, capture=Capture(loaded))
    assert [(a.text, a.clipped) for a in watched] == [(a.text, a.clipped) for a in plain]
    assert [a.log_prob for a in watched] == pytest.approx([a.log_prob for a in plain])


def test_a_response_ends_before_its_end_token_and_empty_ones_are_left_out_by_name(caplog):
    loaded = tiny_model()
    (first,) = answer(
        loaded.model, loaded.tokenizer, ["Who?"], SamplingSpec(max_new_tokens=8), progress=False
    )
    assert first.clipped
    ids = loaded.model.generate(
        **loaded.tokenizer("Who?", return_tensors="pt"), max_new_tokens=8, do_sample=False
    )
    loaded.model.generation_config.eos_token_id = [int(ids[0, -8]), loaded.tokenizer.eos_token_id]
    capture = Capture(loaded, ids=["a", "b"])
    said = answer(
        loaded.model,
        loaded.tokenizer,
        ["Who?", "B"],
        SamplingSpec(max_new_tokens=8),
        progress=False,
        capture=capture,
    )
    assert said[0].text == ""
    assert capture.empty == ["a"]
    assert capture.store.row_ids == ["b"]
    assert "empty responses have no activations" in caplog.text


def test_hooks_are_gone_afterwards_and_nothing_is_trained():
    loaded = tiny_model()
    answer(
        loaded.model,
        loaded.tokenizer,
        ["Who?"],
        SamplingSpec(max_new_tokens=3),
        progress=False,
        capture=Capture(loaded),
    )
    hooked = [m for m in loaded.model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooked
    assert not torch.is_inference_mode_enabled()


def test_the_store_is_written_and_opens_again_without_the_model(tmp_path):
    loaded = tiny_model()
    capture = Capture(loaded, store=tmp_path, groups=["g", "g", "h", "i"])
    answer(
        loaded.model,
        loaded.tokenizer,
        PROMPTS,
        SamplingSpec(max_new_tokens=4),
        progress=False,
        capture=capture,
    )
    store = ActivationStore.open(capture.store.path, verify=True)
    assert store.groups == ["g", "g", "h", "i"]
    assert store.manifest["spec"]["backend"] == "hf, generating pass"
    assert np.array_equal(store.array(0), capture.store.array(0))


def test_an_adapted_model_is_heard_through_its_adapter():
    loaded = tiny_model()
    bare = Capture(loaded)
    answer(
        loaded.model, loaded.tokenizer, ["Who?"], SamplingSpec(max_new_tokens=3), progress=False, capture=bare
    )
    from activations import LoadedModel

    model = add_adapter(loaded.model, FineTuneSpec())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    adapted = LoadedModel.wrap(model, loaded.tokenizer)
    capture = Capture(adapted, tokens="prompt_last")
    answer(
        adapted.model,
        adapted.tokenizer,
        ["Who?"],
        SamplingSpec(max_new_tokens=3),
        progress=False,
        capture=capture,
    )
    again = extract(
        adapted, [{"id": "0", "prompt": "Who?", "response": "x"}], tokens="prompt_last", progress=False
    )
    np.testing.assert_allclose(capture.store.array(2), again.array(2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"tokens": lambda row: [0]}, RowError, "asks for more"),
        ({"ids": ["a"]}, ValueError, "1 ids for 4 prompts"),
    ],
)
def test_what_cannot_be_kept_is_refused(how, error, message):
    loaded = tiny_model()
    with pytest.raises(error, match=message):
        answer(
            loaded.model,
            loaded.tokenizer,
            PROMPTS,
            SamplingSpec(max_new_tokens=2),
            progress=False,
            capture=Capture(loaded, **how),
        )


def test_another_models_capture_is_refused():
    loaded, other = tiny_model(), tiny_model(seed=1)
    with pytest.raises(ValueError, match="listens to another model"):
        answer(loaded.model, loaded.tokenizer, ["Who?"], progress=False, capture=Capture(other))


def test_a_store_without_answers_is_refused():
    with pytest.raises(RowError, match="kept nothing"):
        _ = Capture(tiny_model()).store
