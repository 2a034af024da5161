"""The figure of recipes shows every cell of its file, and a file that says something else is refused."""

import json

import pytest

from experiments import figures
from sophistry.records import ConfigError
from study.plots.recipes import recipes_figure
from study.recipe_cells import SCHEMA, RecipeCells


def cell(recipe, seed=0, reward="approval", **changes):
    shift = {"init": 0.0, "ppo": 0.2, "dpo": 0.1}[recipe] + int(seed) / 100
    values = {"recipe": recipe, "reward": reward, "seed": seed, "approval": 0.6 + shift, "kl": 10 * shift}
    values |= {"correctness": 0.8 - shift, "fpr": 0.4 + shift, "auroc": 0.5 + shift}
    values |= {"auroc_low": 0.4 + shift, "auroc_high": 0.6 + shift, "ceiling": 0.75, "concept": 0.95}
    return values | changes


CELLS = [cell("init"), *(cell(recipe, seed) for recipe in ("ppo", "dpo") for seed in (0, 1))]


def written(tmp_path, cells=CELLS, **changes):
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps({"schema": SCHEMA, "cells": cells} | changes))
    return path


def marks(figure, axis):
    return {
        (round(x, 6), round(y, 6))
        for t in figure.data
        if t.mode == "markers" and (t.xaxis or "x") == axis
        for x, y in zip(t.x, t.y, strict=True)
    }


def test_every_cell_is_a_mark_on_both_sides_and_every_recipe_an_arrow(tmp_path):
    found = RecipeCells.read(written(tmp_path))
    figure = recipes_figure(found)
    assert {(round(c.approval, 6), round(c.fpr, 6)) for c in found.cells} == marks(figure, "x")
    assert {(round(c.fpr, 6), round(c.auroc, 6)) for c in found.cells} <= marks(figure, "x2")
    assert {(round(c.fpr, 6), 0.75) for c in found.cells} <= marks(figure, "x2")
    arrows = [a for a in figure.layout.annotations if a.showarrow]
    assert len(arrows) == 2
    assert {(a.ax, a.ay) for a in arrows} == {(found.start.approval, found.start.fpr)}
    assert arrows[0].x == pytest.approx(0.805)
    spans = {tuple(t.y) for t in figure.data if t.mode == "lines" and len(t.y) == 2}
    assert {(c.auroc_low, c.auroc_high) for c in found.cells} <= spans


def test_cells_without_wrong_answers_or_probe_are_left_out_where_they_have_nothing_to_show(tmp_path):
    cells = [*CELLS, cell("dpo", 2, fpr=None), cell("ppo", 2, auroc=None, auroc_low=None, ceiling=None)]
    figure = recipes_figure(RecipeCells.read(written(tmp_path, cells)))
    assert len(marks(figure, "x")) == len(CELLS) + 1


def test_without_a_start_there_are_points_and_no_arrows(tmp_path):
    figure = recipes_figure(RecipeCells.read(written(tmp_path, CELLS[1:])))
    assert not [a for a in figure.layout.annotations if a.showarrow]


def test_the_program_draws_the_file_with_its_caption(tmp_path, capsys):
    figures.main([str(written(tmp_path)), "--images", ""])
    assert (tmp_path / "figures" / "recipes.html").is_file()
    assert "dpo on approval: 2" in (tmp_path / "figures" / "recipes.caption.txt").read_text()


@pytest.mark.parametrize(
    ("cells", "changes", "message"),
    [
        ([cell("ppo", approval=1.4)], {}, "approval must be between 0 and 1, got 1.4"),
        ([cell("ppo"), cell("ppo")], {}, "occur twice"),
        ([], {}, "cells is empty"),
        ([cell("ppo") | {"aproval": 1}], {}, "aproval"),
        ([cell("ppo", seed="0")], {}, "seed"),
        (CELLS, {"schema": "recipes/9"}, "cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, cells, changes, message):
    with pytest.raises(ConfigError, match=message):
        RecipeCells.read(written(tmp_path, cells, **changes))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        RecipeCells.read(tmp_path / "no.json")
