"""Loading: one fingerprint per set of weights, lazily, from every kind of reference; wrong pairs refused."""

import json
import shutil
import threading

import numpy as np
import pytest
import torch
import yaml
from gguf_files import write_gguf

from activations import AdapterMismatchError, LoadedModel, WeightsError, extract, load_model
from activations import named as named_module
from activations import weights as weights_module
from activations.anatomy import examine
from activations.fingerprint import hash_file
from activations.testing import tiny_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return save(tiny_model(), tmp_path / "model")


def save(model, folder):
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def make_adapter(base, folder, *, seed=0, base_fingerprint=None):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(load_model(base, dtype="float32").model, config).save_pretrained(folder)
    if base_fingerprint:
        (folder / "organism.yaml").write_text(yaml.safe_dump({"base_fingerprint": base_fingerprint}))
    return folder


def logits(module):
    with torch.inference_mode():
        return module(torch.arange(7)[None]).logits


def test_weights_are_read_only_when_used(folder):
    model = load_model(folder, dtype="float32")
    assert model.fingerprint
    assert model.tokenizer.chat_template
    assert not model.loaded
    assert torch.equal(logits(model.model), logits(tiny_model().model))
    assert model.loaded
    assert not model.model.training


def test_fingerprint_depends_on_content_not_on_place(folder, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    assert load_model(copy).fingerprint == load_model(folder).fingerprint
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps({**config, "transformers_version": "0", "_name_or_path": "x"})
    )
    assert load_model(copy).fingerprint == load_model(folder).fingerprint


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"]
)
def test_any_change_of_content_changes_the_fingerprint(folder, name):
    before = load_model(folder).fingerprint
    path = folder / name
    if name == "config.json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "rms_norm_eps": 0.5}))
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    assert load_model(folder).fingerprint != before


def test_models_in_memory_are_fingerprinted_by_their_tensors():
    first, same, other = tiny_model(), tiny_model(), tiny_model(seed=1)
    assert first.fingerprint == same.fingerprint != other.fingerprint


def test_remembered_hashes_notice_a_changed_file(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(b"a" * (2 << 20))
    first = hash_file(path)
    assert hash_file(path) == first
    path.write_bytes(b"b" * (2 << 20))
    assert hash_file(path) != first


def test_adapters_change_outputs_and_fingerprint(folder, tmp_path):
    adapter = make_adapter(folder, tmp_path / "adapter")
    base = load_model(folder, dtype="float32")
    adapted = load_model(folder, adapter=adapter, dtype="float32")
    merged = load_model(folder, adapter=adapter, dtype="float32", merge=True)
    assert len({base.fingerprint, adapted.fingerprint, merged.fingerprint}) == 3
    assert adapted.base_fingerprint == base.fingerprint
    assert not torch.allclose(logits(adapted.model), logits(base.model), atol=1e-3)
    torch.testing.assert_close(logits(merged.model), logits(adapted.model), rtol=1e-4, atol=1e-4)


def test_an_adapter_of_another_base_is_refused(folder, tmp_path):
    right = make_adapter(folder, tmp_path / "right", base_fingerprint=load_model(folder).fingerprint)
    wrong = make_adapter(folder, tmp_path / "wrong", base_fingerprint="0" * 64)
    load_model(folder, adapter=right)
    with pytest.raises(AdapterMismatchError, match=r"0000.*organism.yaml"):
        load_model(folder, adapter=wrong)


def test_adapters_switch_on_one_base_in_memory(folder, tmp_path, rows):
    one = make_adapter(folder, tmp_path / "one", seed=1)
    two = make_adapter(folder, tmp_path / "two", seed=2)
    base = load_model(folder, dtype="float32")
    bare = logits(base.model)
    pair = [base.with_adapter(one), base.with_adapter(two)]
    shared = [extract(model, rows, progress=False).tensor() for model in pair]
    for path, model, values in zip([one, two], pair, shared, strict=True):
        alone = load_model(folder, adapter=path, dtype="float32")
        assert alone.fingerprint == model.fingerprint
        torch.testing.assert_close(
            values, extract(alone, rows, progress=False).tensor(), rtol=1e-5, atol=1e-6
        )
    assert pair[0].model is pair[1].model
    assert torch.equal(logits(base.model), bare)


def test_the_gate_refuses_an_adapter_that_does_nothing(folder, tmp_path, rows):
    from safetensors.torch import load_file, save_file

    from activations import ParityError

    path = make_adapter(folder, tmp_path / "zero") / "adapter_model.safetensors"
    save_file({k: torch.zeros_like(v) for k, v in load_file(path).items()}, path)
    with pytest.raises(ParityError, match="adapter on != off"):
        extract(load_model(folder, adapter=path.parent, dtype="float32"), rows, progress=False)


def test_a_cached_store_is_found_without_loading_weights(folder, tmp_path, rows):
    first = extract(load_model(folder, dtype="float32"), rows, store=tmp_path / "store", progress=False)
    model = load_model(folder, dtype="float32")
    again = extract(model, rows, store=tmp_path / "store", progress=False)
    assert not model.loaded
    assert again.path == first.path
    np.testing.assert_array_equal(again.array(1), first.array(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "no \\*.safetensors"),
    ],
)
def test_folders_that_are_no_safe_model_are_refused(folder, make, message):
    make(folder)
    with pytest.raises(WeightsError, match=message):
        load_model(folder)


@pytest.mark.parametrize("ref", ["missing.gguf", "no-such-folder/deeper/still", "nobody/no-such-model"])
def test_unknown_references_say_what_was_tried(ref):
    with pytest.raises(WeightsError, match=r"check the path|no model on the|nor in the hub's cache"):
        load_model(ref)


@pytest.mark.parametrize(
    "options", [{"dtype": "int8"}, {"merge": True}, {"quantisation": "2bit"}, {"adapter": "/nowhere"}]
)
def test_bad_options_are_refused(folder, options):
    with pytest.raises((ValueError, FileNotFoundError), match=r"use|needs|No adapter"):
        load_model(folder, **options)


def test_quantisation_without_bitsandbytes_says_what_to_install(folder, rows, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="'8bit' needs bitsandbytes"):
        _ = load_model(folder, dtype="float32", quantisation="8bit").model


@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_quantised_models_are_read_as_transformers_reads_them(tmp_path, rows, quantisation):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is an optional extra")
    folder = save(tiny_model(hidden_size=64, intermediate_size=128, head_dim=16), tmp_path / "wide")
    model = load_model(folder, dtype="bfloat16", quantisation=quantisation)
    wrapped = LoadedModel.wrap(model.model, model.tokenizer)
    assert (wrapped.dtype, wrapped.base.quantisation) == ("bfloat16", quantisation)
    assert {parameter.dtype for parameter in model.model.parameters()} & {torch.int8, torch.uint8}
    ids = torch.tensor([model.tokenizer("Who?").input_ids + model.tokenizer(" Me.").input_ids[1:]])
    for kind in (model, wrapped):
        acts = extract(kind, rows, tokens="response_last", progress=False)
        assert acts.manifest["spec"]["quantisation"] == quantisation
        with torch.inference_mode():
            state = kind.model(ids, output_hidden_states=True).hidden_states[1][0, -1].float().numpy()
        distance = np.linalg.norm(acts.array(0)[0] - state) / np.linalg.norm(state)
        assert distance < 0.1  # int8 scales depend on the batch


@pytest.fixture
def gguf_file(tmp_path):
    return write_gguf(tmp_path / "tiny.gguf")


def test_gguf_is_converted_once_and_exactly(gguf_file, tmp_path):
    import gguf

    model = load_model(gguf_file, dtype="float32")
    embedding = model.model.get_input_embeddings().weight
    tensor = next(t for t in gguf.GGUFReader(gguf_file).tensors if t.name == "token_embd.weight")
    assert np.array_equal(embedding.detach().numpy(), gguf.dequantize(tensor.data, tensor.tensor_type))
    assert model.tokenizer.chat_template.startswith("{% for m")
    converted = next((tmp_path / "cache" / "models").glob("*/model.safetensors"))
    stamp = converted.stat().st_mtime_ns
    again = load_model(gguf_file, dtype="float32")
    assert torch.equal(logits(again.model), logits(model.model))
    assert converted.stat().st_mtime_ns == stamp


def test_a_model_can_be_examined_before_its_weights_were_ever_converted(gguf_file):
    assert examine(load_model(gguf_file)).max_len == 64


def test_gguf_fingerprint_is_that_of_the_file_wherever_it_lies(gguf_file, tmp_path):
    moved = tmp_path / "other" / "name.gguf"
    moved.parent.mkdir()
    shutil.copy(gguf_file, moved)
    assert load_model(moved).fingerprint == load_model(gguf_file).fingerprint


def test_interrupted_conversion_leaves_nothing_and_is_repeated(gguf_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(weights_module.json, "dumps", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            weights_module.convert_gguf(gguf_file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.part").exists()
    weights_module.convert_gguf(gguf_file, tmp_path / "out")
    assert (tmp_path / "out" / "source.json").is_file()
    assert not (tmp_path / "out.part").exists()


def test_two_conversions_at_once_do_the_work_once(gguf_file, tmp_path, monkeypatch):
    calls, convert = [], weights_module._convert_locked

    def counted(*args):
        calls.append(args)
        convert(*args)

    monkeypatch.setattr(weights_module, "_convert_locked", counted)
    threads = [
        threading.Thread(target=weights_module.convert_gguf, args=(gguf_file, tmp_path / "out"))
        for _ in range(3)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(calls) == 1


def test_pinned_weights_of_another_hash_are_refused(tmp_path, monkeypatch):
    def wrong(model, target):
        target.write_bytes(b"not the model")

    def offline(model, target):
        raise WeightsError("no network")

    monkeypatch.delenv(named_module.MODELS, raising=False)
    monkeypatch.setattr(named_module, "_from_wheel", wrong)
    monkeypatch.setattr(named_module, "_from_hub", offline)
    model = load_model("smollm2")
    with pytest.raises(WeightsError, match=r"expected b179c95.*no network.*pass its path"):
        _ = model.tokenizer
    assert not list((tmp_path / "cache").rglob("*.part"))
