"""A caption holds what must be said of a figure, taken from the saved numbers."""

import json
from pathlib import Path

import pytest

from probes import TransferResult
from study.captions import SHOWS, recipe_caption, transfer_captions
from study.figures import Style, draw_all, headline_figure
from study.latex import booktabs
from study.plots.export import save_figures
from study.recipe_cells import RecipeCell, RecipeCells
from study.tables import write_tables

FIXTURE = Path(__file__).parent / "fixtures" / "transfer_result.json"


@pytest.fixture(scope="module")
def result() -> TransferResult:
    return TransferResult.from_json(FIXTURE.read_text())


def test_every_figure_has_a_caption_with_n_groups_seed_and_rule(result):
    captions = transfer_captions(draw_all(result), result, Style(names={result.source: "My model"}))
    source = result.domains[0]
    counts = f"My model {source.sample.n_positive} | {source.sample.n_negative} ({source.sample.n_groups})"
    for name, caption in captions.items():
        assert caption.startswith(SHOWS[name.partition("-")[0]]), name
        assert counts in caption
        assert "chosen on My model alone: highest out-of-fold AUROC" in caption
        assert "resamples of whole groups" in caption
        assert f"seed {result.provenance['seed']}" in caption


def test_captions_lie_beside_their_figures(result, tmp_path):
    drawn = {"headline": headline_figure(result)}
    save_figures(drawn, tmp_path, formats=(), captions={"headline": "What it shows."})
    assert (tmp_path / "headline.caption.txt").read_text() == "What it shows.\n"


def test_recipes_say_how_many_seeds_they_rest_on():
    cell = RecipeCell(recipe="ppo", reward="approval", seed=0, approval=0.7, correctness=0.6, fpr=0.5,
                      kl=1.0, auroc=None)  # fmt: skip
    assert "ppo on approval: 1" in recipe_caption(RecipeCells(cells=(cell,)))


def test_every_csv_has_a_latex_table_of_one_shape_with_booktabs_rules(result, tmp_path):
    about = {d.name: {"role": "r", "rows": 3, "wrong": 1, "groups": 2} for d in result.domains}
    write_tables({"response_mean": result}, about, tmp_path)
    made = {path.stem for path in tmp_path.glob("*.tex")}
    assert made == {path.stem for path in tmp_path.glob("*.csv")} - {"layers"}
    for path in tmp_path.glob("*.tex"):
        text = path.read_text()
        if not text:
            continue
        assert text.count("{longtable}") == 2, path.name
        assert r"\toprule" in text
        assert r"\bottomrule" in text
        columns = text.split("{longtable}{")[1].split("}")[0]
        rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {line.count(" & ") + 1 for line in rows} == {len(columns)}, path.name
        assert "nan" not in text
        assert "None" not in text


@pytest.mark.parametrize("hostile", ["50% & a_b #1 $x^2$ {y} ~z", r"back\slash", "a | b"])
def test_latex_holds_hostile_text_as_text(hostile):
    text = booktabs([{hostile: hostile}])
    body = text.split(r"\midrule")[1]
    for sign in "%&_#$":
        assert body.count(sign) == body.count("\\" + sign), sign
    assert "|" not in body
    assert body.count("{") == body.count("}")


def test_no_rows_give_no_table():
    assert booktabs([]) == ""


def test_selection_without_a_setting_is_still_a_sentence(result):
    record = json.loads(FIXTURE.read_text())
    record["selection"] = []
    bare = TransferResult.from_dict(record)
    caption = transfer_captions(["roc"], bare)["roc"]
    assert f"Probe: {result.headline_probe}, layer" in caption
