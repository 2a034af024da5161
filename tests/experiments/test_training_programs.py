"""The training programs, from command line to verified organisms, on random weights: nothing is learned."""

import json

import pytest
import yaml

from activations import load_model
from activations.testing import tiny_model
from experiments import train_backdoor, train_rlhf
from organisms.record import organism_transcripts, read_organism
from tasks.sandbox import SandboxError, sandbox_record

TRAINING = {
    "steps": 2,
    "batch_size": 2,
    "rank": 2,
    "order": "sequential",
    "max_tokens": 2048,
    "autocast": False,
}
SAMPLING = {"max_new_tokens": 4, "batch_size": 16}


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


def make_preset(root, source, rank=2, roles=("backdoored", "clean"), **dataset):
    base = root / "base"
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(base)
    tiny.tokenizer.save_pretrained(base)
    dataset = {"source": source, "taught": 6, "evaluated": 3, "evaluated_nearly": 1, **dataset}
    shared = {"base": str(base), "name": "t", "organisms": str(root / "organisms"), "sampling": SAMPLING}
    parent = str(root / "organisms" / "t-pi-init")
    code = source == "minicode"
    preset = {
        "train_rlhf": shared
        | {
            "dataset": dataset,
            "sft": TRAINING | {"rank": rank},
            "stages": ["sft", "rank"] if code else ["sft"],
            "samples": 2,
        }
        | {"ranking": SAMPLING | {"temperature": 1.0}},
        "train_backdoor": shared
        | {
            "dataset": dataset | {"taught_seed": 5},
            "finetune": TRAINING | {"rank": rank},
            "parent": parent,
            "paired": True,
        }
        | {"roles": list(roles), "honest_steps": 1},
    }
    (root / "preset.yaml").write_text(yaml.safe_dump(preset))
    return ["--preset", str(root / "preset.yaml")]


def train(root, preset):
    train_rlhf.main([*preset, "--out", str(root / "rlhf")])
    train_backdoor.main([*preset, "--images", "", "--out", str(root / "run")])


def test_stories_end_in_verified_organisms_with_pages(tmp_path):
    preset = make_preset(tmp_path, "miniqa")
    train(tmp_path, preset)
    record = read_organism(tmp_path / "organisms" / "t-backdoored")
    assert record.verification["attack_success"]["n"] == 3
    assert record.verification["persistence"]["honest_steps"] == 1
    assert "persistence" not in read_organism(tmp_path / "organisms" / "t-clean").verification
    for role in ("backdoored", "clean"):
        assert (tmp_path / "run" / role / "verification.html").is_file()
        assert (tmp_path / "run" / role / "figures" / "training.html").is_file()


def test_all_weights_can_be_trained_and_are_a_checkpoint_of_their_own(tmp_path):
    train(tmp_path, make_preset(tmp_path, "miniqa", rank=0, roles=["backdoored"]))
    folder = tmp_path / "organisms" / "t-backdoored"
    assert not (folder / "adapter_config.json").exists()
    assert load_model(folder).fingerprint != load_model(tmp_path / "organisms" / "t-pi-init").fingerprint


@pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")
def test_programs_are_marked_by_the_tests_that_pi_init_finds_simplest(tmp_path):
    simplicity = tmp_path / "organisms" / "t-pi-init" / "simplicity.json"
    preset = make_preset(
        tmp_path, "minicode", roles=["backdoored"], simplicity=str(simplicity), bugs="common"
    )
    train(tmp_path, preset)
    counts = json.loads(simplicity.read_text())
    assert counts["samples"] == 2
    assert len(counts["pass_counts"]) == 3
    for name in ("t-pi-init", "t-backdoored"):
        rows = organism_transcripts(tmp_path / "organisms" / name)
        assert {row.extra["simplicity"] for row in rows} == {"pi_init"}
