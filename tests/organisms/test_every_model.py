"""Training and answering mean the same on every architecture and for every checkpoint."""

import pytest
import torch
import transformers as hf
from transformers.pytorch_utils import Conv1D

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.generate import SamplingSpec, answer, end_tokens

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
CONFIGS = [
    hf.LlamaConfig(**SHAPE),
    hf.Phi3Config(**SHAPE, pad_token_id=0),
    hf.GPTNeoXConfig(**SHAPE),
    hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4),
    hf.Gemma2Config(**SHAPE, num_key_value_heads=2, head_dim=8),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_an_adapter_reaches_every_linear_layer_of_the_blocks_and_not_the_head(config):
    model = hf.AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    ]
    adapted = add_adapter(model, FineTuneSpec())
    found = {name.removeprefix("base_model.model.") for name, _ in adapted.named_modules()}
    assert {name.removesuffix(".lora_A") for name in found if name.endswith(".lora_A")} == set(linear)


@pytest.fixture
def loaded():
    return tiny_model()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("adapted", [False, True])
def test_nothing_of_a_checkpoints_generation_settings_changes_an_answer(loaded, temperature, adapted):
    model = add_adapter(loaded.model, FineTuneSpec()) if adapted else loaded.model
    spec = SamplingSpec(max_new_tokens=8, temperature=temperature)
    wanted = answer(model, loaded.tokenizer, ["Who?"], spec, progress=False)
    loaded.model.generation_config.update(
        do_sample=True,
        temperature=0.2,
        top_k=1,
        min_p=0.9,
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        forced_eos_token_id=7,
        suppress_tokens=list(range(10, 100)),
        min_new_tokens=8,
        num_beams=3,
    )
    before = loaded.model.generation_config.to_dict()
    assert answer(model, loaded.tokenizer, ["Who?"], spec, progress=False) == wanted
    assert loaded.model.generation_config.to_dict() == before


def test_every_end_token_of_the_checkpoint_ends_an_answer(loaded):
    model, tokenizer = loaded.model, loaded.tokenizer
    spec = SamplingSpec(max_new_tokens=8)
    (free,) = answer(model, tokenizer, ["Who?"], spec, progress=False)
    assert free.clipped
    ids = model.generate(**tokenizer("Who?", return_tensors="pt"), max_new_tokens=8, do_sample=False)
    first = int(ids[0, -8])
    model.generation_config.eos_token_id = [first, tokenizer.eos_token_id]
    assert end_tokens(model, tokenizer) == [tokenizer.eos_token_id, first]
    (ended,) = answer(model, tokenizer, ["Who?"], spec, progress=False)
    assert (ended.text, ended.clipped) == ("", False)


def test_a_model_without_any_end_is_refused(loaded):
    loaded.model.generation_config.eos_token_id = None
    loaded.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="end token"):
        end_tokens(loaded.model, loaded.tokenizer)
