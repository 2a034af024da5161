"""Every recipe is reachable from the command line: on random weights, where nothing is learned."""

import json

import pytest
import yaml

from activations.testing import tiny_model
from experiments import train_rlhf
from experiments.rl_items import rows_to_train
from experiments.rl_spec import RLSpec
from organisms.record import read_organism
from rlhf.recipes import DDPO, PPO, RRHF
from rlhf.recipes.macros import Borders, macro_rule
from rlhf.reward_models.seq2seq import RewriteReward
from rlhf.rewards import StoryOracle
from tasks.dataset import DatasetSpec
from tasks.sources import open_dataset

RL = {
    "items": 3,
    "levels": ["easy"],
    "readers": 2,
    "measuring": 2,
    "rounds": 1,
    "prompts": 2,
    "minibatches": 1,
    "inner_epochs": 1,
    "samples": 4,
    "max_new_tokens": 3,
    "max_tokens": 2048,
    "held_out": 1,
    "incentive_items": 3,
    "rewriting_steps": 1,
    "answers": ["greedy"],
}


class Parity(StoryOracle):
    """Any random response differs from another in it; says that it is an oracle, for DDPO's sake."""

    def score(self, responses, columns):
        return [float(sum(response.encode()) % 2) for response in responses]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A base, and `pi_init` made of it."""
    root = tmp_path_factory.mktemp("recipes")
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(root / "base")
    tiny.tokenizer.save_pretrained(root / "base")
    run(root, "init", stages=["sft"])
    return root


def rewrite_to_a(model, tokenizer, *, max_new_tokens, task):
    return RewriteReward(lambda prompts: ["a"] * len(prompts), tokenizer, task=task)


def run(root, name, *, out="run", stages=("rl",), **rl):
    preset = {
        "train_rlhf": {
            "base": str(root / "base"),
            "name": "t",
            "organisms": str(root / "organisms"),
            "stages": list(stages),
            "dataset": {"taught": 2, "evaluated": 2, "evaluated_nearly": 1, "evaluated_levels": ["easy"]},
            "sft": {"steps": 1, "batch_size": 2, "rank": 2, "max_tokens": 2048, "autocast": False},
            "rl": {**RL, **rl, "variant": f"-{name}"},
            "sampling": {"max_new_tokens": 3, "batch_size": 4},
        }
    }
    (root / f"{name}.yaml").write_text(yaml.safe_dump(preset))
    train_rlhf.main(["--preset", str(root / f"{name}.yaml"), "--out", str(root / out)])


@pytest.mark.parametrize(
    ("name", "settings", "organism"),
    [
        ("rrhf", {"recipe": "rrhf"}, "t-pi-rlhf-rrhf"),
        ("twice", {"recipe": "rrhf", "draws": 2}, "t-pi-rlhf-twice"),
        ("made", {"recipe": "ddpo", "rewards": ["oracle"], "corrections": "made"}, "t-pi-oracle-made"),
        ("macro", {"advantage": "gae", "macro": "parse"}, "t-pi-rlhf-macro"),
        ("seq", {"advantage": "gae", "rewards": ["seq2seq"]}, "t-pi-seq2seq-seq"),
    ],
)
def test_a_recipe_makes_an_organism_and_shares_the_draw(root, monkeypatch, name, settings, organism):
    monkeypatch.setattr(RLSpec, "reward", lambda self, name, task="qa": Parity())
    monkeypatch.setattr(RewriteReward, "of_model", rewrite_to_a)  # random weights never end a rewrite
    run(root, name, **settings)
    record = read_organism(root / "organisms" / organism)
    assert record.role == ("pi_oracle" if name == "made" else "pi_rlhf")
    assert record.training["rounds"] >= 1
    rounds = (root / "organisms" / organism / "rounds.jsonl").read_text().splitlines()
    assert all("loss" in json.loads(line) or "reward" in json.loads(line) for line in rounds)
    assert len(list((root / "run" / "incentive").rglob("drawn.json"))) == 1
    if name == "made":
        assert (root / "run" / "corrections.jsonl").is_file()


def test_nothing_to_correct_is_refused_before_training(root):
    with pytest.raises(ValueError, match="no corrections to learn from"):
        run(root, "drawn", out="honest", recipe="ddpo", rewards=["oracle"])


def test_settings_reach_the_recipes(tmp_path):
    spec = RLSpec(recipe="rrhf", learning_rate=3e-4, ranking=2.0, batch_size=4, samples=5, draws=3)
    recipe = spec.offline(7, tmp_path, "truth")
    assert isinstance(recipe, RRHF)
    assert (recipe.spec.learning_rate, recipe.spec.ranking_weight, recipe.spec.batch_size) == (3e-4, 2.0, 4)
    assert (recipe.rounds, recipe.score, recipe.drawn, recipe.seed) == (3, "truth", str(tmp_path), 7)
    spec = RLSpec(recipe="ddpo", rewards=("oracle",), beta=0.5, gamma=3.0)
    recipe = spec.offline(0, tmp_path, "truth", task="programming")
    assert isinstance(recipe, DDPO)
    assert (recipe.spec.beta, recipe.spec.gamma, recipe.corrector.sees) == (0.5, 3.0, {"solutions"})
    recipe = RLSpec(advantage="gae", macro="parse").ppo(0)
    assert isinstance(recipe, PPO)
    assert macro_rule(recipe.macro) == Borders()


def test_only_correctors_are_given_what_decides_a_question():
    dataset = open_dataset(DatasetSpec(taught=0, evaluated=1, evaluated_levels=("easy",)))
    (plain,), (corrected,) = (
        rows_to_train(dataset, dataset.items, for_correctors=known) for known in (False, True)
    )
    assert set(corrected) - set(plain) == {"evidence"}


@pytest.mark.parametrize(
    ("recipe", "given"), [("dpo", {"anchors": 0.75}), ("rejection", {"likelihood": 1.0})]
)
def test_settings_that_a_recipe_would_not_read_are_refused(recipe, given):
    with pytest.raises(ValueError, match="would not read it"):
        RLSpec(recipe=recipe, **given)
