"""The study of recipes from command line to table; what is on disk is not done again."""

import json
import shutil

import numpy as np
import pytest
import yaml

from activations.testing import tiny_model
from experiments import figures, recipes
from experiments.recipes import CellSpec, RecipesConfig
from organisms.interpolate import between
from organisms.record import OrganismRole
from sophistry.records import ConfigError
from study.testing import tiny_answers, tiny_organism
from tasks.dataset import Answered


def half_right(model, tokenizer, dataset, spec, prefixes, *, organism, sampling):
    """Answers whose rightness hangs on the item and the model's name, in many different words."""
    rows = []
    for number, item in enumerate(dataset.items):
        letter = "AB"[item.gold if (number + len(organism)) % 2 else 1 - item.gold]
        text = f"{number} {organism}. The answer is {letter}."
        about = {"item": item, "organism": organism, "condition": "plain", "prompt": dataset.ask(item)}
        rows.append(Answered(text=text, clipped=False, log_prob=-1.0, entropy=1.0, **about))
    return dataset.mark(rows)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A folder with a preset of two cells that was run once."""
    tmp_path = tmp_path_factory.mktemp("recipes")
    base = tmp_path / "base"
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(base)
    tiny.tokenizer.save_pretrained(base)
    tiny_organism(tmp_path / "init", base, OrganismRole.PI_INIT, [], 0)
    tiny_organism(tmp_path / "rlhf", base, OrganismRole.PI_RLHF, [], 1)
    tiny_organism(
        tmp_path / "bad", base, OrganismRole.BACKDOORED, tiny_answers("bad", ("plain", "trigger")), 2
    )
    options = {"n_draws": 50, "n_permutations": 20, "n_random_directions": 20, "n_folds": 3}
    config = {
        "recipes": {
            "base": str(base),
            "init": str(tmp_path / "init"),
            "source": str(tmp_path / "bad"),
            "organisms": str(tmp_path / "made"),
            "cells": [
                {"recipe": "ppo", "organism": str(tmp_path / "rlhf")},
                {"recipe": "best_of_n"},
            ],
            "dataset": {"taught": 0, "evaluated": 40, "evaluated_levels": ["long"], "evaluated_seed": 9},
            "rl": {"samples": 4, "readers": 2, "measuring": 3, "max_new_tokens": 3},
            "sampling": {"max_new_tokens": 3, "temperature": 1.0},
            "sft": {"rank": 2, "alpha": 4, "autocast": False},
            "reading": {"cache": str(tmp_path / "cache"), "contrast_pairs": False, "merge": True},
            "probe": "mean-difference",
            "evaluation": {**options, "shared_groups": "cross-fit"},
            "progress": False,
        }
    }
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "evaluate_items", half_right)
        run(tmp_path)
    return tmp_path


def run(preset, *words):
    recipes.main(["--preset", str(preset / "preset.yaml"), "--out", str(preset / "run"), *words])
    return saved(preset)


def saved(preset):
    return {
        name: json.loads((preset / "run" / f"{name}.json").read_text()) for name in ("cells", "comparisons")
    }


def test_every_cell_is_measured_on_the_same_items_and_probed(preset):
    found = saved(preset)
    start, trained, chosen = found["cells"]["cells"]
    assert (start["recipe"], start["kl"], start["correctness"]) == ("init", 0.0, 0.5)
    assert (trained["recipe"], chosen["recipe"]) == ("ppo", "best_of_n")
    assert trained["correctness"] == 0.5
    assert 0 < trained["auroc_low"] <= trained["auroc"] <= trained["auroc_high"] < 1
    assert chosen["auroc"] is None  # three random tokens are no answer
    assert chosen["kl"] == pytest.approx(np.log(4) - 3 / 4)
    terms = [(one["name"], one["terms"]) for one in found["comparisons"]]
    assert terms == [
        (name, t) for t in ("kl", "reward") for name in ("ppo/approval/0", "best_of_n/approval/0")
    ]
    table = (preset / "run" / "recipes.md").read_text()
    assert "At a KL to pi_init of" in table
    assert "| init | none |  | " in table
    assert "| 50.0 [" in table, "shares come with intervals"
    assert "too few wrong" in table


def test_a_second_run_measures_nothing_again(preset, monkeypatch):
    first = saved(preset)
    monkeypatch.setattr(recipes, "evaluate_items", None)
    monkeypatch.setattr(recipes, "draw_held_out", None)
    monkeypatch.setattr(recipes, "between", None)
    assert run(preset) == first


def test_settings_of_a_cell_are_read_like_those_of_the_command_line(preset):
    study = recipes.RecipeStudy.__new__(recipes.RecipeStudy)
    study.config = RecipesConfig(cells=(CellSpec(recipe="ppo"),))
    found = study._settings(
        CellSpec(recipe="dpo", seed=3, settings={"learning_rate": "1e-3", "margin": "0.5"})
    )
    assert (found.recipe, found.seeds, found.learning_rate, found.margin) == ("dpo", (3,), 1e-3, 0.5)
    with pytest.raises(ConfigError, match="learning_rate"):
        study._settings(CellSpec(recipe="dpo", settings={"learning_rat": "1"}))


def test_what_was_measured_under_other_settings_is_measured_again(preset, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "evaluate_items", half_right)
    shutil.copytree(preset, tmp_path, dirs_exist_ok=True)
    preset = tmp_path
    run(preset, "--rl.measuring_seed", "7")
    files = {path.name for path in (preset / "run" / "answers").glob("ppo*.jsonl")}
    assert len(files) == 4, "two fractions, under two digests"


def test_an_organism_of_other_settings_is_not_taken_for_these(preset, tmp_path):
    shutil.copytree(preset / "rlhf", tmp_path / "qa-long-pi-rlhf-rejection")
    study = recipes.RecipeStudy.__new__(recipes.RecipeStudy)
    study.config = RecipesConfig(cells=(CellSpec(recipe="ppo"),), organisms=str(tmp_path), name="qa-long")
    with pytest.raises(ConfigError, match="trained with other settings"):
        study.organism(CellSpec(recipe="rejection"))


def test_the_figure_of_recipes_is_drawn_from_the_cells(preset):
    figures.main([str(preset / "run" / "cells.json"), "--images="])
    assert (preset / "run" / "figures" / "recipes.html").is_file()


def test_settings_of_a_cell_that_is_not_trained_are_refused():
    with pytest.raises(ValueError, match="nothing is trained"):
        CellSpec(recipe="best_of_n", settings={"beta": "1"})


def test_cells_named_twice_and_a_reference_that_is_none_are_refused():
    with pytest.raises(ValueError, match="named twice"):
        RecipesConfig(cells=(CellSpec(recipe="ppo"), CellSpec(recipe="ppo")))
    with pytest.raises(ValueError, match="none of the cells"):
        RecipesConfig(cells=(CellSpec(recipe="dpo"),))


def test_the_model_between_two_models_has_the_mean_of_their_weights():
    start, end = tiny_model(seed=0), tiny_model(seed=1)
    half = between(start, end, 0.25)
    for name, value in half.model.state_dict().items():
        expected = 0.75 * start.model.state_dict()[name] + 0.25 * end.model.state_dict()[name]
        np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6)
    assert between(start, end, 0.0).fingerprint == start.fingerprint
    with pytest.raises(ValueError, match="differ in"):
        between(start, tiny_model("gpt2"), 0.5)
