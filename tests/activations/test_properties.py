"""Whatever rows look like, the answer is the row's own activation or a clear error, never a wrong number."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activations import LoadedModel, RowError, extract
from activations.batching import collate, plan_batches
from activations.testing import tiny_model, tiny_tokenizer
from activations.tokens import encode_rows

CONTEXT = 256
POOLED_OR_LAST = ("response_last", "response_mean", "response_max")


@cache
def models():
    """One model with two tokenizers; under the second, rows may have one token."""
    model = tiny_model(num_hidden_layers=2)
    return [model, LoadedModel.wrap(model.model, tiny_tokenizer(bos=False))]


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "x", "é", "日本語", "\u202e", "\x00", "<s>", "</s>", "a" * 300, "👩‍👩‍👧"]),
)


@st.composite
def row_lists(draw):
    """Ragged rows in any order, some of them twice (under two ids)."""
    pairs = draw(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
    pairs += draw(st.lists(st.sampled_from(pairs), max_size=2))
    pairs = draw(st.permutations(pairs))
    return [{"id": f"row {i}", "prompt": p, "response": r} for i, (p, r) in enumerate(pairs)]


def must_be_refused(row, tokens, tokenizer):
    """Whether this row alone has no right answer."""
    prompt = tokenizer(row["prompt"]).input_ids
    response = tokenizer(row["response"], add_special_tokens=False).input_ids
    read = prompt if tokens == "prompt_last" else response
    nothing = not read and tokens != "response_all"
    return nothing or not 0 < len(prompt + response) <= CONTEXT


def alone(row):
    """What the first block gives for this row by itself."""
    with torch.inference_mode():
        states = (
            models()[0].model(torch.from_numpy(row.ids).long()[None], output_hidden_states=True).hidden_states
        )
    return states[1][0]


@given(
    st.deferred(lambda: st.sampled_from(models())),
    row_lists(),
    st.sampled_from(["prompt_last", "response_all", *POOLED_OR_LAST]),
    st.integers(1, 600),
    st.booleans(),
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_row_is_its_own_activation_or_refused_by_name(model, rows, tokens, budget, share):
    options = {"layers": [0], "token_budget": budget, "progress": False, "share_prefixes": share}
    wrong = [row["id"] for row in rows if must_be_refused(row, tokens, model.tokenizer)]
    if wrong:
        with pytest.raises(RowError, match="|".join(wrong)):
            extract(model, rows, tokens=tokens, **options)
        return
    acts = extract(model, rows, tokens=tokens, **options)
    encoded = encode_rows(rows, model.tokenizer)
    if tokens == "response_all":
        values, offsets = acts.ragged_array(0)
    for i, row in enumerate(encoded):
        states = alone(row)
        response = states[row.prompt_len :]
        expected = {
            "prompt_last": lambda s=states, row=row: s[row.prompt_len - 1],
            "response_last": lambda r=response: r[-1],
            "response_mean": lambda r=response: r.mean(0),
            "response_max": lambda r=response: r.amax(0),
            "response_all": lambda r=response: r,
        }[tokens]().numpy()
        got = values[offsets[i] : offsets[i + 1]] if tokens == "response_all" else acts.array(0)[i]
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 4000))
@settings(max_examples=150, deadline=None)
def test_batches_partition_rows_within_the_budget(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= budget or len(batch) == 1
        assert padded <= max(budget / 4, 1.05 * sum(lengths[i] for i in batch))
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=5), st.data())
@settings(max_examples=80, deadline=None)
def test_kept_indices_point_at_the_tokens_that_were_selected(rows, data):
    ids = [np.array(row) for row in rows]
    selected = [
        np.array(sorted(data.draw(st.sets(st.integers(0, len(row) - 1)))), dtype=np.int64) for row in rows
    ]
    batch = collate(ids, selected)
    flat = batch.ids.flatten()[batch.kept.flat].tolist()
    assert flat == [int(row[i]) for row, kept in zip(ids, selected, strict=True) for i in kept]
    assert batch.kept.counts.tolist() == [len(kept) for kept in selected]
    assert batch.mask.sum(1).tolist() == [len(row) for row in ids]
