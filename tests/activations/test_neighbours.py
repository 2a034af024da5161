"""What a row gives does not depend on the rows beside it, checked on the real rows in their real batches."""

import numpy as np
import pytest

from activations import ParityError, extract, load_model
from activations.batching import plan_batches
from activations.integrity import Gate
from activations.likelihood import response_likelihood
from activations.testing import tiny_model

ROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.0],
    "long_factor": [4.0, 16.0],
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 1e4,
}


def long_rope():
    return tiny_model(
        "phi3", max_position_embeddings=256, original_max_position_embeddings=64, rope_parameters=ROPE
    )


ROWS = [{"id": f"s{i}", "prompt": "abcd " * (2 + i), "response": "efgh" * 2} for i in range(5)]
ROWS += [{"id": f"l{i}", "prompt": "x" * (60 + 9 * i), "response": "y" * 40} for i in range(5)]


@pytest.mark.parametrize("share", [False, "auto"])
@pytest.mark.parametrize("budget", [1, 200, 10_000])
def test_a_row_gives_the_same_beside_rows_of_any_length(budget, share):
    model, options = long_rope(), {"tokens": "response_last", "layers": 2, "progress": False}
    alone = [extract(model, [row], **options).array(2)[0] for row in ROWS]
    both = extract(model, ROWS, token_budget=budget, share_prefixes=share, **options)
    np.testing.assert_allclose(both.array(2), alone, rtol=1e-3, atol=1e-4)
    likely = response_likelihood(model, ROWS, token_budget=budget).log_prob
    single = [response_likelihood(model, [row]).log_prob[0] for row in ROWS]
    np.testing.assert_allclose(likely, single, rtol=1e-4)


def test_long_rows_never_meet_short_ones():
    batches = plan_batches([10, 64, 65, 100, 30], 10_000, long_from=64)
    assert batches == [[3, 2], [1, 4, 0]]


def test_a_quantity_that_depends_on_real_long_rows_is_refused_naming_the_row():
    model, rows = tiny_model(), [*ROWS[:1], *ROWS[-1:]]

    class Attention(type(model.model.model.layers[0].self_attn)):
        def forward(self, hidden_states, *args, **options):  # what LongRoPE does, unknown to the planner
            return super().forward(
                hidden_states * (2 if hidden_states.shape[1] > 80 else 1), *args, **options
            )

    for layer in model.model.model.layers:
        layer.self_attn.__class__ = Attention
    with pytest.raises(ParityError, match=r"Row 's0'.*depends on the rows beside it.*token_budget=1"):
        extract(model, rows, layers=2, progress=False)
    extract(model, rows, layers=2, progress=False, token_budget=1)


def test_the_gate_is_paid_once_per_model_and_number_type(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))
    folder, asked, check = tmp_path / "m", [], Gate.check
    model = tiny_model()
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    monkeypatch.setattr(Gate, "check", lambda *a: asked.append(1) or check(*a))
    first = extract(load_model(folder, dtype="float32"), ROWS[:3], share_prefixes=False, progress=False)
    second = extract(load_model(folder, dtype="float32"), ROWS[3:], share_prefixes=False, progress=False)
    assert len(asked) == 1
    assert second.manifest["integrity"] == first.manifest["integrity"]
    extract(load_model(folder, dtype="float16"), ROWS[3:], progress=False)
    assert len(asked) == 2


@pytest.mark.parametrize("sites", [["attn_out"], ["resid_mid"], ["resid_pre", "attn_out", "resid_mid"]])
def test_sites_of_a_post_norm_block_are_refused(sites):
    from activations import SiteError

    model = tiny_model("opt", ffn_dim=32, word_embed_proj_dim=16, do_layer_norm_before=False)
    with pytest.raises(SiteError, match="sites add up"):
        extract(model, ROWS, sites=sites, tokens="response_last", progress=False)


def test_sites_are_summed_on_every_backend():
    pytest.importorskip("transformer_lens", reason="TransformerLens is an optional extra")
    acts = extract(
        tiny_model(), ROWS, sites=["attn_out"], layers=[1], backend="transformer_lens", progress=False
    )
    assert "sites add up" in {check["name"] for check in acts.manifest["integrity"]["checks"]}
