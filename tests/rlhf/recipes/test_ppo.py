"""PPO learns a planted reward; a killed run, and one shared by processes, equal an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from activations.testing import tiny_model
from rlhf.recipes import PPO, SamplingOptions, StopRule, train_rlhf

ITEMS = [
    {
        "id": f"i{n}",
        "prompt": [{"role": "user", "content": "say " + "xyz"[n % 3] * (n + 1)}],
        "letter": "abc"[n % 3],
    }
    for n in range(6)
]
NEVER = StopRule(letter=None, entropy=None, clipped=None)


class CountLetter:
    """Share of the response's tokens that are a lower-case letter of the first half of the alphabet."""

    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        assert set(columns) == {"log_metric"}
        columns["log_metric"]("prompts", len(prompts))
        texts = [message["content"] for (message,) in completions]
        return [sum("a" <= c <= "m" for c in text) / 8 for text in texts]


def policy(full=False):
    loaded = tiny_model()
    if full:
        return loaded.model.requires_grad_(True), loaded.tokenizer
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(loaded.model, config), loaded.tokenizer


def recipe(**changes):
    sampling = SamplingOptions(samples=4, max_new_tokens=8)
    return PPO(
        **(
            {"rounds": 4, "prompts": 4, "sampling": sampling, "save_every": 2, "learning_rate": 1e-2}
            | changes
        )
    )


def train(spec, folder, *, full=False, reward=None, **options):
    model, tokenizer = policy(full)
    options = {"stop": NEVER, "progress": False} | options
    result = train_rlhf(spec, model, tokenizer, ITEMS, reward or CountLetter(), work_dir=folder, **options)
    return result, {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def numbers(result):
    return [{k: v for k, v in entry.items() if not k.startswith("seconds")} for entry in result.rounds]


@pytest.mark.parametrize("changes", [{}, {"macro": 4}, {"advantage": "group"}])
def test_planted_reward_is_learned_within_a_few_rounds(tmp_path, changes):
    spec = recipe(rounds=15, prompts=6, kl_coefficient=0.001, learning_rate=3e-2, **changes)
    result, _ = train(spec, tmp_path)
    rewards = [entry["reward"] for entry in result.rounds]
    assert sum(rewards[-2:]) / 2 > 2.5 * sum(rewards[:2]) / 2 + 0.1
    assert result.rounds[-1]["kl"] > 0.5


def test_round_log_names_costs_and_measures(tmp_path):
    class Length:
        sees = frozenset({"letter"})

        def __call__(self, prompts, completions, completion_ids=None, *, letter, log_metric):
            assert set(letter) <= set("abc")
            log_metric("ignored", 1.0)  # a monitor logs its score only
            return [float(len(ids)) for ids in completion_ids]

    result, _ = train(
        recipe(rounds=2),
        tmp_path,
        monitors={"tokens_used": Length()},
        evaluate=lambda model: {"approval": 0.5},
        evaluate_every=2,
    )
    lines = [json.loads(line) for line in (tmp_path / "rounds.jsonl").read_text().splitlines()]
    assert lines == result.rounds
    first, second = lines
    assert first["tokens_used"] == pytest.approx(first["length"])
    assert "heldout/approval" not in first
    assert first["reward/prompts"] == 16
    assert "reward/ignored" not in first
    assert second["heldout/approval"] == 0.5
    for name in (
        "reward",
        "kl",
        "entropy",
        "clipped",
        "seconds/sampling",
        "seconds/scoring",
        "seconds/forward",
        "seconds/backward",
    ):
        assert name in second


def test_first_round_starts_at_the_reference(tmp_path):
    result, _ = train(recipe(rounds=1, inner_epochs=1, minibatches=1), tmp_path)
    (entry,) = result.rounds
    assert entry["kl"] == pytest.approx(0, abs=1e-6)
    assert entry["kl/old"] == pytest.approx(0, abs=1e-6)
    assert entry["ratio/clipped"] == entry["value/clipped"] == 0
    assert entry["loss/policy"] == pytest.approx(0, abs=1e-5)
    assert entry["sampler_gap"] < 1e-4


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("advantage", ["gae", "group"])
def test_killed_and_resumed_run_equals_an_undisturbed_one(tmp_path, full, advantage):
    spec = recipe(rounds=4, advantage=advantage, kl_target=1.0)
    whole, weights = train(spec, tmp_path / "whole", full=full)

    class KilledError(Exception):
        pass

    def kill(model):
        raise KilledError

    with pytest.raises(KilledError):
        train(spec, tmp_path / "cut", full=full, evaluate=kill, evaluate_every=3)
    assert len((tmp_path / "cut" / "rounds.jsonl").read_text().splitlines()) == 2
    resumed, again = train(spec, tmp_path / "cut", full=full)
    assert numbers(resumed) == numbers(whole)
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_shared_prompts_change_no_result(tmp_path):
    shared, weights = train(recipe(rounds=2, learning_rate=1e-3), tmp_path / "a")
    single, others = train(
        recipe(rounds=2, learning_rate=1e-3, share_prompts=False, micro_tokens=64), tmp_path / "b"
    )
    for one, other in zip(numbers(shared), numbers(single), strict=True):
        assert one == pytest.approx(other, rel=1e-2, abs=1e-3)
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, atol=2e-4, rtol=1e-2)


def test_checkpoints_of_another_run_are_refused(tmp_path):
    train(recipe(rounds=2), tmp_path)
    with pytest.raises(ValueError, match="kl_coefficient"):
        train(recipe(rounds=2, kl_coefficient=0.5), tmp_path)


def test_every_checkpoint_loads_as_an_adapter(tmp_path):
    from peft import PeftModel

    _, weights = train(recipe(rounds=4), tmp_path)
    folders = sorted(tmp_path.glob("checkpoint-*"))
    assert [f.name for f in folders] == ["checkpoint-000002", "checkpoint-000004"]
    loaded = PeftModel.from_pretrained(tiny_model().model, str(folders[-1]))
    found = dict(loaded.named_parameters())
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    PeftModel.from_pretrained(tiny_model().model, str(folders[0]))


def test_collapse_stops_the_run_with_a_reason(tmp_path):
    result, _ = train(recipe(rounds=6), tmp_path, stop=StopRule(clipped=0.2, patience=2))
    assert len(result.rounds) == 2
    assert "max_new_tokens" in result.stopped
    assert list(tmp_path.glob("checkpoint-000002"))


def test_rows_without_a_score_are_left_out_and_counted(tmp_path):
    class Half(CountLetter):
        def __call__(self, prompts, completions, completion_ids=None, **columns):
            return [None if i % 2 else 1.0 * i for i in range(len(prompts))]

    result, _ = train(recipe(rounds=1), tmp_path, reward=Half())
    assert result.rounds[0]["reward/left_out"] == 0.5


def test_bad_rewards_and_items_are_refused_by_name(tmp_path):
    class Bad(CountLetter):
        def __call__(self, prompts, completions, completion_ids=None, **columns):
            return [float("nan")] * len(prompts)

    with pytest.raises(ValueError, match="nan for a response to item"):
        train(recipe(), tmp_path / "a", reward=Bad())
    with pytest.raises(ValueError, match="does not declare what it sees"):
        train(recipe(), tmp_path / "b", reward=lambda **kwargs: [])
    Bad.sees = frozenset({"gold"})
    with pytest.raises(ValueError, match="'gold', which item 'i0' lacks"):
        train(recipe(), tmp_path / "c", reward=Bad())
    with pytest.raises(ValueError, match="may not be called 'length'"):
        train(recipe(), tmp_path / "e", monitors={"length": CountLetter()})
    with pytest.raises(ValueError, match="context of 256"):
        train(recipe(sampling=SamplingOptions(max_new_tokens=300)), tmp_path / "d")


@pytest.mark.slow
def test_two_processes_give_one_process_its_numbers(tmp_path):
    script, root = Path(__file__).parent / "shared_run.py", Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    logs = {}
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, str(script), str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
        lines = (tmp_path / name / "rounds.jsonl").read_text().splitlines()
        logs[name] = [json.loads(line) for line in lines]
    assert json.loads((tmp_path / "two" / "count.json").read_text()) == 2
    assert len(logs["one"]) == 3
    for one, two in zip(logs["one"], logs["two"], strict=True):
        keep = [name for name in one if not name.startswith("seconds")]
        assert {n: one[n] for n in keep} == pytest.approx({n: two[n] for n in keep}, rel=1e-4, abs=1e-5)
