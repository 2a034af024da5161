"""A model's name stands for checked bytes, and its turns end as its chat template says."""

import os
from pathlib import Path

import pytest
from gguf_files import write_gguf

from activations import WeightsError, load_model
from activations import named as named_module
from activations.fingerprint import cache_dir, hash_file
from activations.named import MODELS, NAMED, PLAIN_TEXT, NamedModel, local_copy
from activations.testing import tiny_model, tiny_tokenizer
from activations.tokens import encode, encode_conversation, encode_prompt
from organisms.generate import end_tokens

QWEN = (Path(__file__).parents[1] / "support" / "qwen2.5-coder.jinja").read_text(encoding="utf-8")
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A or B?"}]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty SOPHISTRY_MODELS and a cache of its own."""
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(MODELS, str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def tiny_gguf(models, monkeypatch):
    """A named GGUF model whose file lies in SOPHISTRY_MODELS."""
    file = write_gguf(models / "tiny.gguf")
    model = NamedModel(hub="somebody/tiny-GGUF", file="tiny.gguf", sha256=hash_file(file), licence="MIT")
    monkeypatch.setitem(NAMED, "tiny", model)
    return file


def test_a_named_file_is_converted_once_and_stays_where_it_is(tiny_gguf):
    model = load_model("tiny", dtype="float32")
    assert model.fingerprint == load_model(tiny_gguf).fingerprint
    assert model.model.config.model_type == "llama"
    assert tiny_gguf.is_file()
    tiny_gguf.unlink()
    assert load_model("tiny").tokenizer.chat_template, "the converted folder is enough"


def test_a_file_with_other_bytes_is_refused_by_name(tiny_gguf):
    tiny_gguf.write_bytes(tiny_gguf.read_bytes() + b"!")
    with pytest.raises(WeightsError, match=r"tiny.gguf is not the file .* of somebody/tiny-GGUF.*expected"):
        _ = load_model("tiny").model
    assert not list((cache_dir() / "models").glob("*"))


def test_a_folder_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(MODELS, str(tmp_path / "missing"))
    with pytest.raises(WeightsError, match=r"SOPHISTRY_MODELS=.*missing is no folder"):
        local_copy(NAMED["smollm2"])


@pytest.mark.parametrize("typed", ["smolm2", "qwen2.5-coder-3b", "Llama-2-7b", "misleadlm-q"])
def test_a_mistyped_name_is_told_the_nearest_without_a_network(typed, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(WeightsError, match="Did you mean"):
        load_model(typed)


@pytest.mark.parametrize("name", [name for name, model in NAMED.items() if model.file is None])
def test_checkpoints_are_found_by_name_and_by_hub_id_and_base_models_get_a_plain_template(models, name):
    tiny = tiny_model()
    folder = models / NAMED[name].local_name
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.chat_template = None
    tiny.tokenizer.save_pretrained(folder)
    by_name, by_hub = load_model(name, dtype="float32"), load_model(NAMED[name].hub, dtype="float32")
    assert by_name.fingerprint == by_hub.fingerprint == load_model(folder).fingerprint
    text = by_name.tokenizer.decode(encode_prompt(ASKED, by_name.tokenizer))
    assert text == "<s>Be brief.\n\nA or B?\n\n"


def test_plain_text_goes_on_where_a_prompt_ends_in_a_space_and_closes_an_answer():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = PLAIN_TEXT
    prompt = [{"role": "user", "content": "I think Answer "}]
    assert tokenizer.decode(encode_prompt(prompt, tokenizer)) == "<s>I think Answer "
    said = [*prompt, {"role": "assistant", "content": "B."}]
    assert tokenizer.decode(encode_conversation(said, tokenizer)) == "<s>I think Answer B.</s>"
    assert encode(prompt, "B.", tokenizer).ids == encode_conversation(said, tokenizer)[:-1]


def test_every_named_model_says_where_it_is_from_and_what_it_may_be_used_for():
    for name, model in NAMED.items():
        assert model.licence, name
        assert model.hub.count("/") == 1, name
        assert (model.file is None) == (model.sha256 is None), name
        assert model.sha256 is None or len(model.sha256) == 64


def test_the_documentation_lists_every_named_model():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    for name, model in NAMED.items():
        assert f"`{name}`" in page, name
        assert model.hub in page, name
        assert model.licence in page, name


def test_a_turn_of_qwen_ends_with_the_token_that_its_template_closes_it_with():
    tiny = tiny_model("qwen2", tie_word_embeddings=True)
    tokenizer = tiny.tokenizer
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", QWEN
    check_turns(tokenizer, "<|im_end|>", start="<|im_start|>assistant\n")
    assert end_tokens(tiny.model, tokenizer)[0] == tokenizer.eos_token_id


def check_turns(tokenizer, end, *, start):
    """A prompt ends where the answer begins, and an answer with the end token and nothing that matters."""
    prompt = encode_prompt(ASKED, tokenizer)
    assert tokenizer.decode(prompt).endswith(start)
    assert tokenizer.decode(prompt).count("Be brief.") == 1
    assert tokenizer.convert_tokens_to_ids(end) == tokenizer.eos_token_id
    said = encode_conversation([*ASKED, {"role": "assistant", "content": "B."}], tokenizer)
    answer = said[len(prompt) :]
    assert said[: len(prompt)] == prompt
    assert answer[: answer.index(tokenizer.eos_token_id)] == encode(ASKED, "B.", tokenizer).ids[len(prompt) :]
    assert not tokenizer.decode(answer[answer.index(tokenizer.eos_token_id) + 1 :]).strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, model in NAMED.items() if model.file is not None])
def test_the_real_files_are_whole_and_their_turns_end_as_the_table_says(name):
    model = NAMED[name]
    if name != "smollm2" and (not os.environ.get(MODELS) or local_copy(model) is None):
        pytest.skip(f"{model.file} is not in {MODELS}")
    loaded = load_model(name, dtype="float32")
    check_turns(loaded.tokenizer, model.end, start="<|im_start|>assistant\n")
    assert model.end in loaded.tokenizer.convert_ids_to_tokens(end_tokens(loaded.model, loaded.tokenizer))
    if name.startswith("qwen"):
        assert loaded.tokenizer.chat_template == QWEN


def test_a_name_is_found_before_the_network_is_asked(monkeypatch):
    monkeypatch.setattr(named_module, "_from_hub", lambda *a: pytest.fail("asked the hub"))
    assert not load_model("qwen2.5-coder-1.5b").loaded
