"""The main program, end to end on a random model: files on disk in, files on disk out."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from activations import AdapterMismatchError
from experiments import figures, transfer
from experiments.config import load_preset
from organisms import OrganismRole
from probes import DomainError, TransferResult
from probes.evaluation.kinds import DomainRole
from sophistry.records import ConfigError
from study.opening import RowChoice, usable_rows
from study.testing import tiny_answers, tiny_organism
from tasks.transcript import load_transcripts


def result_of(out: Path) -> TransferResult:
    return TransferResult.from_json((out / "results.json").read_text())


def run(study: Path, out: Path, *words: str) -> TransferResult:
    transfer.main(["--preset", str(study), "--out", str(out), *words])
    return result_of(out)


def test_one_run_leaves_every_promised_file(finished):
    made = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert {"results.json", "organisms.json", "config.yaml", "report.html"} <= made
    tables = ("evaluations", "controls", "strata", "layers", "repairs", "organisms")
    assert {f"tables/{name}.csv" for name in tables} <= made
    assert {
        "figures/headline.html",
        "figures/layers.html",
        "figures/roc.html",
        "figures/plotly.min.js",
    } <= made
    assert not [name for name in made if name.endswith(".part")]


def test_every_design_control_and_organism_is_in_the_result(finished):
    result = result_of(finished)
    assert [(d.name, d.role) for d in result.domains] == [
        ("bad", "source"),
        ("rlhf", "target"),
        ("clean", "control"),
        ("init", "control"),
        ("base", "control"),
        ("untrained", "control"),
    ]
    assert {e.design for e in result.evaluations} == {"source", "D1", "D2", "D3", "D4a", "D4b"}
    assert {c.name for c in result.controls} >= {"tf-idf", "length", "answer letter"}
    assert {c.scored_on for c in result.controls if c.kind == "organism"} == {
        "clean",
        "init",
        "base",
        "untrained",
    }


def test_a_wrong_answer_is_the_positive_class(finished, study):
    rows = load_transcripts(study.parent / "rlhf" / "transcripts.jsonl")
    target = next(d for d in result_of(finished).domains if d.name == "rlhf")
    assert target.sample.n_positive == sum(not row.correct for row in rows)
    assert target.sample.n_groups == len({row.group for row in rows})


def test_only_asked_conditions_are_read_and_the_rest_is_counted(finished):
    organisms = json.loads((finished / "organisms.json").read_text())
    assert organisms["bad"]["rows"] == 80
    assert organisms["bad"]["left_out"] == {"other condition": 40}
    assert organisms["rlhf"]["left_out"] == {}


def test_the_same_preset_and_seed_give_the_same_numbers_and_the_written_config_replays_them(
    finished, tmp_path
):
    again = run(finished / "config.yaml", tmp_path / "again")
    first = result_of(finished)
    assert again.evaluations == first.evaluations
    assert again.controls == first.controls


def test_a_second_run_computes_no_activations(finished, study, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("activations were computed again")

    monkeypatch.setattr(sys.modules["activations.extract"], "compute_shard", refuse)
    assert (
        run(study, tmp_path / "again", "--controls", "").domains[0].sample
        == result_of(finished).domains[0].sample
    )


def test_tables_repeat_the_numbers_of_the_result(finished):
    table = pd.read_csv(finished / "tables" / "evaluations.csv")
    evaluations = result_of(finished).evaluations
    assert table["auroc"].tolist() == pytest.approx([e.auroc.value for e in evaluations])
    assert table["auroc_low"].tolist() == pytest.approx([e.auroc.low for e in evaluations])


def test_the_report_opens_without_a_network_and_holds_verdict_and_numbers(finished):
    report = (finished / "report.html").read_text()
    verdict = result_of(finished).verdicts[0]
    assert verdict.target in report
    assert "It does not show" in report
    assert 'src="http' not in report
    assert "Plotly.newPlot" in report


def test_each_token_selection_gets_its_own_result(study, tmp_path):
    run(study, tmp_path, "--reading.tokens", "response_last,response_mean", "--controls", "")
    assert result_of(tmp_path).domains[0].meta["tokens"] == "response_last"
    other = TransferResult.from_json((tmp_path / "results-response_mean.json").read_text())
    assert other.domains[0].meta["tokens"] == "response_mean"
    assert set(pd.read_csv(tmp_path / "tables" / "evaluations.csv")["tokens"]) == {
        "response_last",
        "response_mean",
    }


def test_figures_are_redrawn_from_the_folder_alone_in_the_names_given(finished, capsys):
    before = (finished / "results.json").read_bytes()
    figures.main([str(finished), "--style.names.rlhf", "Renamed model"])
    assert "Renamed model" in (finished / "figures" / "headline.html").read_text()
    assert (finished / "results.json").read_bytes() == before
    with pytest.raises(ConfigError, match=r"--seed would change the results"):
        figures.main([str(finished), "--seed", "1"])


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--targets", "no/such"], ConfigError, "target: 'no/such' does not exist"),
        (["--targets", ""], ConfigError, "targets is empty"),
        (["--probes", "logistics"], ConfigError, "'logistics' is not known; there are logistic"),
        (["--rows.target", "trigger"], ConfigError, "rlhf: none of its 40 answers can be used"),
        (["--reading.layers", "7"], ValueError, "layer"),
        (["--reading.tokens", "response_median"], ValueError, "response_median"),
        (["--rows.most", "2"], ConfigError, "most must be at least 4"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(study, tmp_path, words, error, message):
    with pytest.raises(error, match=message):
        run(study, tmp_path, *words)
    assert not (tmp_path / "results.json").exists()


def test_the_same_organism_twice_is_refused(study, tmp_path):
    with pytest.raises(ConfigError, match="named twice"):
        run(study, tmp_path, "--targets", str(study.parent / "bad"))


def test_answers_of_one_class_are_refused(study, tmp_path):
    rows = [row for row in tiny_answers("right", ("plain",)) if row.correct]
    folder = tiny_organism(tmp_path / "right", study.parent / "base", OrganismRole.PI_RLHF, rows, seed=9)
    with pytest.raises(DomainError, match=r"right: 0 of .* class"):
        run(study, tmp_path / "run", "--targets", str(folder), "--dry_run", "true")  # before anything is read


def test_an_adapter_for_another_base_is_refused(study, tmp_path):
    from activations.testing import tiny_model

    other = tiny_model(seed=5)
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterMismatchError, match="trained on base"):
        run(study, tmp_path / "run", "--model", str(tmp_path / "other"))


def test_missing_transcripts_are_named_with_the_program_that_makes_them(study, tmp_path):
    folder = tiny_organism(tmp_path / "mute", study.parent / "base", OrganismRole.PI_RLHF, [], seed=9)
    with pytest.raises(FileNotFoundError, match=r"no transcripts at .*mute"):
        run(study, tmp_path / "run", "--targets", str(folder))


def test_cut_prompts_are_refused_unless_declared():
    import dataclasses

    rows = [dataclasses.replace(row, prompt_cut_tokens=3) for row in tiny_answers("a", ("plain",), count=8)]
    with pytest.raises(ConfigError, match="8 of 8 prompts were cut"):
        usable_rows(rows, ("plain",), RowChoice(), "a")
    kept, _ = usable_rows(rows, ("plain",), RowChoice(cut_prompts=True), "a")
    assert len(kept) == 8


def test_unreadable_and_unmarked_answers_are_left_out_and_counted():
    import dataclasses

    rows = tiny_answers("a", ("plain",), count=8)
    rows[0] = dataclasses.replace(rows[0], parse_ok=False)
    rows[1] = dataclasses.replace(rows[1], correct=None)
    rows[2] = dataclasses.replace(rows[2], split="train")
    kept, left_out = usable_rows(rows, ("plain",), RowChoice(), "a")
    assert len(kept) == 5
    assert left_out == {"unreadable": 1, "correctness unknown": 1, "used in training": 1}


def test_a_limit_on_rows_keeps_whole_groups_whatever_the_order():
    rows = tiny_answers("a", ("plain", "trigger"), count=20)
    kept, _ = usable_rows(rows, ("plain", "trigger"), RowChoice(most=18), "a")
    again, _ = usable_rows(rows[::-1], ("plain", "trigger"), RowChoice(most=18), "a")
    assert {row.id for row in kept} == {row.id for row in again}
    assert len(kept) <= 18
    for group in {row.group for row in kept}:
        assert sum(row.group == group for row in kept) == sum(row.group == group for row in rows)


def test_controls_may_read_fewer_answers_than_the_target() -> None:
    rows = tiny_answers("a", ("plain", "trigger"), count=20)
    choice = RowChoice(most=24, most_of={"control": 8, "close": 16})
    counts = [
        len(usable_rows(rows, ("plain", "trigger"), choice, name, role)[0])
        for name, role in (
            ("a", DomainRole.TARGET),
            ("b", DomainRole.CONTROL),
            ("close", DomainRole.CONTROL),
        )
    ]
    assert counts == [24, 8, 16]
    with pytest.raises(ValueError, match="control must be at least 4"):
        RowChoice(most_of={"control": 2})


def test_real_text_is_answered_first_and_answered_once(study, tmp_path, monkeypatch):
    """`answers: dataset` lets organisms answer items; a second run reads what they said."""
    from organisms import evaluate as answers_module

    asked = []

    def evaluate_items(model, tokenizer, dataset, spec, prefixes, *, organism, sampling):
        asked.append((organism, tuple(prefixes)))
        return tiny_answers(organism, tuple(prefixes))

    monkeypatch.setattr(answers_module, "evaluate_items", evaluate_items)
    monkeypatch.setattr(answers_module, "open_dataset", lambda spec: None)
    config = load_preset(
        str(study), "transfer", transfer.TransferConfig, {"answers": "dataset", "controls": ""}
    )[1]
    first = transfer.open_all(config, tmp_path)
    assert asked == [("bad", ("plain", "trigger")), ("rlhf", ("plain",))]
    again = transfer.open_all(config, tmp_path)
    assert len(asked) == 2
    assert [o.rows for o in again] == [o.rows for o in first]


def test_missing_data_folder_is_named(study, tmp_path, monkeypatch):
    monkeypatch.delenv("SOPHISTRY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SOPHISTRY_DATA"):
        run(study, tmp_path, "--answers", "dataset", "--dataset.source", "quality")
