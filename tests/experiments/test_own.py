"""A recipe and a reward from the user's own file, named by import path: the example of the page, run."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from activations.testing import tiny_model
from experiments import train_rlhf
from experiments.own import load_own
from experiments.rl_spec import RLSpec
from organisms.record import read_organism

PAGE = Path(__file__).parents[2] / "docs" / "own-recipe.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "my_recipe.py").write_text(code[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_page_trains_an_organism_from_a_preset(folder):
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(folder / "base")
    tiny.tokenizer.save_pretrained(folder / "base")
    preset = {
        "train_rlhf": {
            "base": str(folder / "base"),
            "name": "t",
            "organisms": str(folder / "organisms"),
            "stages": ["sft", "rl"],
            "dataset": {"taught": 2, "evaluated": 2, "evaluated_nearly": 1, "evaluated_levels": ["easy"]},
            "sft": {"steps": 1, "batch_size": 2, "rank": 2, "max_tokens": 2048, "autocast": False},
            "rl": {
                "recipe": "my_recipe.py:Reinforce",
                "rewards": ["my_recipe.py:brief"],
                "items": 2,
                "levels": ["easy"],
                "readers": 2,
                "measuring": 2,
                "max_new_tokens": 3,
                "incentive_items": 0,
                "answers": ["greedy"],
            },
            "sampling": {"max_new_tokens": 3, "batch_size": 4},
        }
    }
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset))
    train_rlhf.main(["--preset", str(folder / "preset.yaml"), "--out", str(folder / "run")])
    record = read_organism(folder / "organisms" / "t-pi-brief")
    assert (record.role, record.training["reward"], record.training["rounds"]) == (
        "pi_rlhf",
        "my_recipe.py:brief",
        2,
    )
    assert set(record.training["own"]) == {"my_recipe.py:Reinforce", "my_recipe.py:brief"}
    assert record.verification["greedy"]["items"] == 2


def test_classes_are_made_and_functions_taken(folder, monkeypatch):
    assert load_own("my_recipe.py:Reinforce").rounds == 2
    assert load_own("my_recipe.py:brief")(["?"], ["a"], [[1, 2]]) == [-2.0]
    monkeypatch.syspath_prepend(folder)
    sys.modules.pop("my_recipe", None)
    assert load_own("my_recipe:Reinforce").rounds == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.py:Reinforce", "there is no file nowhere.py"),
        ("my_recipe.py:Absent", "defines no 'Absent'"),
        ("no_such_module:Reinforce", "no module 'no_such_module'"),
        ("needy.py:Needy", "cannot be made without arguments"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_by_name(folder, path, words):
    (folder / "needy.py").write_text("class Needy:\n    def __init__(self, rate):\n        pass\n")
    with pytest.raises(ValueError, match=words):
        load_own(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recipe": "dpo2"}, "recipe must be one of"),
        ({"rewards": ("kindness",)}, "rewards must be some of"),
        ({"recipe": "ddpo"}, "rewards must be oracle"),
        ({"rewards": ("seq2seq",)}, "recipe ppo with advantage gae"),
        ({"macro": 5}, "need the critic"),
        ({"recipe": "rrhf", "samples": 1}, "at least 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_drawn(settings, words):
    with pytest.raises(ValueError, match=words):
        RLSpec(**settings)
