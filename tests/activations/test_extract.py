"""What `extract` returns is what the model computes on each row alone, however rows are given to it."""

import numpy as np
import pytest
import torch

from activations import RowError, SiteError, TokenSelection, extract
from activations.testing import tiny_model, tiny_tokenizer
from activations.tokens import encode_rows

POOLED = ("prompt_last", "response_last", "response_mean", "response_max")


def expected(model, rows, tokens, layer):
    """The same by transformers: one row at a time, `output_hidden_states`."""
    out = []
    for row in encode_rows(rows, model.tokenizer):
        ids = torch.from_numpy(row.ids).long()[None]
        with torch.inference_mode():
            states = model.model(ids, output_hidden_states=True).hidden_states[layer + 1][0]
        response = states[row.prompt_len :]
        out.append(
            {
                "prompt_last": states[row.prompt_len - 1],
                "response_last": response[-1],
                "response_mean": response.mean(0),
                "response_max": response.amax(0),
            }[tokens].numpy()
        )
    return np.stack(out)


@pytest.mark.parametrize("tokens", POOLED)
def test_extracted_equals_transformers_row_by_row(models, rows, tokens):
    model = models("llama")
    acts = extract(model, rows, tokens=tokens, progress=False)
    for layer in (0, 1):
        np.testing.assert_allclose(
            acts.array(layer), expected(model, rows, tokens, layer), rtol=2e-4, atol=2e-5
        )
    assert acts.row_ids == [row["id"] for row in rows]
    assert acts.tensor().shape == (3, len(rows), 16)
    assert torch.equal(acts.tensor()[1], torch.from_numpy(acts.array(1)))


def test_every_architecture_is_read_in_batches_as_alone(any_model, rows):
    acts = extract(any_model, rows, tokens="response_last", progress=False)
    for layer in (0, 1):
        np.testing.assert_allclose(
            acts.array(layer), expected(any_model, rows, "response_last", layer), rtol=2e-4, atol=2e-5
        )


def test_batch_plan_and_row_order_do_not_change_rows(models, rows):
    model = models("llama")
    whole = extract(model, rows, progress=False)
    for budget in (1, 40, 10_000):
        other = extract(model, rows[::-1], token_budget=budget, progress=False)
        assert other.row_ids == whole.row_ids[::-1]
        torch.testing.assert_close(other.tensor().flip(1), whole.tensor(), rtol=1e-4, atol=1e-5)


def test_ragged_rows_hold_every_response_token(models, rows):
    model = models("llama")
    rows = [*rows, {"id": "empty", "prompt": "Nothing follows", "response": ""}]
    acts = extract(model, rows, tokens="response_all", layers=[1], progress=False, token_budget=50)
    values, offsets = acts.ragged_array(1)
    encoded = encode_rows(rows, model.tokenizer)
    assert np.diff(offsets).tolist() == [len(r) - r.prompt_len for r in encoded]
    means = extract(model, rows[:-1], layers=[1], progress=False).array(1)
    for i in range(len(rows) - 1):
        np.testing.assert_allclose(
            values[offsets[i] : offsets[i + 1]].mean(0), means[i], rtol=1e-4, atol=1e-5
        )
        ids, positions = acts.tokens_of(i)
        assert model.tokenizer.decode(ids) == rows[i]["response"]
        assert positions[0] == encoded[i].prompt_len
    with pytest.raises(ValueError, match="ragged_array"):
        acts.array(1)


def test_pooling_an_empty_response_is_refused_by_name(models, rows):
    with pytest.raises(RowError, match="'empty'"):
        extract(models("llama"), [*rows, {"id": "empty", "prompt": "x", "response": ""}], progress=False)


def test_spans_masks_and_functions_select_the_same_tokens(models, rows):
    model = models("llama")
    encoded = {row.id: row for row in encode_rows(rows, model.tokenizer)}
    rows = [row for row in rows if len(row["response"].encode()) >= 4]
    masks = {i: np.isin(np.arange(len(row)), row.prompt_len + np.array([1, 2])) for i, row in encoded.items()}
    selections = [
        lambda row: [row.prompt_len + 1, row.prompt_len + 2],
        TokenSelection.spans({row["id"]: (1, 3) for row in rows}),
        TokenSelection.masks(masks),
    ]
    first, *others = (extract(model, rows, tokens=s, progress=False) for s in selections)
    for other in others:
        assert other.key == first.key  # the key depends on positions, not on how they were chosen
        assert torch.equal(other.tensor(), first.tensor())


def test_character_spans_cover_the_tokens_that_overlap_them(models):
    row = {"id": "a", "prompt": "P", "response": "aé漢z"}  # 1, 2, 3, 1 bytes
    acts = extract(
        models("llama"),
        [row],
        tokens=TokenSelection.spans({"a": (1, 3)}, unit="character", pool="none"),
        progress=False,
    )
    ids, _ = acts.tokens_of(0)
    assert tiny_tokenizer().decode(ids) == "é漢"


@pytest.mark.parametrize("unit", ["token", "character"])
@pytest.mark.parametrize("span", [(-1, 2), (0, 99), (2, 2), (3, 1)])
def test_spans_outside_the_response_are_refused(models, rows, span, unit):
    selection = TokenSelection.spans({"short": span}, unit=unit)
    with pytest.raises(RowError, match=r"'short'.*inside its response of 4"):
        extract(models("llama"), rows[:1], tokens=selection, progress=False)


@pytest.mark.parametrize("selection", [TokenSelection.spans({}), TokenSelection.masks({"short": [True]})])
def test_missing_spans_and_masks_of_another_length_are_refused_by_row(models, rows, selection):
    with pytest.raises(RowError, match=r"'short'.*(no span or mask|mask of 1 for)"):
        extract(models("llama"), rows[:1], tokens=selection, progress=False)


def test_a_tokenizer_that_changes_the_text_is_refused_at_the_first_changed_row(models, rows):
    from tokenizers import normalizers

    from activations import LoadedModel

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("well", "badly")
    model = LoadedModel.wrap(models("llama").model, tokenizer)
    with pytest.raises(RowError, match=r"'long'.*decode to 'badly,theysay\.' where its text has 'well,"):
        extract(model, rows, progress=False)


@pytest.mark.parametrize("bad", [[-1], [10_000], [2, 2], [3, 1], np.ones(3, dtype=bool), [0.5]])
def test_positions_outside_a_row_are_refused(models, rows, bad):
    with pytest.raises(RowError, match="'short'"):
        extract(models("llama"), rows[:1], tokens=lambda row: bad, progress=False)


def test_several_sites_come_from_one_pass(models, rows):
    model = models("llama")
    sites = ["embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"]
    acts = extract(model, rows, sites=sites, layers=[-1, 0], progress=False)
    assert acts.layers == (0, 2)
    np.testing.assert_array_equal(acts.array(0, "embed"), acts.array(0, "resid_pre"))
    np.testing.assert_allclose(
        acts.array(2, "resid_mid") + acts.array(2, "mlp_out"), acts.array(2), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(SiteError, match="stored are \\[0, 2\\]"):
        acts.array(1)
    with pytest.raises(SiteError, match="stored are embed"):
        acts.array(0, "logits")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([{"id": "a", "prompt": "x", "response": "y"}] * 2, "'a' occurs more than once"),
        ([{"id": "a", "prompt": "x"}], "lacks response"),
        ([{"id": "a", "prompt": "x", "response": 3}], "not a string"),
        ([{"id": "a", "prompt": "x", "response": "\ud800"}], "'a' holds half a character"),
        ([{"id": "a", "prompt": "x" * 300, "response": "y"}], "'a' with 302"),
    ],
)
def test_bad_rows_are_refused_with_the_reason(models, rows, message):
    with pytest.raises(RowError, match=message):
        extract(models("llama"), rows, progress=False)


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": "response"},
        {"backend": "jax"},
        {"engine": "slurm"},
        {"store_dtype": "int8"},
        {"token_budget": 0},
        {"share_prefixes": "maybe"},
        {"engine": "ray"},
    ],
)
def test_unknown_options_are_refused(models, rows, options):
    with pytest.raises(ValueError, match=r"use|give|pass"):
        extract(models("llama"), rows, progress=False, **options)


def test_prompts_follow_the_tokenizers_bos_rule_and_never_have_two(models):
    rows = [
        {"id": "plain", "prompt": "Hi", "response": "x"},
        {"id": "given", "prompt": "<s>Hi", "response": "x"},
        {"id": "chat", "prompt": [{"role": "user", "content": "Hi"}], "response": "x"},
    ]
    plain, given, chat = (row.ids.tolist() for row in encode_rows(rows, tiny_tokenizer()))
    assert plain == given
    assert plain.count(256) == 1
    assert 256 not in chat  # the template writes none
    text = tiny_tokenizer().decode(chat)
    assert text == "<user>Hi<assistant>x"


def test_memory_trouble_halves_the_budget_and_changes_nothing(models, rows, monkeypatch):
    from activations.capture import Reader

    model = models("llama")
    whole = extract(model, rows, progress=False)
    read, refused = Reader.read, []

    def small_memory(self, batch):
        if self.pool == "mean" and len(batch.ids) > 1:
            refused.append(len(batch.ids))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(self, batch)

    monkeypatch.setattr(Reader, "read", small_memory)
    torch.testing.assert_close(
        extract(model, rows, progress=False).tensor(), whole.tensor(), rtol=1e-4, atol=1e-5
    )
    assert refused

    def never(self, batch):
        if self.pool == "mean":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(self, batch)

    monkeypatch.setattr(Reader, "read", never)
    with pytest.raises(MemoryError, match="does not fit in memory even alone"):
        extract(model, rows, progress=False)


def test_other_runtime_errors_are_not_taken_for_memory_trouble(models, rows, monkeypatch):
    from activations.capture import Reader

    read = Reader.read

    def broken(self, batch):
        if self.pool == "mean":
            raise RuntimeError("shape mismatch")
        return read(self, batch)

    monkeypatch.setattr(Reader, "read", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        extract(models("llama"), rows, progress=False)


def test_overflow_is_refused_by_row_site_and_layer(rows):
    from activations import NonFiniteError, ParityError

    model = tiny_model()
    with torch.no_grad():
        model.model.model.layers[1].mlp.down_proj.weight.fill_(1e38)
    with pytest.raises((NonFiniteError, ParityError), match=r"layer [12]"):
        extract(model, rows, progress=False)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_values_are_stored_exactly_by_default(rows, dtype, stored):
    model = tiny_model()
    model.base.dtype = dtype
    model.model.to(getattr(torch, dtype))
    means = extract(model, rows, progress=False)
    last = extract(model, rows, tokens="response_last", progress=False)
    assert means.shards[0]().get("resid_post").dtype == torch.float32
    assert last.shards[0]().get("resid_post").dtype == stored


def test_extracted_tensors_own_their_memory_and_can_be_trained_on(models, rows):
    values = extract(models("llama"), rows, layers=[1], tokens="response_last", progress=False)
    tensor = values.tensor()
    assert tensor.untyped_storage().nbytes() == tensor.numel() * 4
    weight = torch.zeros(16, requires_grad=True)
    (tensor[0] @ weight).sum().backward()
    assert weight.grad is not None


def test_caller_is_told_the_share_that_is_done(models, rows) -> None:
    shares = []
    extract(models("llama"), rows, layers=[0], token_budget=20, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 1
