"""What a loader reports is law: a model or adapter is exactly what its files say, or refused by name."""

import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from activations import (
    AdapterMismatchError,
    LoadedModel,
    NonFiniteError,
    ParityError,
    RowError,
    WeightsError,
    extract,
    load_model,
)
from activations.testing import tiny_model, tiny_tokenizer

ROWS = [{"id": f"r{i}", "prompt": f"abc{i}?", "response": f"defgh{i}."} for i in range(4)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path):
    return save(tiny_model("qwen2"), tmp_path / "base")


def save(model, folder):
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def make_lora(base, folder, seed=1, **options):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=2, task_type="CAUSAL_LM", **{"target_modules": ["q_proj", "down_proj"], **options})
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    return folder


def values(model, **options):
    return extract(model, ROWS, layers=2, progress=False, **options).array(2)


def edit(folder, change, file="adapter_model.safetensors"):
    tensors = load_file(folder / file)
    save_file(change(tensors), folder / file, metadata={"format": "pt"})
    return folder


def without(part):
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


DAMAGED_CHECKPOINTS = {
    "missing": (
        without("layers.1.mlp.down_proj"),
        r"missing from its files \(model.layers.1.mlp.down_proj.weight",
    ),
    "unexpected": (lambda t: {**t, "v_head.weight": torch.ones(1, 16)}, r"not in the model \(v_head.weight"),
    "mismatched": (lambda t: {**t, "model.norm.weight": torch.ones(8)}, r"model.norm.weight"),
}


@pytest.mark.parametrize("name", DAMAGED_CHECKPOINTS)
def test_checkpoints_that_do_not_fit_their_configuration_are_refused_naming_the_tensors(base, name):
    change, message = DAMAGED_CHECKPOINTS[name]
    edit(base, change, "model.safetensors")
    with pytest.raises(WeightsError, match=message):
        values(load_model(base, dtype="float32"))


DAMAGED_ADAPTERS = {
    "compiled": (
        lambda t: {k.replace("base_model.model.", "base_model.model._orig_mod."): v for k, v in t.items()},
        "_orig_mod",
    ),
    "missing": (
        without("layers.1.mlp.down_proj.lora_B"),
        r"lacks: 1 \(base_model.*layers.1.mlp.down_proj.lora_B",
    ),
    "unexpected": (
        lambda t: {**t, "base_model.model.model.layers.7.mlp.down_proj.lora_A.weight": torch.ones(2, 32)},
        r"fit nothing in this model: 1 \(.*layers.7",
    ),
    "mismatched": (
        lambda t: {k: v[:, :-1].contiguous() if "lora_A" in k else v for k, v in t.items()},
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", DAMAGED_ADAPTERS)
@pytest.mark.parametrize("how", ["first", "merged", "switched"])
def test_adapters_that_do_not_fit_are_refused_and_leave_the_base_as_it_was(base, tmp_path, name, how):
    change, message = DAMAGED_ADAPTERS[name]
    good = make_lora(base, tmp_path / "good")
    bad = edit(make_lora(base, tmp_path / "bad", 2), change)
    right = values(load_model(base, dtype="float32"))
    model = load_model(base, adapter=bad, dtype="float32", merge=how == "merged")
    if how == "switched":
        first = load_model(base, adapter=good, dtype="float32")
        adapted = values(first)
        model = first.with_adapter(bad)
    with pytest.raises(AdapterMismatchError, match=message):
        values(model)
    if how != "merged":
        np.testing.assert_array_equal(values(model.with_adapter(None)), right)
        if how == "switched":
            np.testing.assert_array_equal(values(first), adapted)


TRAINED_BASES = {
    "biases": {"bias": "all"},
    "biases of its layers": {"bias": "lora_only"},
    "whole modules": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "norms": {"modules_to_save": ["input_layernorm"]},
    "some embeddings": {"trainable_token_indices": [64, 65, 66]},
    "an adapted embedding": {"target_modules": ["embed_tokens", "q_proj"]},
}


@pytest.mark.parametrize("name", TRAINED_BASES)
def test_adapters_that_train_the_base_leave_it_as_it_was_when_switched_off(base, tmp_path, name):
    trained = make_lora(base, tmp_path / "trained", **TRAINED_BASES[name])
    plain = make_lora(base, tmp_path / "plain", 3)
    right, alone = values(load_model(base, dtype="float32")), values(load_model(base, plain, "float32"))
    model = load_model(base, trained, "float32")
    on = values(model)
    assert not np.allclose(on, right, atol=1e-3)
    np.testing.assert_array_equal(values(model.with_adapter(None)), right)
    if name == "some embeddings":
        with pytest.raises(AdapterMismatchError, match=r"PEFT cannot load .* a base of its own"):
            values(model.with_adapter(plain))
    else:
        np.testing.assert_allclose(values(model.with_adapter(plain)), alone, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values(model), on)
    np.testing.assert_array_equal(values(load_model(base, trained, "float32")), on)
    merged = load_model(base, trained, "float32", merge=True)
    np.testing.assert_allclose(values(merged), on, rtol=1e-3, atol=1e-3)


def wrapped_pair(base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    one, two = make_lora(base, tmp_path / "one"), make_lora(base, tmp_path / "two", 5)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), str(one), adapter_name="one"
    )
    model.load_adapter(str(two), "two")
    return model.eval()


def test_the_key_names_active_adapters_their_scale_and_whether_they_are_on(base, tmp_path):
    module = wrapped_pair(base, tmp_path)
    model = LoadedModel.wrap(module, tiny_tokenizer())
    read = {}

    def note(name):
        again = LoadedModel.wrap(module, tiny_tokenizer())
        assert again.fingerprint == model.fingerprint
        read[model.fingerprint] = values(model, store=tmp_path / "store")
        names.append(name)
        assert len(read) == len(names), f"{name} has the key of another state"

    names: list[str] = []
    module.set_adapter("one")
    note("one")
    module.set_adapter("two")
    note("two")
    module.base_model.set_adapter(["one", "two"])
    note("both")
    module.set_adapter("one")
    for part in module.modules():
        if hasattr(part, "set_scale"):
            part.set_scale("one", 0.5)
    note("half of one")
    with module.disable_adapter():
        note("off")
    pairs = list(read.values())
    assert all(not np.allclose(a, b) for i, a in enumerate(pairs) for b in pairs[:i])


def test_an_adapter_whose_scale_was_changed_by_hand_is_refused(base, tmp_path):
    model = load_model(base, make_lora(base, tmp_path / "a"), "float32")
    for part in model.model.modules():
        if hasattr(part, "set_scale"):
            part.set_scale(model.adapter.name, 3.0)
    with pytest.raises(AdapterMismatchError, match="its scale was changed"):
        values(model)


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig"])
def test_models_with_virtual_tokens_are_refused(base, tmp_path, kind):
    import peft
    from transformers import AutoModelForCausalLM

    config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
    tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    with pytest.raises(AdapterMismatchError, match="virtual tokens"):
        LoadedModel.wrap(tuned, tiny_tokenizer())
    tuned.save_pretrained(tmp_path / "tuned")
    with pytest.raises(AdapterMismatchError, match="virtual tokens"):
        load_model(base, tmp_path / "tuned")


@pytest.mark.parametrize("architecture", ["bart", "t5", "pegasus"])
def test_encoder_decoders_are_refused_by_name(tmp_path, architecture):
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    sizes = {"vocab_size": 259, "d_model": 16, "decoder_start_token_id": 0}
    config = AutoConfig.for_model(architecture, **sizes)
    for name in ("encoder_layers", "decoder_layers", "num_layers", "num_decoder_layers"):
        if hasattr(config, name):
            setattr(config, name, 2)
    model = AutoModelForSeq2SeqLM.from_config(config)
    with pytest.raises(WeightsError, match=f"encoder-decoder \\({architecture}\\)"):
        LoadedModel.wrap(model, tiny_tokenizer())
    model.save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    with pytest.raises(WeightsError, match=f"encoder-decoder \\({architecture}\\)"):
        values(load_model(tmp_path / "m", dtype="float32"))


def test_models_that_see_later_tokens_are_refused():
    model = tiny_model()
    for part in model.model.modules():
        if hasattr(part, "is_causal"):
            part.is_causal = False
    with pytest.raises(ParityError, match=r"cut == whole.*no causal decoder"):
        values(model)


def test_models_without_a_language_head_are_refused_by_name(tmp_path):
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model("vit", hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    AutoModel.from_config(config).save_pretrained(tmp_path / "m")
    with pytest.raises(WeightsError, match="is a vit model"):
        values(load_model(tmp_path / "m", dtype="float32"))


def chat_tokenizer():
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}"
    return tokenizer


def test_an_adapters_own_tokenizer_and_template_are_used_and_the_bases_without_it(tmp_path):
    base = save(tiny_model("qwen2", vocab_size=272), tmp_path / "base")
    own, template = make_lora(base, tmp_path / "own"), make_lora(base, tmp_path / "template", 2)
    chat_tokenizer().save_pretrained(own)
    (template / "chat_template.jinja").write_text("{% for m in messages %}!{{ m['content'] }}{% endfor %}")
    model = load_model(base, own, "float32")
    ids = [
        m.tokenizer.apply_chat_template([{"role": "user", "content": "A"}])["input_ids"]
        for m in (model, model.with_adapter(template), model.with_adapter(None))
    ]
    assert ids[0] == [259, 32]
    assert ids[1] == [0, 32]
    assert len(ids[2]) > 2


def test_tokens_beyond_the_models_vocabulary_are_refused_by_row(base, tmp_path):
    own = make_lora(base, tmp_path / "own")
    chat_tokenizer().save_pretrained(own)
    row = {"id": "chat", "prompt": [{"role": "user", "content": "A"}], "response": "x"}
    with pytest.raises(RowError, match="'chat' has token id 259, but the model embeds only 259"):
        extract(load_model(base, own, "float32"), [row], progress=False)


def test_an_adapter_with_a_resized_vocabulary_is_refused(base, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(280)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(
        tmp_path / "a", save_embedding_layers=True
    )
    with pytest.raises(AdapterMismatchError, match=r"(?s)does not fit this base.*embed_tokens"):
        values(load_model(base, tmp_path / "a", "float32"))


def test_a_wrapped_model_is_itself_again_after_an_adapter_was_switched_on(base, tmp_path):
    model = LoadedModel.wrap(load_model(base, dtype="float32").model, tiny_tokenizer())
    before = values(model)
    values(model.with_adapter(make_lora(base, tmp_path / "a")))
    np.testing.assert_array_equal(values(model), before)


def test_paths_may_begin_with_a_tilde_and_outlive_a_change_of_folder(base, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    adapter = make_lora(base, tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    home = extract(load_model("~/base", "~/adapter", "float32"), ROWS, store="~/store", progress=False)
    assert home.path.parent == tmp_path / "store"
    model = load_model("base", adapter.name if os.sep in adapter.name else "./adapter", "float32")
    acts = extract(model, ROWS, store="store", progress=False)
    lazy = load_model("base", "./adapter", "float32")
    shutil.move(tmp_path / "cache", tmp_path / "cache2") if (tmp_path / "cache").exists() else None
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(acts.array(1), home.array(1))
    np.testing.assert_array_equal(values(lazy), acts.array(2))


def test_loading_shows_no_bar_of_anybody_else(base, capfd):
    load_model(base, dtype="float32").model  # noqa: B018
    assert "Loading weights" not in capfd.readouterr().err


def test_a_model_in_train_mode_is_refused_with_that_cause():
    model = tiny_model(attention_dropout=0.5)
    model.model.train()
    with pytest.raises(ParityError, match=r"train mode.*model\.eval\(\)"):
        values(model)


def test_overflow_of_float16_is_named_whether_it_is_the_computation_or_the_store():
    model = tiny_model()
    with torch.no_grad():
        model.model.model.embed_tokens.weight.mul_(1e6)
    with pytest.raises(NonFiniteError, match=r"store.s float16 ends at 65504.*store_dtype='bfloat16'"):
        values(model, store_dtype="float16")
    model = tiny_model()
    with torch.no_grad():
        model.model.model.layers[0].mlp.down_proj.weight.mul_(1e5)
    model.base.dtype = "float16"
    model.model.to(torch.float16)
    with pytest.raises((ParityError, NonFiniteError), match=r"float16 ends at 65504.*dtype='bfloat16'"):
        values(model)


def test_a_model_with_hooks_of_its_own_is_not_stored_and_its_failures_name_them(tmp_path):
    model = tiny_model()
    model.model.model.layers[0].register_forward_hook(lambda module, args, output: output + 1)
    with pytest.raises(ValueError, match=r"hooks of its own \(model.layers.0\).*store=None"):
        values(model, store=tmp_path)
    assert values(model).shape == (4, 16)
