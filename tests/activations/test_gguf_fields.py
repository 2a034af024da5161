"""A converted GGUF file computes what the file says, or the file is refused naming what would be lost."""

import pytest
import torch
from gguf_files import write_gguf

from activations import WeightsError, load_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))


LOST = {
    "yarn": (lambda w: w.add_string("llama.rope.scaling.type", "yarn"), "rope.scaling.type = 'yarn'"),
    "attention scale": (lambda w: w.add_float32("llama.attention.scale", 0.5), "attention.scale = 0.5"),
    "logit scale": (lambda w: w.add_float32("llama.logit_scale", 0.25), "logit_scale = 0.25"),
    "embedding scale": (lambda w: w.add_float32("llama.embedding_scale", 12.0), "embedding_scale = 12.0"),
    "residual scale": (lambda w: w.add_float32("llama.residual_scale", 0.2), "residual_scale"),
    "soft cap": (
        lambda w: w.add_float32("llama.attn_logit_softcapping", 50.0),
        "attn_logit_softcapping = 50.0",
    ),
    "window": (lambda w: w.add_uint32("llama.attention.sliding_window", 16), "attention.sliding_window = 16"),
    "clamp": (lambda w: w.add_float32("llama.attention.clamp_kqv", 8.0), "attention.clamp_kqv = 8.0"),
    "unheard of": (
        lambda w: w.add_float32("llama.attention.tempo", 2.0),
        "attention.tempo = 2.0 .unknown here",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_what_a_conversion_would_lose_is_refused_by_name(tmp_path, name):
    add, message = LOST[name]
    file = write_gguf(tmp_path / "tiny.gguf", add)
    with pytest.raises(WeightsError, match=message):
        load_model(file, dtype="float32").model  # noqa: B018
    assert not list((tmp_path / "cache" / "models").glob("*/source.json"))


@pytest.mark.parametrize(
    "add",
    [
        lambda w: w.add_string("llama.rope.scaling.type", "none"),
        lambda w: w.add_float32("llama.rope.scaling.factor", 1.0),
        lambda w: w.add_float32("llama.logit_scale", 1.0),
        lambda w: w.add_uint32("llama.attention.key_length", 8),
    ],
)
def test_fields_that_change_nothing_are_no_reason_to_refuse(tmp_path, add):
    assert load_model(write_gguf(tmp_path / "tiny.gguf", add), dtype="float32").model is not None


def test_linear_rope_scaling_is_carried(tmp_path):
    def scaled(writer):
        writer.add_string("llama.rope.scaling.type", "linear")
        writer.add_float32("llama.rope.scaling.factor", 4.0)

    plain = load_model(write_gguf(tmp_path / "plain.gguf"), dtype="float32").model
    model = load_model(write_gguf(tmp_path / "scaled.gguf", scaled), dtype="float32").model
    assert model.config.rope_parameters["factor"] == 4.0
    torch.testing.assert_close(model.model.rotary_emb.inv_freq * 4, plain.model.rotary_emb.inv_freq)


def test_a_tensor_without_a_place_is_refused_by_name(tmp_path):
    import numpy as np

    factors = np.full(4, 8.0, dtype=np.float32)
    file = write_gguf(tmp_path / "t.gguf", lambda w: w.add_tensor("rope_freqs.weight", factors))
    with pytest.raises(WeightsError, match=r"tensor rope_freqs\.weight"):
        load_model(file, dtype="float32").model  # noqa: B018
