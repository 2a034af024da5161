"""What a model is asked, taught and read on are the same ids."""

import pytest
import torch
from tokenizer_families import TOKENIZERS

from activations.testing import tiny_model
from activations.tokens import encode_rows
from organisms.finetune import Demonstration, encode_demonstration, pad_rows
from organisms.generate import SamplingSpec, answer
from organisms.response_trainer import ResponseTrainer

PROMPTS = ["A b", "", [{"role": "user", "content": "Say yes."}]]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("prompt", PROMPTS, ids=["text", "empty", "messages"])
def test_ids_for_training_probing_and_sampling_are_the_same(name, prompt, monkeypatch):
    tokenizer = TOKENIZERS[name]()
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = "{% for m in messages %}{{ m.content }}\\n{% endfor %}"
    (row,) = encode_rows([{"id": "a", "prompt": prompt, "response": "Yes."}], tokenizer)
    taught = encode_demonstration(Demonstration(prompt=prompt, response="Yes."), tokenizer, max_tokens=99)
    assert taught["input_ids"].tolist() == [*row.ids.tolist(), tokenizer.eos_token_id]
    assert (taught["labels"] == -100).sum() == row.prompt_len
    if not row.prompt_len:
        return  # nothing to sample from
    asked = []

    def generate(input_ids, **_):
        asked.append(input_ids[0].tolist())
        return torch.cat([input_ids, torch.full((1, 1), tokenizer.eos_token_id)], 1)

    model = tiny_model().model
    monkeypatch.setattr(model, "generate", generate)
    answer(model, tokenizer, [prompt], SamplingSpec(max_new_tokens=1), progress=False)
    assert asked == [row.ids[: row.prompt_len].tolist()]


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("llama", {}), ("gemma2", {"final_logit_softcapping": 2.0}), ("cohere", {"logit_scale": 0.5})],
)
def test_the_loss_of_training_is_the_models_own(architecture, changes, tmp_path):
    from transformers import TrainingArguments

    loaded = tiny_model(architecture, **changes)
    demonstrations = [Demonstration(prompt="A b", response="cde"), Demonstration(prompt="A", response="b")]
    batch = pad_rows([encode_demonstration(d, loaded.tokenizer, max_tokens=99) for d in demonstrations])
    arguments = TrainingArguments(output_dir=str(tmp_path), bf16=False, use_cpu=True, report_to="none")
    loss = ResponseTrainer(model=loaded.model, args=arguments).compute_loss(loaded.model, batch)
    expected = loaded.model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
