"""Ids are those of the text as written: nothing added, nothing doubled, the same on any day."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_families import TOKENIZERS, sentencepiece, with_rule

from activations import RowError, extract
from activations.testing import tiny_model, tiny_tokenizer
from activations.tokens import encode, encode_pairs, encode_prompt, encode_rows

# no "<": a special token that the text has stays
texts = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=8)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(texts, texts)
@settings(max_examples=25, deadline=None)
def test_no_token_stands_between_prompt_and_response_and_none_is_doubled(name, prompt, response):
    tokenizer = TOKENIZERS[name]()
    found = encode(f"Q{prompt}", f"R{response}", tokenizer)
    special = [i for i in found.ids if i in tokenizer.all_special_ids and i != tokenizer.unk_token_id]
    ruled = tokenizer("Q").input_ids[:1]
    assert special == [
        i for i in ruled if i in tokenizer.all_special_ids and i != tokenizer.eos_token_id
    ] or (name == "BOS is EOS" and special == [257])
    tail = tokenizer.decode(found.ids[found.prompt_len :])
    if tokenizer.unk_token_id not in found.ids:
        assert tail == f"R{response}"
    assert found.ids[: found.prompt_len] == encode_prompt(f"Q{prompt}", tokenizer)


def test_a_bos_that_the_text_has_is_not_written_again_also_where_it_is_the_eos():
    tokenizer = with_rule("</s> $A", bos_token="</s>")
    assert encode_prompt("</s>A", tokenizer) == encode_prompt("A", tokenizer) == [257, 32]
    assert encode_prompt("</s></s>A", tiny_tokenizer(bos=False)) == [257, 257, 32]  # as written


def test_sentencepiece_invents_no_space_where_the_response_begins():
    tokenizer = sentencepiece()

    def pieces(prompt, response):
        found = encode(prompt, response, tokenizer)
        return tokenizer.convert_ids_to_tokens(found.ids[found.prompt_len :])

    assert pieces("Q: x?\nA:", "Yes") == ["Yes"]
    assert pieces("Q: x?\nA:", " Yes") == ["▁Yes"]
    assert pieces("", "Yes") == ["▁Yes"]  # nothing precedes it: this is how the tokenizer begins a text
    assert pieces("A:", "\nYes") == ["<0x0A>", "Yes"]
    found = encode("A:", "Yes?", tokenizer)
    assert found.offsets.tolist() == [[0, 3], [3, 4]]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_many_pairs_are_encoded_as_one_by_one(name):
    tokenizer = TOKENIZERS[name]()
    pairs = [("Who?", " Me."), ("", "x"), ("Why?", ""), ("Yes", "Yes\n"), ("A", "\n\nb")]
    for pair, found in zip(pairs, encode_pairs(pairs, tokenizer), strict=True):
        alone = encode(*pair, tokenizer)
        assert (found.ids, found.prompt_len) == (alone.ids, alone.prompt_len)


def test_a_template_that_writes_the_date_gives_the_same_ids_on_any_day(monkeypatch):
    from transformers.utils import chat_template_utils

    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    prompt = [{"role": "user", "content": "hi"}]
    today = encode_prompt(prompt, tokenizer)

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 1, 2, tzinfo=tz)

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow, raising=False)
    chat_template_utils._compile_jinja_template.cache_clear()
    assert encode_prompt(prompt, tokenizer) == today
    assert tokenizer.decode(today) == "26 Jul 2024hi"


def test_a_date_that_cannot_be_fixed_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% set f = '%d' %}{{ strftime_now(f) }}"
    with pytest.raises(RowError, match="other ids tomorrow"):
        encode_prompt([{"role": "user", "content": "hi"}], tokenizer)


def test_groups_are_what_they_mean_zero_included():
    rows = [
        {"id": i, "group": g, "prompt": "p", "response": "r"}
        for i, g in enumerate([0, 0.0, np.int64(0), "0"])
    ]
    assert [row.group for row in encode_rows(rows, tiny_tokenizer())] == ["0"] * 4
    assert encode_rows(rows, tiny_tokenizer())[0].id == "0"
    bare = [
        {"id": 7, "prompt": "p", "response": "r"},
        {"id": 8.0, "group": "", "prompt": "p", "response": "r"},
    ]
    assert [row.group for row in encode_rows(bare, tiny_tokenizer())] == ["7", "8"]


@pytest.mark.parametrize("missing", [float("nan"), np.nan, pd.NA, pd.NaT])
def test_missing_groups_are_refused_by_row_and_never_one_group(missing):
    rows = [{"id": i, "group": missing, "prompt": "p", "response": "r"} for i in "ab"]
    with pytest.raises(RowError, match=r"'a': group is missing"):
        encode_rows(rows, tiny_tokenizer())


def test_arrays_of_numpy_and_pandas_are_messages_and_layers():
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    rows = [{"id": "a", "prompt": np.array(messages), "response": np.str_("x")}]
    plain = [{"id": "a", "prompt": messages, "response": "x"}]
    model = tiny_model()
    acts = extract(model, rows, layers=np.arange(2), progress=False)
    assert acts.key == extract(model, plain, layers=[0, 1], progress=False).key
    assert (
        extract(model, pd.DataFrame(rows).to_dict("records"), layers=[0, 1], progress=False).key == acts.key
    )
    assert extract(model, plain, layers=np.int64(1), progress=False).layers == (1,)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([{"role": "user"}], "no message"),
        ([{"role": "x", "content": "stop"}], "refuses these messages"),
        (["hi"], "no message"),
        (3, "int"),
        ({"role": "user", "content": "hi"}, "dict"),
        ([], "refuses these messages"),
        ([{"role": "user", "content": ""}], "to nothing"),
    ],
)
def test_an_error_in_a_row_names_the_row(prompt, message):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'x' %}{{ raise_exception('no x') }}{% endif %}"
        "{{ m['content'] }}{% endfor %}"
    )
    rows = [{"id": "good", "prompt": "p", "response": "r"}, {"id": "bad", "prompt": prompt, "response": "r"}]
    with pytest.raises(RowError, match=rf"'bad'.*{message}"):
        encode_rows(rows, tokenizer)


def test_a_bare_statement_is_a_row_for_its_last_token_and_refused_for_its_response():
    rows = [{"id": "a", "prompt": "Paris is in France."}, {"id": "b", "prompt": "x", "response": None}]
    acts = extract(tiny_model(), rows, tokens="last", layers=1, progress=False)
    spoken = [{**row, "response": ""} for row in rows]
    assert acts.key == extract(tiny_model(), spoken, tokens="prompt_last", layers=1, progress=False).key
    with pytest.raises(RowError, match=r"'a'\) lacks response.*tokens='last'"):
        extract(tiny_model(), rows, tokens="response_mean", progress=False)
    both = [{"id": "c", "prompt": "x", "response": "yz"}]
    assert acts.d_model == 16
    one = extract(tiny_model(), both, tokens="last", layers=1, progress=False)
    assert one.key == extract(tiny_model(), both, tokens="response_last", layers=1, progress=False).key
