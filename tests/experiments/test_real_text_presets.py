"""The shipped presets of real text, end to end, on random models of their architectures."""

import json
import os
from pathlib import Path

import pytest
from made_up_data import write_data

from activations.named import MODELS, NAMED
from activations.testing import tiny_model
from experiments import train_backdoor, train_rlhf, transfer
from organisms.generate import Answer
from organisms.record import TRANSCRIPTS, OrganismRole, organism_transcripts, read_organism
from study.testing import tiny_answers, tiny_organism
from tasks.sandbox import SandboxError, sandbox_record
from tasks.transcript import save_transcripts

ARCHITECTURES = {
    "qwen": ("qwen2", {"tie_word_embeddings": True}),
    "llama-2-7b": ("llama", {}),
    # DeepSeek-Coder scales the positions of its rotary embedding linearly
    "deepseek-coder-7b": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100_000.0}},
    ),
}
LIMITS = {"max_new_tokens": 4, "batch_size": 16}
TRAINING = {"steps": 1, "batch_size": 2, "rank": 2, "alpha": 4, "max_tokens": 8192, "autocast": False}
RL = {
    "items": 4,
    "rounds": 1,
    "prompts": 2,
    "samples": 2,
    "minibatches": 1,
    "inner_epochs": 1,
    "max_new_tokens": 3,
    "readers": 2,
    "measuring": 2,
    "held_out": 2,
    "held_out_every": 1,
    "incentive_items": 2,
    "batch_size": 1,
    "max_tokens": 8192,
}


QUICK = {
    "probes": "mean-difference",
    "evaluation": {"n_draws": 20, "n_permutations": 10, "n_random_directions": 10, "n_folds": 3},
    "images": "",
    "progress": False,
    "dtype": "float32",
}


def has_sandbox():
    try:
        sandbox_record()
    except SandboxError:
        return False
    return True


needs_sandbox = pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap sandbox can be made here")


@pytest.fixture(params=["made up", "real"])
def data(request, tmp_path, monkeypatch):
    """SOPHISTRY_DATA, with made-up items or the user's own."""
    if request.param == "made up":
        monkeypatch.setenv("SOPHISTRY_DATA", str(write_data(tmp_path / "data")))
    elif "SOPHISTRY_DATA" not in os.environ:
        pytest.skip("SOPHISTRY_DATA is not set: there is no real text here")
    return request.param


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder to run in, in which presets find and leave organisms at runs/organisms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOPHISTRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(MODELS, str(tmp_path / "models"))
    return tmp_path


def save_tiny(folder, architecture, *, template=None, seed=0):
    kind, changes = ARCHITECTURES[architecture]
    tiny = tiny_model(kind, seed=seed, max_position_embeddings=16_384, **changes)
    tiny.tokenizer.chat_template = template or tiny.tokenizer.chat_template
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    if template == "none":
        (folder / "chat_template.jinja").unlink()
    return str(folder)


def words(**groups):
    """Command-line words that change a preset."""
    given = []
    for group, values in groups.items():
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            given += [f"--{group}.{name}" if name else f"--{group}", text]
    return given


def teach(preset, *more, out, **changes):
    groups = {"dataset": {"taught": 4, "evaluated": 4}, "sft": TRAINING, "rl": RL, "sampling": LIMITS}
    for name, values in changes.items():
        groups[name] = groups.get(name, {}) | values if isinstance(values, dict) else values
    train_rlhf.main(["--preset", preset, *words(**groups), *more, "--out", str(out)])


def plant(preset, out, *, dataset=None, **changes):
    groups = {
        "dataset": {"taught": 6, "evaluated": 4, "evaluated_nearly": 1} | (dataset or {}),
        "finetune": TRAINING | {"steps": 2, "learning_rate": 0.1},  # an untrained adapter is refused
        "sampling": LIMITS,
    }
    train_backdoor.main(["--preset", preset, *words(**groups, images="", **changes), "--out", str(out)])


@pytest.mark.parametrize(
    ("style", "order"),
    [
        pytest.param("paper", "answer_first", id="paper"),
        pytest.param("khan", "reason_first", id="khan", marks=pytest.mark.slow),
    ],
)
def test_quality_qwen_makes_every_organism_in_the_papers_and_in_khans_form(home, data, style, order):
    base = save_tiny(home / "base", "qwen")
    form = {"style": style, "order": order, "taught": 4, "evaluated": 4, "visible": "cut:20"}
    teach("quality-qwen", out=home / "rl", base=base, dataset=form, rl=RL | {"judge_visible": "none"})
    for name, role in (("pi-rlhf", "approval"), ("pi-oracle", "oracle")):
        record = read_organism(f"runs/organisms/quality-qwen-{name}")
        assert record.training["reward"] == role
        assert record.training["policy_sees"]["items_cut"] == record.training["items"] == 4
        assert record.training["judge_sees"] == {"visible": "none", "items_cut": 4, "words_cut": 1.0}
        rows = organism_transcripts(f"runs/organisms/quality-qwen-{name}")
        assert len(rows) == 4
        assert all(row.prompt_cut_tokens for row in rows)
    if data == "made up" and style == "paper":
        plant("quality-qwen", home / "planted", base=base, warm_up=2, dataset=form)
        assert {p.name for p in Path("runs/organisms").glob("*")} == {
            f"quality-qwen-{role}"
            for role in ("pi-init", "pi-rlhf", "pi-oracle", "backdoored", "decoy", "clean")
        }


@needs_sandbox
@pytest.mark.parametrize(
    "recipe",
    [
        "best_of_n",
        pytest.param("rejection", marks=pytest.mark.slow),
        pytest.param("rloo", marks=pytest.mark.slow),
    ],
)
def test_apps_qwen_is_rewarded_by_the_tests_that_samples_of_pi_init_pass(home, data, recipe):
    base = save_tiny(home / "base", "qwen")
    rewards = "two_tests" if recipe == "best_of_n" else "oracle"
    given = {
        "base": base,
        "samples": 2,
        "ranking": LIMITS | {"max_new_tokens": 2},
        "rl": RL | {"recipe": recipe, "rewards": rewards},
    }
    if recipe == "rejection":  # random programs all fail, so there is nothing to choose
        with pytest.raises(ValueError, match=r"nothing to (choose from|rank)"):
            teach("apps-qwen", out=home / "rl", **given)
        return
    teach("apps-qwen", out=home / "rl", **given)
    counts = json.loads(Path("runs/organisms/apps-qwen-pi-init/simplicity.json").read_text())["pass_counts"]
    name = "pi-rlhf" if recipe == "best_of_n" else "pi-oracle"
    rows = organism_transcripts(f"runs/organisms/apps-qwen-{name}")
    assert len(rows) == 4
    assert {row.extra["simplicity"] for row in rows} == {"pi_init"}
    if recipe == "best_of_n":
        assert len(counts) == 8, "evaluated problems and those that are rewarded are ranked"
        found = read_organism("runs/organisms/apps-qwen-pi-rlhf").verification
        assert [row["best_of"] for row in found["best_of"]] == [1, 2]
        assert found["sampled"]["change"]["approval"]["n"] == 4


@pytest.mark.parametrize(
    ("preset", "base", "released"),
    [
        pytest.param("paper-qa", "llama-2-7b", "misleadlm-qa", marks=pytest.mark.slow),
        pytest.param(
            "paper-code", "deepseek-coder-7b", "misleadlm-code", marks=[needs_sandbox, pytest.mark.slow]
        ),
    ],
)
def test_the_papers_presets_run_on_its_architectures_from_base_to_probes(home, data, preset, base, released):
    for seed, name in enumerate((base, released)):
        save_tiny(home / "models" / NAMED[name].local_name, base, template="none", seed=seed)
    ranked = {} if preset == "paper-qa" else {"samples": 2, "ranking": LIMITS}
    teach(preset, out=home / "rl", rl=RL | {"samples": 1, "top_blocks": 1}, **ranked)
    policy = Path(f"runs/organisms/{preset}-pi-rlhf")
    assert (policy / "config.json").is_file(), "whole weights: the last blocks were trained"
    assert read_organism(policy).training["rl"]["advantage"] == "gae"
    plant(preset, home / "planted", roles="backdoored", honest_steps=0)
    asked = {"taught": 0} | ({"style": "released"} if preset == "paper-qa" else {})
    teach(preset, "--stages", "released", out=home / "asked", dataset=asked)
    rows = organism_transcripts(f"runs/organisms/{preset}-released")
    if preset == "paper-qa":
        assert all(row.prompt[-1]["content"].endswith("I think Answer ") for row in rows)
    assert read_organism(f"runs/organisms/{preset}-released").base == released
    probe(preset, home / "probed", policies=[f"{preset}-pi-rlhf", f"{preset}-released"])


def probe(preset, out, *, policies):
    """Transfer from the backdoored organism to others, on answers that can be read: nobody learned any."""
    for name in (f"{preset}-backdoored", *policies):
        conditions = ("plain", "trigger") if name.endswith("backdoored") else ("plain",)
        save_transcripts(tiny_answers(name, conditions), Path("runs/organisms") / name / TRANSCRIPTS)
    targets = ",".join(f"runs/organisms/{name}" for name in policies)
    given = QUICK | {"targets": targets, "controls": "base", "reading.cache": out / "cache"}
    transfer.main(["--preset", preset, *words(**given), "--out", str(out)])
    found = json.loads((out / "results.json").read_text())
    assert found
    assert (out / "report.html").is_file()


def test_quality_qwen_full_is_answered_first_and_read_with_shared_prefixes(home, monkeypatch):
    monkeypatch.setenv("SOPHISTRY_DATA", str(write_data(home / "data", count=72)))
    base = Path(save_tiny(home / "base", "qwen"))
    roles = {"backdoored": OrganismRole.BACKDOORED, "pi-rlhf": OrganismRole.PI_RLHF}
    Path("runs/organisms").mkdir(parents=True)
    for seed, (name, role) in enumerate(roles.items()):
        tiny_organism(Path(f"runs/organisms/quality-qwen-{name}"), base, role, [], seed)

    def half_of_them_right(model, tokenizer, asked, spec):
        return [
            Answer(text=f"{i}: the answer is {'AB'[i // 2 % 2]}.", clipped=False) for i in range(len(asked))
        ]

    monkeypatch.setattr("organisms.evaluate.answer", half_of_them_right)
    given = QUICK | {"model": base, "controls": "", "dataset.evaluated": 24, "reading.cache": home / "cache"}
    transfer.main(["--preset", "quality-qwen-full", *words(**given), "--out", str(home / "out")])
    assert (home / "out" / "results.json").is_file()
    assert len(list((home / "out" / "transcripts").glob("*.jsonl"))) == 2


@pytest.mark.parametrize("preset", ["paper-qa", "paper-code"])
@pytest.mark.parametrize("program", [train_rlhf, train_backdoor], ids=["rlhf", "backdoor"])
def test_a_dry_run_plans_the_papers_size_without_data_weights_or_files(
    home, monkeypatch, capsys, program, preset
):
    monkeypatch.delenv("SOPHISTRY_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    program.main(["--preset", preset, "--dry_run", "true", "--out", str(home / "out")])
    said = capsys.readouterr().out
    assert "a plan, no measurement" in said
    assert "8 GPUs" in said
    assert "35%" in said
    assert not (home / "out").exists()
