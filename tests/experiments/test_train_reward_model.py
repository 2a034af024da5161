"""A reward model from command line to measured folder, on random weights: nothing much is learned."""

import gzip
import json

import pytest
import yaml

from activations.testing import tiny_model
from experiments import train_reward_model
from experiments.answers import read_answers
from experiments.rl_spec import RLSpec
from experiments.train_reward_model import TrainRewardModel
from rlhf.reward_models import RewardModelScores, read_reward_model
from rlhf.rewards import LearnedReward
from tasks.qa import qa_response
from tasks.stories import MiniQA

SPEC = {"rank": 2, "epochs": 1, "items_per_step": 4, "max_tokens": 1500, "autocast": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A tiny base, answers of which every second one is wrong, and a preset."""
    root = tmp_path_factory.mktemp("reward")
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(root / "base")
    tiny.tokenizer.save_pretrained(root / "base")
    items = MiniQA(seed=5, levels=("long",)).items(8)
    lines = [
        {"id": item.id, "answers": [qa_response(item), qa_response(item, honest=False), "So so."]}
        for item in items
    ]
    (root / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    section = {
        "base": str(root / "base"),
        "parent": None,
        "answers": str(root / "answers.jsonl"),
        "items": 8,
        "samples": 3,
        "readers": 3,
        "measuring": 3,
        "systems_items": 2,
        "resamples": 20,
        "spec": SPEC,
    }
    (root / "preset.yaml").write_text(yaml.safe_dump({"train_reward_model": section}))
    return root


def run(root, name, *words):
    train_reward_model.main(["--preset", str(root / "preset.yaml"), "--out", str(root / name), *words])
    return root / name


@pytest.mark.parametrize("kind", ["judge", "preference", "odin"])
def test_every_kind_is_trained_saved_measured_and_usable(root, kind, capsys):
    out = run(root, kind, "--kind", kind)
    scores, length = (RewardModelScores.read(out / name) for name in ("scores.json", "scores-length.json"))
    assert (scores.name, scores.items, scores.responses) == (kind, 2, 6)
    assert (scores.probability is not None) == (kind == "judge")
    assert length.probability is None
    assert set(scores.systems) == {"truth", "approval"}
    assert "qa-long-pi-rlhf" in scores.systems["truth"].systems
    record = read_reward_model(out / "reward-model")
    assert (record.kind, record.trained_on, record.training["items"]) == (kind, "stories", 6)
    reward = LearnedReward.load(out / "reward-model")
    assert len(reward(["?"], ["A"], passage=["Ida slept."], question=["Who?"], options=[["Ida", "Tom"]])) == 1
    named = RLSpec(rewards=("learned",), reward_model=str(out / "reward-model")).reward("learned")
    assert (named.name, named.sees) == (reward.name, reward.sees)
    assert "| measure |" in capsys.readouterr().out
    assert (out / "config.yaml").is_file()


def test_human_pairs_are_read_and_those_that_do_not_fit_left_out(root, tmp_path, monkeypatch, capsys):
    rows = [
        {
            "instruction": f"Name lake {n}.",
            "input": "",
            "response1": "Como" * (400 if n == 0 else 1),
            "response2": "no",
            **{f"annotator{k}": 1 for k in (1, 2, 3)},
        }
        for n in range(9)
    ]
    other = [{"input": "Say x", "output_1": "y", "output_2": "x", "label": 2, "subset": "Natural"}]
    for folder, name, lines in (
        ("pandalm_human_test", "testset_v1", rows),
        ("llmbar", "llmbar", other),
    ):
        (tmp_path / folder).mkdir()
        with gzip.open(tmp_path / folder / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    monkeypatch.setenv("SOPHISTRY_DATA", str(tmp_path))
    words = ["--source", "people", "--kind", "preference", "--systems", "", "--items", "9"]
    out = run(root, "people", *words)
    record = read_reward_model(out / "reward-model")
    assert (record.trained_on, record.training["pairs"]) == ("prompts", 7)
    scores = RewardModelScores.read(out / "scores.json")
    assert (scores.items, scores.truth, scores.approval.pairwise.n) == (2, None, 2)


def test_settings_and_answers_that_cannot_be_are_refused(root):
    for changes, message in (
        ({"held_out": 1.0}, "share between 0 and 1"),
        ({"source": "people"}, "a judge needs votes"),
        ({"measuring_seed": 0}, "those who measure would have trained"),
        ({"systems": ("organisms/shipped/qa-long-pi-init",)}, "two organisms or more"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainRewardModel(**changes)
    for changes in ({"rewards": ("learned",)}, {"reward_model": "somewhere"}):
        with pytest.raises(ValueError, match="need each other"):
            RLSpec(**changes)
    with pytest.raises(ValueError, match="fewer than samples=4 answers to 8 stories"):
        run(root, "refused", "--samples", "4")
    (root / "broken.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"broken.jsonl:1"):
        read_answers(root / "broken.jsonl")
