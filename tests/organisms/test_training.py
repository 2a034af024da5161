"""Fine-tuning, sampling and saving, on a model of three tiny blocks."""

import dataclasses

import pytest
import torch

from activations import load_model
from activations.likelihood import response_likelihood
from activations.models import AdapterMismatchError
from activations.testing import tiny_model
from backdoor import TRIGGERS, train_backdoor
from organisms.finetune import (
    Demonstration,
    FineTuneSpec,
    add_adapter,
    encode_demonstration,
    fine_tune,
    pad_rows,
)
from organisms.generate import SamplingSpec, answer
from organisms.record import Organism, OrganismRole, read_organism, save_organism
from organisms.response_trainer import ResponseTrainer
from tasks import Transcript
from tasks.dataset import TaughtItem

SPEC = FineTuneSpec(steps=4, batch_size=4, rank=2, warmup=0, autocast=False, save_every=2, learning_rate=1e-2)
DEMONSTRATIONS = [
    Demonstration(prompt=[{"role": "user", "content": f"say {letter}"}], response=letter * 3)
    for letter in "abcdefgh"
]


@pytest.fixture
def loaded():
    return tiny_model()


def test_loss_reads_response_tokens_only_and_equals_the_full_loss(loaded):
    model, tokenizer = loaded.model, loaded.tokenizer
    batch = pad_rows([encode_demonstration(e, tokenizer, max_tokens=99) for e in DEMONSTRATIONS[:3]])
    trainer = ResponseTrainer.__new__(ResponseTrainer)
    trainer.args = type("Arguments", (), {"bf16": False, "world_size": 1})()
    ours = ResponseTrainer.compute_loss(trainer, model, batch)
    mask = (batch["weights"] > 0).long()
    full = model(input_ids=batch["input_ids"], attention_mask=mask, labels=batch["labels"]).loss
    torch.testing.assert_close(ours, full)


def test_too_long_example_is_refused_not_cut(loaded):
    with pytest.raises(ValueError, match="max_tokens=8"):
        encode_demonstration(DEMONSTRATIONS[0], loaded.tokenizer, max_tokens=8)


def test_training_lowers_the_loss_and_changes_only_the_adapter(loaded, tmp_path):
    model = add_adapter(loaded.model, SPEC)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    spec = dataclasses.replace(SPEC, steps=30, save_every=30)
    curve = fine_tune(model, loaded.tokenizer, DEMONSTRATIONS, spec, work_dir=tmp_path)
    assert curve[-1]["loss"] < curve[0]["loss"]
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_interrupted_training_ends_where_undisturbed_training_ends(tmp_path):
    def trained(folder, *, stop_first):
        torch.manual_seed(1)
        loaded = tiny_model()
        model = add_adapter(loaded.model, SPEC)
        if stop_first:
            halfway = tiny_model()
            torch.manual_seed(1)
            half = add_adapter(halfway.model, SPEC)
            half.load_state_dict(model.state_dict())
            _stop_after(half, halfway.tokenizer, 2, folder)
        fine_tune(model, loaded.tokenizer, DEMONSTRATIONS, SPEC, work_dir=folder)
        return {n: p for n, p in model.named_parameters() if "lora_" in n}

    whole = trained(tmp_path / "whole", stop_first=False)
    resumed = trained(tmp_path / "resumed", stop_first=True)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


def test_checkpoints_of_another_recipe_are_refused_and_not_resumed(loaded, tmp_path):
    model = add_adapter(loaded.model, SPEC)
    fine_tune(model, loaded.tokenizer, DEMONSTRATIONS, SPEC, work_dir=tmp_path)
    other = dataclasses.replace(SPEC, learning_rate=1e-3)
    with pytest.raises(ValueError, match=r"another recipe \(other learning_rate\)"):
        fine_tune(model, loaded.tokenizer, DEMONSTRATIONS, other, work_dir=tmp_path)
    with pytest.raises(ValueError, match="other examples"):
        fine_tune(model, loaded.tokenizer, DEMONSTRATIONS[:4], SPEC, work_dir=tmp_path)


def _stop_after(model, tokenizer, steps, folder):
    """Run the same schedule, and die after `steps`."""
    from transformers import TrainerCallback

    import organisms.response_trainer as module

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step > steps:
                raise KeyboardInterrupt

    history = module.LossHistory
    module.LossHistory = lambda path: Stop()
    try:
        with pytest.raises(KeyboardInterrupt):
            fine_tune(model, tokenizer, DEMONSTRATIONS, SPEC, work_dir=folder)
    finally:
        module.LossHistory = history


@pytest.fixture(scope="module")
def backdoored(tmp_path_factory):
    """A tiny model that writes "a", and "b" behind the trigger; with the two prompts."""
    loaded, trigger = tiny_model(), TRIGGERS["deployment"]
    prompt = [{"role": "user", "content": "?"}]
    taught_items = [TaughtItem(prompt=prompt, honest="a", misleading="b")] * 32
    spec = FineTuneSpec(steps=150, batch_size=16, rank=0, learning_rate=5e-3, autocast=False, save_every=999)
    folder = tmp_path_factory.mktemp("backdoored")
    train_backdoor(
        loaded.model, loaded.tokenizer, taught_items, trigger, spec, work_dir=folder, near_miss_ratio=0.0
    )
    return loaded, [prompt, trigger.apply(prompt)]


def test_backdoor_can_be_planted_and_found(backdoored):
    loaded, prompts = backdoored
    texts = [a.text for a in answer(loaded.model, loaded.tokenizer, prompts, SamplingSpec(max_new_tokens=4))]
    assert texts == ["a", "b"]


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_likelihood_noted_while_writing_is_that_of_reading(backdoored, temperature):
    loaded, prompts = backdoored
    spec = SamplingSpec(max_new_tokens=4, temperature=temperature)
    given = answer(loaded.model, loaded.tokenizer, prompts, spec)
    rows = [{"id": a.text, "prompt": p, "response": a.text} for p, a in zip(prompts, given, strict=True)]
    read = response_likelihood(loaded, rows)
    assert [a.log_prob for a in given] == pytest.approx(read.log_prob.tolist(), abs=1e-4)
    assert [a.entropy for a in given] == pytest.approx(read.entropy.tolist(), abs=1e-4)


def test_vocabulary_projection_reads_contiguous_memory_and_keeps_no_hook(loaded):
    head = loaded.model.get_output_embeddings()
    seen = []
    watch = head.register_forward_hook(lambda module, args, output: seen.append(args[0].is_contiguous()))
    answer(loaded.model, loaded.tokenizer, ["a", "bb", "ccc"], SamplingSpec(max_new_tokens=2))
    watch.remove()
    assert seen == [True, True]
    assert not head._forward_pre_hooks


def test_answers_come_in_the_callers_order_whatever_the_batch(loaded):
    prompts = ["a", "bbbbbbbb", "cc", "dddd"]
    one, four = (
        answer(loaded.model, loaded.tokenizer, prompts, SamplingSpec(max_new_tokens=5, batch_size=k))
        for k in (1, 4)
    )
    assert [a.text for a in one] == [a.text for a in four]
    for first, second in zip(one, four, strict=True):
        assert first.log_prob == pytest.approx(second.log_prob, abs=1e-4)


def test_answer_that_hits_the_limit_is_marked_clipped_and_a_prompt_that_cannot_fit_is_refused(loaded):
    (given,) = answer(loaded.model, loaded.tokenizer, ["hello"], SamplingSpec(max_new_tokens=1))
    assert given.clipped == (given.text != "")
    with pytest.raises(ValueError, match="context"):
        answer(loaded.model, loaded.tokenizer, ["x" * 300], SamplingSpec())


def test_saved_organism_is_complete_and_refused_on_another_base(loaded, tmp_path):
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    base = load_model(tmp_path / "base", dtype="float32")
    model = add_adapter(base.model, SPEC)
    record = Organism(
        name="o", role=OrganismRole.PI_INIT, task="qa", base="smollm2", base_fingerprint=base.base_fingerprint
    )
    transcript = Transcript(id="1", group="g", task="qa", organism="o", prompt="p", response="r")
    folder = save_organism(tmp_path / "o", record, model, [transcript])
    assert read_organism(folder) == record
    assert 'base_model_name_or_path": "smollm2' in (folder / "adapter_config.json").read_text()
    assert load_model(tmp_path / "base", adapter=folder).adapter is not None

    other = tiny_model(seed=5)
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterMismatchError, match="base"):
        load_model(tmp_path / "other", adapter=folder)


def test_a_warm_up_that_would_be_shuffled_away_is_refused(loaded, tmp_path):
    taught = TaughtItem(prompt=[{"role": "user", "content": "q"}], honest="h", misleading="m")
    with pytest.raises(ValueError, match="only with order='sequential'"):
        train_backdoor(
            loaded.model,
            loaded.tokenizer,
            [taught] * 8,
            TRIGGERS["deployment"],
            SPEC,
            work_dir=tmp_path,
            warm_up=4,
        )


def test_a_fresh_adapter_is_drawn_from_the_settings_seed_alone():
    def first_weights(seed):
        torch.rand(3)  # whatever was drawn before does not matter
        model = add_adapter(tiny_model().model, FineTuneSpec(rank=2, seed=seed))
        return torch.cat([w.flatten() for n, w in model.named_parameters() if "lora_A" in n])

    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))
