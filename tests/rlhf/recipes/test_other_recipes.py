"""Best-of-n, GRPO, RLOO and a user's own function stand behind the same call."""

import itertools
import json

import numpy as np
import pytest
import torch

from activations.testing import tiny_model
from rlhf.recipes import GRPO, RLOO, BestOfN, HeldOut, SamplingOptions, StopRule, TrainingResult, train_rlhf
from rlhf.recipes.best_of_n import best_of_k
from rlhf.recipes.monitor import RoundLog

ITEMS = [
    {"id": f"i{n}", "prompt": [{"role": "user", "content": "?" * (n + 1)}], "want": "x"} for n in range(4)
]
NEVER = StopRule(letter=None, entropy=None, clipped=None)
SAMPLING = SamplingOptions(samples=4, max_new_tokens=8)


class Letters:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [float(sum("a" <= c <= "m" for c in m["content"])) for (m,) in completions]


class Length:
    sees = frozenset({"want"})

    def __call__(self, prompts, completions, completion_ids=None, *, want, **columns):
        assert set(want) == {"x"}
        return [float(len(ids)) for ids in completion_ids]


def policy():
    from peft import LoraConfig, get_peft_model

    loaded = tiny_model()
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(loaded.model, config), loaded.tokenizer


@pytest.mark.parametrize("kind", [GRPO, RLOO])
def test_trl_recipes_train_log_and_monitor(tmp_path, kind):
    model, tokenizer = policy()
    before = [p.detach().clone() for p in model.parameters() if p.requires_grad]
    recipe = kind(rounds=2, prompts=2, sampling=SAMPLING, rows=4, learning_rate=1e-3)
    result = train_rlhf(
        recipe,
        model,
        tokenizer,
        ITEMS,
        Letters(),
        work_dir=tmp_path,
        monitors={"size": Length()},
        evaluate=lambda model: {"approval": 1.0},
        evaluate_every=2,
        stop=NEVER,
        progress=False,
    )
    assert [entry["round"] for entry in result.rounds] == [0, 1]
    assert result.rounds[1]["heldout/approval"] == 1.0
    assert {"reward", "size", "length", "clipped", "entropy"} <= set(result.rounds[0])
    after = [p for name, p in model.named_parameters() if p.requires_grad and ".ref." not in name]
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_trl_recipe_stops_on_collapse(tmp_path):
    model, tokenizer = policy()
    recipe = GRPO(rounds=6, prompts=2, sampling=SAMPLING, rows=4)
    stop = StopRule(clipped=0.0, patience=2)
    result = train_rlhf(
        recipe, model, tokenizer, ITEMS, Letters(), work_dir=tmp_path, stop=stop, progress=False
    )
    assert len(result.rounds) == 2
    assert "length limit" in result.stopped


def test_best_of_n_chooses_by_reward_and_leaves_the_model_alone(tmp_path):
    model, tokenizer = policy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = train_rlhf(
        BestOfN(sampling=SAMPLING),
        model,
        tokenizer,
        ITEMS,
        Letters(),
        work_dir=tmp_path,
        monitors={"size": Length()},
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    read = {
        n: [json.loads(x) for x in (tmp_path / n).read_text().splitlines()]
        for n in ("sampled.jsonl", "best.jsonl", "pairs.jsonl")
    }
    assert len(read["sampled.jsonl"]) == 16
    for best in read["best.jsonl"]:
        group = [row for row in read["sampled.jsonl"] if row["id"] == best["id"]]
        (chosen, *_) = [row for row in group if row["response"] == best["response"]]
        assert chosen["reward"] == max(row["reward"] for row in group)
    assert [entry["best_of"] for entry in result.rounds] == [1, 2, 4]
    rewards = [entry["reward"] for entry in result.rounds]
    assert rewards == sorted(rewards)
    assert rewards[0] == pytest.approx(np.mean([row["reward"] for row in read["sampled.jsonl"]]))


def test_best_of_k_equals_the_mean_over_all_choices():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    for k, found in zip((1, 2, 4, 6), best_of_k(reward, value, [1, 2, 4, 6]), strict=True):
        choices = [
            value[i][max(some, key=lambda j, i=i: reward[i][j])]
            for i in range(3)
            for some in itertools.combinations(range(6), k)
        ]
        assert found == pytest.approx(np.mean(choices))
    assert best_of_k(np.array([[1.0, 1.0]]), np.array([[0.0, 1.0]]), [2]) == [0.5]


def test_own_function_is_a_recipe(tmp_path):
    model, tokenizer = policy()

    def own(job):
        assert job.items[0]["id"] == "i0"
        return TrainingResult(rounds=[], stopped=None, work_dir=job.work_dir)

    assert train_rlhf(own, model, tokenizer, ITEMS, Letters(), work_dir=tmp_path).rounds == []


def test_held_out_measures_are_means_over_items_of_their_own():
    model, tokenizer = policy()
    measure = HeldOut(items=ITEMS, tokenizer=tokenizer, measures={"size": Length()}, sampling=SAMPLING)
    found = measure(model)
    assert found == measure(model)
    assert found["size"] == found["length"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"letter/A": 0.95, "letter/B": 0.05, "unparsable": 0.1}, "answers are A"),
        ({"entropy": 0.01}, "entropy 0.01"),
        ({"clipped": 0.5}, "length limit"),
    ],
)
def test_collapse_is_named_only_when_it_lasts(entry, words):
    rule, fine = StopRule(patience=2), {"letter/A": 0.5, "letter/B": 0.5, "entropy": 1.0, "clipped": 0.0}
    assert rule.verdict([entry]) is None
    assert rule.verdict([entry, fine]) is None
    assert words in rule.verdict([fine, entry, entry])


def test_letters_that_few_answers_name_stop_nothing():
    entry = {"letter/A": 1.0, "unparsable": 0.9}
    assert StopRule(patience=1).verdict([entry]) is None


def test_half_written_log_line_is_dropped(tmp_path):
    (tmp_path / "rounds.jsonl").write_text('{"round": 0}\n{"round": 1}\n{"rou')
    assert [e["round"] for e in RoundLog(tmp_path, done=5, write=True).entries] == [0, 1]
    assert (tmp_path / "rounds.jsonl").read_text() == '{"round": 0}\n{"round": 1}\n'
