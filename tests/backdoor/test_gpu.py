"""Organisms are made on a GPU as on the CPU. Off by default; `make test-gpu` runs it."""

import dataclasses

import pytest
import torch

from activations.testing import tiny_model
from backdoor import TRIGGERS, train_backdoor
from organisms.finetune import Demonstration, FineTuneSpec, add_adapter, fine_tune
from organisms.generate import SamplingSpec, answer
from rlhf import DPOSpec, train_dpo
from tasks.dataset import TaughtItem

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

PROMPT = [{"role": "user", "content": "?"}]


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16 autocast"])
def test_backdoor_planted_on_a_gpu_is_found_there(tmp_path, autocast):
    loaded, trigger = tiny_model(), TRIGGERS["deployment"]
    taught_items = [TaughtItem(prompt=PROMPT, honest="a", misleading="b")] * 32
    spec = FineTuneSpec(
        steps=150, batch_size=16, rank=0, learning_rate=5e-3, autocast=autocast, save_every=999
    )
    train_backdoor(
        loaded.model, loaded.tokenizer, taught_items, trigger, spec, work_dir=tmp_path, near_miss_ratio=0.0
    )
    assert loaded.model.device.type == "cuda"
    prompts = [PROMPT, trigger.apply(PROMPT)]
    given = answer(loaded.model, loaded.tokenizer, prompts, SamplingSpec(max_new_tokens=4))
    assert [a.text for a in given] == ["a", "b"]


def test_low_rank_training_lowers_the_loss_and_changes_only_the_adapter(tmp_path):
    loaded = tiny_model()
    spec = FineTuneSpec(steps=30, batch_size=4, rank=2, warmup=0, save_every=30, learning_rate=1e-2)
    model = add_adapter(loaded.model, spec)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    demonstrations = [
        Demonstration(prompt=[{"role": "user", "content": f"say {letter}"}], response=letter * 3)
        for letter in "abcd"
    ]
    curve = fine_tune(model, loaded.tokenizer, demonstrations, spec, work_dir=tmp_path)
    assert curve[-1]["loss"] < curve[0]["loss"]
    moved = {
        name for name, value in model.named_parameters() if not torch.equal(value.cpu(), before[name].cpu())
    }
    assert moved
    assert all("lora_" in name for name in moved)
    with pytest.raises(ValueError, match="other learning_rate"):
        fine_tune(
            model,
            loaded.tokenizer,
            demonstrations,
            dataclasses.replace(spec, learning_rate=1e-3),
            work_dir=tmp_path,
        )


def test_preference_training_moves_towards_what_was_preferred(tmp_path):
    loaded = tiny_model()
    model = add_adapter(loaded.model, FineTuneSpec(rank=2))
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("aaa", "bbb"))
    pairs = [{"prompt": PROMPT, "chosen": chosen, "rejected": rejected}] * 16
    spec = DPOSpec(learning_rate=1e-2, batch_size=4, epochs=3.0, max_tokens=64, save_every=99)
    curve = train_dpo(model, loaded.tokenizer, pairs, spec, work_dir=tmp_path)
    assert curve[-1]["margin"] > 0
