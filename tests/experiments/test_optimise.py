"""RLHF from command line to measured organisms and figures, on random weights: nothing is learned."""

import json

import pytest
import yaml

from activations.testing import tiny_model
from experiments import rlhf_knowledge, rlhf_report, train_rlhf
from experiments.optimise import SAMPLED
from experiments.rl_spec import SUFFIXES, TWO_TESTS, RLSpec
from organisms.record import TRANSCRIPTS, read_organism
from rlhf.diagnostics.knowledge import KnowledgeReport
from rlhf.diagnostics.measures import Measures
from study import rlhf_figures
from tasks import load_transcripts

OF_STORIES = {reward: suffix for reward, suffix in SUFFIXES.items() if reward != TWO_TESTS}
RL = {
    "rewards": list(OF_STORIES),
    "items": 4,
    "readers": 2,
    "measuring": 2,
    "rounds": 1,
    "prompts": 2,
    "samples": 2,
    "max_new_tokens": 3,
    "held_out": 2,
    "held_out_every": 1,
    "incentive_items": 2,
    "inner_epochs": 1,
    "minibatches": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`pi_init` and one organism per reward, each after one round."""
    root = tmp_path_factory.mktemp("rl")
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(root / "base")
    tiny.tokenizer.save_pretrained(root / "base")
    training = {"steps": 1, "batch_size": 2, "rank": 2, "max_tokens": 2048, "autocast": False}
    preset = {
        "train_rlhf": {
            "base": str(root / "base"),
            "name": "t",
            "organisms": str(root / "organisms"),
            "stages": ["sft", "rl"],
            "dataset": {"taught": 2, "evaluated": 4, "evaluated_nearly": 1, "evaluated_levels": ["long"]},
            "sft": training,
            "rl": RL,
            "sampling": {"max_new_tokens": 3, "batch_size": 4},
        }
    }
    (root / "preset.yaml").write_text(yaml.safe_dump(preset))
    train_rlhf.main(["--preset", str(root / "preset.yaml"), "--out", str(root / "run")])
    return root


@pytest.mark.parametrize(("reward", "suffix"), OF_STORIES.items())
def test_every_reward_makes_an_organism_with_its_record_answers_and_rounds(run, reward, suffix):
    folder = run / "organisms" / f"t-{suffix}"
    record = read_organism(folder)
    assert (record.role, record.parent) == (suffix.replace("-", "_"), "t-pi-init")
    assert (record.training["reward"], record.training["rounds"]) == (reward, 1)
    assert record.verification["greedy"]["items"] == record.verification["sampled"]["items"] == 4
    assert record.verification["greedy"]["change"]["correctness"]["n"] == 4
    for name in (TRANSCRIPTS, SAMPLED):
        assert {row.organism for row in load_transcripts(folder / name)} == {f"t-{suffix}"}
    rounds = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    assert {"reward", "kl", "heldout/approval", "heldout/oracle"} <= set(rounds[0])
    assert ("truth" in rounds[0]) == (reward != "oracle")


def test_the_report_measures_them_all_and_its_figures_come_from_its_files(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(rlhf_report, "draw_report", lambda folder: drawn.append(folder))
    rlhf_report.main(["--preset", str(run / "preset.yaml"), "--out", str(run / "run")])
    report = run / "run" / "report"
    assert drawn == [report]
    names = {"t-pi-init", "t-pi-rlhf", "t-pi-oracle", "t-pi-thorough"}
    assert {path.stem for path in report.glob("*.json")} == names
    found = Measures.read(report / "t-pi-rlhf.json")
    assert (found.role, found.reward, found.seed, len(found.curve)) == ("pi_rlhf", "approval", 0, 1)
    assert Measures.read(report / "t-pi-init.json").against is None
    assert rlhf_figures.draw_report(report, formats=()) is None
    assert (report / "figures" / "arrows.html").is_file()


def test_pi_rlhf_is_asked_again_about_every_story_it_got_wrong(run):
    rlhf_knowledge.main(["--preset", str(run / "preset.yaml"), "--out", str(run / "asked")])
    found = KnowledgeReport.read(run / "asked" / "report" / "t-pi-rlhf-knowledge.json")
    assert (found.organism, found.parent) == ("t-pi-rlhf", "t-pi-init")
    rows = load_transcripts(run / "organisms" / "t-pi-rlhf" / TRANSCRIPTS)
    assert found.wrong.items == found.wrong_parent.items == sum(not row.correct for row in rows) > 0


def test_those_who_measure_may_not_have_rewarded():
    with pytest.raises(ValueError, match="those who measure would have rewarded"):
        RLSpec(readers_seed=3, measuring_seed=3)
    spec = RLSpec()
    assert spec.measuring_pool().disjoint(spec.reward("approval").pool)
