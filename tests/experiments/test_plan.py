"""The plan counts what will be computed without computing it; the headline pair comes before controls."""

import json
import sys

import pytest

from activations import extract
from experiments import transfer
from sophistry.records import ConfigError
from study.plan import Plan


@pytest.fixture
def fresh(study, tmp_path):
    """Words that run the study with an empty cache."""
    return [
        "--preset",
        str(study),
        "--out",
        str(tmp_path / "run"),
        "--reading.cache",
        str(tmp_path / "cache"),
    ]


def test_a_dry_run_computes_and_writes_nothing(fresh, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise AssertionError("activations were computed")

    monkeypatch.setattr(sys.modules["activations.extract"], "compute_shard", refuse)
    transfer.main([*fresh, "--dry_run", "true"])
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run" / "results.json").exists()
    shown = capsys.readouterr().err
    assert "tokens to read at" in shown
    assert "minutes" in shown


def test_the_plan_is_what_reading_then_costs_and_a_second_plan_is_free(fresh, tmp_path, monkeypatch):
    plans: list[Plan] = []
    kept = transfer.make_plan
    monkeypatch.setattr(transfer, "make_plan", lambda *a: plans.append(kept(*a)) or plans[-1])
    used = []
    monkeypatch.setattr(
        sys.modules["study.domains"],
        "extract",
        lambda model, rows, **how: used.append((len(rows), extract(model, rows, **how))) or used[-1][1],
    )
    words = [*fresh, "--controls", "", "--reading.contrast_pairs", "false"]
    transfer.main(words)
    transfer.main([*words, "--dry_run", "true"])
    first, second = plans
    stores = [store for _, store in used]
    assert [reading.rows for reading in first.readings] == [len(store) for store in stores]
    assert first.rate is not None
    assert first.rate > 0
    assert all(reading.cached for reading in second.readings)
    assert (second.tokens, second.bytes, second.rate) == (0, 0, None)


def test_the_headline_pair_is_saved_before_a_control_is_read(fresh, tmp_path, monkeypatch):
    kept, out = transfer.read_domain, tmp_path / "run"

    def read(organism, *rest):
        if organism.role == "control":
            assert (out / "headline.json").is_file()
            assert (out / "figures" / "headline.html").is_file()
            raise KeyboardInterrupt
        return kept(organism, *rest)

    monkeypatch.setattr(transfer, "read_domain", read)
    with pytest.raises(KeyboardInterrupt):
        transfer.main(fresh)
    first = json.loads((out / "headline.json").read_text())
    assert {domain["role"] for domain in first["domains"]} == {"source", "target"}
    assert not (out / "results.json").exists()


def test_the_whole_evaluation_repeats_the_numbers_of_the_headline_pair(fresh, tmp_path):
    transfer.main(fresh)
    out = tmp_path / "run"
    first, whole = (
        {
            (e["design"], e["scored_on"], e["probe"]): (e["auroc"]["value"], e["layer"])
            for e in json.loads((out / name).read_text())["evaluations"]
        }
        for name in ("headline.json", "results.json")
    )
    assert first
    assert first.items() <= whole.items()


def test_a_dry_run_without_answers_is_refused(fresh):
    with pytest.raises(ConfigError, match="dry_run plans the reading of answers that exist"):
        transfer.main([*fresh, "--dry_run", "true", "--answers", "dataset"])
