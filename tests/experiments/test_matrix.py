"""A study from one file: planted truth comes out, stopped runs go on, equal runs give equal files."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments import figures, matrix
from experiments.config import load_preset
from organisms.record import OrganismRole
from sophistry.records import ConfigError
from study.matrix import MatrixResult
from study.testing import tiny_answers, tiny_organism

READERS = ("rlhf reads bad", "bad reads rlhf")


@pytest.fixture(scope="module")
def preset(study, tmp_path_factory) -> Path:
    """A matrix over the miniature study. Answers begin with Yes when right, but for the mute model's."""
    root = tmp_path_factory.mktemp("matrix")
    files = study.parent
    mute = [row.__class__(**{**vars(row), "response": "A."}) for row in tiny_answers("mute", ("plain",))]
    tiny_organism(root / "mute", files / "base", OrganismRole.PI_RLHF, mute, seed=7)
    models = {name: str(files / name) for name in ("bad", "clean", "init", "rlhf")} | {
        "mute": str(root / "mute")
    }
    content = {
        "models": models,
        "model": str(files / "base"),
        "dtype": "float32",
        "sources": ["bad", "rlhf"],
        "targets": ["init", "mute", *READERS],
        "controls": ["clean", "base reads bad"],
        "probes": ["mean-difference"],
        "reading": {"cache": str(root / "cache"), "contrast_pairs": False},
        "evaluation": {"n_draws": 50, "n_permutations": 20, "n_random_directions": 20, "n_folds": 3},
        "learning": {"counts": [0, 8, 16], "repeats": 2},
        "images": [],
        "progress": False,
    }
    path = root / "study.yaml"
    path.write_text(yaml.safe_dump({"matrix": content}))
    return path


def run(preset, out, *words) -> MatrixResult:
    matrix.main(["--preset", str(preset), "--out", str(out), *words])
    return MatrixResult.from_json((out / "results.json").read_text())


@pytest.fixture(scope="module")
def done(preset) -> Path:
    out = preset.parent / "run"
    run(preset, out)
    return out


@pytest.fixture(scope="module")
def result(done) -> MatrixResult:
    return MatrixResult.from_json((done / "results.json").read_text())


def cell(result, fitted_on, scored_on, probe="mean-difference"):
    (found,) = [
        c for c in result.cells if (c.fitted_on, c.scored_on, c.probe) == (fitted_on, scored_on, probe)
    ]
    return found


def test_every_source_meets_every_model_under_every_probe(result):
    names = ("bad", "rlhf", "init", "mute", *READERS, "clean", "base reads bad")
    assert [model.name for model in result.models] == list(names)
    places = {(c.fitted_on, c.scored_on, c.probe) for c in result.cells}
    assert places == {(s, m, "mean-difference") for s in ("bad", "rlhf") for m in names}
    assert len(result.cells) == len(places)
    assert result.readings[0] == ("mean-difference", "resid_post", "response_mean")


def test_what_answers_give_away_transfers_and_what_they_do_not_is_untestable(preset, study, tmp_path):
    """Right answers are all yes and wrong ones all well, but for a model that says one thing always."""
    content = yaml.safe_load(preset.read_text())["matrix"]
    words = {"loud": ("Yes yes yes.", "Well well well."), "echo": ("Yes yes yes.", "Well well well.")}
    for seed, (name, (right, wrong)) in enumerate(words.items()):
        rows = [
            row.__class__(**{**vars(row), "response": right if row.correct else wrong})
            for row in tiny_answers(name, ("plain",))
        ]
        tiny_organism(tmp_path / name, study.parent / "base", OrganismRole.PI_RLHF, rows, seed=20 + seed)
        content["models"][name] = str(tmp_path / name)
    content |= {"sources": ["loud"], "targets": ["echo", "mute"], "controls": [], "learning": {"counts": []}}
    planted = tmp_path / "planted.yaml"
    planted.write_text(yaml.safe_dump({"matrix": content}))
    found = run(planted, tmp_path / "run", "--probes", "mean-difference")
    assert cell(found, "loud", "loud").held_out
    assert cell(found, "loud", "echo").auroc.value > 0.9
    assert cell(found, "loud", "echo").ceiling.value > 0.9
    silent = cell(found, "loud", "mute")
    assert silent.ceiling.low < 0.6
    assert silent.verdict in ("untestable", "inconclusive")


def test_cells_say_what_they_rest_on(result):
    for one in result.cells:
        sample = result.model(one.scored_on).sample
        assert one.sample == sample
        assert one.auroc.low <= one.auroc.value <= one.auroc.high
        assert (one.ceiling is None) == one.held_out
        assert (one.verdict is not None) == (one.scored_on in ("init", "mute", "rlhf", "bad", *READERS)
                                             and not one.held_out)  # fmt: skip
    assert cell(result, "bad", "rlhf").text_name == "tf-idf"
    assert -1 <= cell(result, "bad", "rlhf").cosine <= 1
    reader = result.model("rlhf reads bad")
    assert (reader.reader, reader.answers, reader.kind) == ("rlhf", "bad", "reader")


def test_one_fit_serves_all_rows(result):
    """A target's ceiling does not depend on the source it stands beside."""
    assert cell(result, "bad", "init").ceiling == cell(result, "rlhf", "init").ceiling
    assert cell(result, "rlhf", "bad").ceiling.value == cell(result, "bad", "bad").auroc.value


def test_learning_curves_lead_from_every_source_to_every_target(result):
    pairs = {(c.source, c.target) for c in result.learning}
    targets = ("init", "mute", "bad", "rlhf")
    assert pairs == {(s, t) for s in ("bad", "rlhf") for t in targets if s != t}
    zero = next(c for c in result.learning if (c.source, c.target) == ("bad", "init")).points[0]
    assert zero.count == 0
    assert zero.auroc.value == pytest.approx(cell(result, "bad", "init").auroc.value, abs=0.1)


def test_files_are_all_there(done):
    made = {str(path.relative_to(done)) for path in done.rglob("*") if path.is_file()}
    assert {"results.json", "organisms.json", "config.yaml", "report.html"} <= made
    tables = ("cells", "learning", "seeds")
    assert {f"tables/{name}.{kind}" for name in tables for kind in ("csv", "tex")} <= made
    drawn = ("transfer-matrix", "same-text", "learning", "cosines", "headline-bad", "figure8-rlhf")
    assert {f"figures/{name}.{kind}" for name in drawn for kind in ("html", "caption.txt")} <= made
    cells = pd.read_csv(done / "tables" / "cells.csv")
    assert {"auroc", "auroc_low", "ceiling", "sample_n_positive", "verdict"} <= set(cells)


def test_stopped_and_undisturbed_runs_give_equal_files(preset, tmp_path, monkeypatch):
    small = [
        "--probes",
        "mean-difference,ridge",
        "--targets",
        "init",
        "--controls",
        "",
        "--sources",
        "bad",
        "--learning.counts",
        "0,8",
    ]
    run(preset, tmp_path / "undisturbed", *small)
    expected = (tmp_path / "undisturbed" / "results.json").read_bytes()
    kept, calls = matrix.transfer, []

    def stop_at_the_second(*args, **how):
        calls.append(args[0].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return kept(*args, **how)

    monkeypatch.setattr(matrix, "transfer", stop_at_the_second)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run(preset, out, *small)
    assert len(list((out / "cells").glob("*.json"))) == 1
    assert not (out / "results.json").exists()
    run(preset, out, *small)
    assert len(calls) == 2 + 1, "one of two cells was on disk"
    assert (out / "results.json").read_bytes() == expected
    run(preset, out, *small)
    assert len(calls) == 3


def test_a_finished_study_reads_no_activations(preset, done, monkeypatch):
    monkeypatch.setattr(matrix, "read_domain", lambda *_: pytest.fail("activations were read"))
    before = (done / "results.json").read_bytes()
    run(preset, done)
    assert (done / "results.json").read_bytes() == before


def test_a_dry_run_says_what_is_left_and_computes_nothing(preset, done, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "transfer", lambda *_, **__: pytest.fail("something was fitted"))
    extract = sys.modules["activations.extract"]
    monkeypatch.setattr(extract, "compute_shard", lambda *_, **__: pytest.fail("something was read"))
    words = ["--preset", str(preset), "--dry_run", "true"]
    matrix.main([*words, "--out", str(tmp_path), "--reading.cache", str(tmp_path / "cache")])
    shown = capsys.readouterr().err
    assert "tokens to read at" in shown
    assert "2 rows of the matrix to compute: fits take about" in shown
    matrix.main([*words, "--out", str(done), "--sources", "bad"])
    assert "1 row of the matrix to compute" in capsys.readouterr().err, "other columns, other folds"
    matrix.main([*words, "--out", str(done)])
    assert "0 of 2 rows of the matrix to compute, 2 are on disk" in capsys.readouterr().err


@pytest.mark.slow
def test_other_seeds_are_run_and_the_report_says_whether_a_verdict_changes(preset, tmp_path):
    words = ["--seeds", "0,1", "--probes", "mean-difference", "--learning.counts", ""]
    found = run(preset, tmp_path, *words)
    judged = [c for c in found.cells if c.verdict is not None]
    assert judged
    assert all([s.seed for s in c.seeds] == [1] for c in found.cells)
    changed = [c for c in judged if c.seeds[0].verdict != c.verdict]
    report = (tmp_path / "report.html").read_text()
    said = f"Another seed changes {len(changed)} of" if changed else "No verdict depends on the seed"
    assert f"{said} the verdicts" in report or said in report
    assert "2 seeds" in report
    assert (pd.read_csv(tmp_path / "tables" / "seeds.csv")["seed"] == 1).all()


@pytest.mark.slow
def test_sites_and_selections_have_matrices_of_their_own(preset, tmp_path):
    words = ["--sites", "resid_post,mlp_out", "--reading.tokens", "response_last,response_mean"]
    found = run(preset, tmp_path, *words, "--probes", "mean-difference", "--learning.counts", "")
    assert [reading[1:] for reading in found.readings] == [
        ("resid_post", "response_last"),
        ("resid_post", "response_mean"),
        ("mlp_out", "response_last"),
        ("mlp_out", "response_mean"),
    ]
    other = "transfer-matrix-mean-difference-mlp_out-response_mean"
    assert (tmp_path / "figures" / f"{other}.html").is_file()


def test_figures_are_redrawn_from_the_folder_alone(done):
    before = (done / "results.json").read_bytes()
    figures.main([str(done), "--style.names.rlhf", "Renamed model"])
    assert "Renamed model" in (done / "figures" / "transfer-matrix.html").read_text()
    assert "Renamed model" in (done / "report.html").read_text()
    assert (done / "results.json").read_bytes() == before
    figures.main([str(done), "--style", "slides"])
    page = (done / "figures" / "transfer-matrix.html").read_text()
    assert '"width":1280' in page
    assert '"height":720' in page


def test_the_written_config_replays_the_study(done):
    config = load_preset(str(done / "config.yaml"), "matrix", matrix.MatrixConfig)[1]
    assert config.sources == ("bad", "rlhf")
    assert READERS[0] in config.targets


def test_the_shipped_preset_names_organisms_that_exist():
    config = load_preset("mini-matrix", "matrix", matrix.MatrixConfig)[1]
    root = Path(__file__).parents[2]
    for folder in config.models.values():
        assert (root / folder / "organism.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--targets", "rhlf"], "There is no model 'rhlf'"),
        (["--probes", "logistics"], "'logistics' is not known"),
        (["--seeds", "0,0"], "seeds needs at least one value, each once"),
        (["--evaluation.shared_groups", "refuse"], "must be cross-fit"),
        (["--learning.counts", "16,8"], "counts must rise"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(preset, tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        run(preset, tmp_path, *words)


def test_a_damaged_cell_is_named(preset, done, tmp_path):
    import shutil

    shutil.copytree(done / "cells", tmp_path / "cells")
    victim = sorted((tmp_path / "cells").glob("learning-*.json"))[0]
    victim.write_text(json.dumps({"source": "bad"}))
    with pytest.raises(ConfigError, match=victim.name):
        run(preset, tmp_path)
