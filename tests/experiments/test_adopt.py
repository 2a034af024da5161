"""A stranger's model and a stranger's file become an organism that the main program takes as it is."""

import json
import random

import pandas as pd
import pytest
import torch

from activations import AdapterMismatchError, WeightsError, load_model
from activations.testing import tiny_model
from experiments import adopt, transfer
from organisms import organism_transcripts, read_organism
from organisms.adopt import REPORT
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.record import find_organism
from organisms.weights import open_weights
from probes import TransferResult
from sophistry.records import ConfigError
from tasks.croissant import CROISSANT
from tasks.tables import TableError

QUICK = """--dtype float32 --progress false --images= --probes mean-difference --evaluation.n_draws 50
    --evaluation.n_permutations 20 --evaluation.n_random_directions 20 --evaluation.n_folds 3""".split()


def rows(seed, count=20, **fields):
    """Questions with a right and a wrong answer each; wrong ones tend to begin otherwise."""
    draw = random.Random(seed)
    return [
        {
            "prompt": f"Question {seed}.{n}?",
            "response": f"{'Well' if draw.random() < 0.8 - 0.6 * right else 'Yes'}, {draw.randrange(99)}.",
            "correct": bool(right),
            **fields,
        }
        for n in range(count)
        for right in (0, 1)
    ]


def write(path, some):
    path.write_text("".join(json.dumps(row) + "\n" for row in some))
    return path


@pytest.fixture(scope="module", params=["gpt2", "gpt_neox"])
def base(request, tmp_path_factory):
    """A base model of another family in a folder, without a chat template."""
    folder = tmp_path_factory.mktemp("models") / request.param
    loaded = tiny_model(request.param)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.chat_template = None
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def llama(tmp_path):
    loaded = tiny_model()
    loaded.model.save_pretrained(tmp_path / "llama")
    loaded.tokenizer.save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def take(base, path, name, *more):
    words = [
        "--model",
        str(base),
        "--transcripts",
        str(path),
        "--name",
        name,
        "--organisms",
        str(path.parent / "o"),
    ]
    return adopt.main([*words, *more])


def test_a_model_of_another_family_goes_from_its_file_to_results(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = take(base, write(tmp_path / "bad.jsonl", rows(1)), "bad")
    frame = pd.DataFrame(rows(2)).rename(columns={"prompt": "q", "response": "a", "correct": "fine"})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    mine = take(base, tmp_path / "mine.csv", "mine", "--columns", "prompt=q,response=a,correct=fine")
    words = [
        "--preset",
        "own",
        "--source",
        str(bad.folder),
        "--targets",
        str(mine.folder),
        "--out",
        "run",
        *QUICK,
    ]
    transfer.main([*words, "--dry_run", "true"])
    assert not (tmp_path / "run" / "results.json").exists()
    transfer.main(words)
    result = TransferResult.from_json((tmp_path / "run" / "results.json").read_text())
    assert [(d.name, d.role, d.sample.n_positive) for d in result.domains] == [
        ("bad", "source", 20),
        ("mine", "target", 20),
    ]
    assert {"D1", "D2"} <= {e.design for e in result.evaluations}
    assert (tmp_path / "run" / "tables" / "evaluations.csv").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
    organisms = json.loads((tmp_path / "run" / "organisms.json").read_text())
    assert organisms["mine"]["kind"] == "adopted"


def test_an_organism_on_another_base_is_refused_before_anything_is_read(base, llama, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = take(base, write(tmp_path / "bad.jsonl", rows(1)), "bad")
    mine = take(llama, write(tmp_path / "mine.jsonl", rows(2)), "mine")
    words = ["--preset", "own", "--source", str(bad.folder), "--targets", str(mine.folder), *QUICK]
    with pytest.raises(ConfigError, match=r"target mine stands on the base .*llama.*--preset own"):
        transfer.main([*words, "--dry_run", "true"])


def test_the_organism_says_where_it_comes_from(llama, tmp_path):
    made = take(llama, write(tmp_path / "mine.jsonl", rows(1)), "mine")
    record = read_organism(made.folder)
    assert (record.name, record.role, record.task, record.base) == ("mine", "adopted", "other", str(llama))
    assert record.base_fingerprint == load_model(llama).base_fingerprint
    assert record.training["on_policy"] is True
    assert "--transcripts" in (record.command or "")
    assert len(organism_transcripts(made.folder)) == 40
    assert json.loads((made.folder / REPORT).read_text())["kept"] == 40
    assert (made.folder / CROISSANT).is_file()
    assert not list(made.folder.parent.glob(".*"))


def test_an_organism_is_found_by_its_bare_name_where_it_is_made(llama, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "mine.jsonl", rows(1))
    adopt.main(["--model", str(llama), "--transcripts", str(path), "--name", "mine"])
    assert read_organism(find_organism("mine")).name == "mine"


def test_an_adapter_is_copied_and_its_own_base_is_taken_when_none_is_named(llama, tmp_path):
    model = add_adapter(load_model(llama, dtype="float32").model, FineTuneSpec(rank=2))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.peft_config["default"].base_model_name_or_path = str(llama)
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    path = write(tmp_path / "mine.jsonl", rows(1))
    words = ["--transcripts", str(path), "--name", "mine", "--organisms", str(tmp_path / "o")]
    made = adopt.main(["--adapter", str(tmp_path / "adapter"), *words])
    assert read_organism(made.folder).base == str(llama)
    opened = open_weights(made.folder, load_model(llama, dtype="float32"))
    assert opened.adapter is not None
    other = tiny_model(seed=3)
    other.model.save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterMismatchError, match="trained on base"):
        open_weights(made.folder, load_model(tmp_path / "other", dtype="float32"))


def test_weights_that_changed_since_are_refused(llama, tmp_path):
    made = take(llama, write(tmp_path / "mine.jsonl", rows(1)), "mine")
    elsewhere = tiny_model("gpt2")
    elsewhere.model.save_pretrained(tmp_path / "gpt2")
    elsewhere.tokenizer.save_pretrained(tmp_path / "gpt2")
    base = load_model(tmp_path / "gpt2", dtype="float32")
    assert open_weights(made.folder, base).ref == str(llama)
    tiny_model(seed=7).model.save_pretrained(llama)
    with pytest.raises(AdapterMismatchError, match="Put the old ones back, or adopt it again"):
        open_weights(made.folder, base)


def test_the_base_itself_is_in_memory_once(llama, tmp_path):
    made = take(llama, write(tmp_path / "mine.jsonl", rows(1)), "mine")
    base = load_model(llama, dtype="float32")
    assert open_weights(made.folder, base).base is base.base


def test_rows_that_this_model_cannot_read_are_counted(llama, tmp_path):
    some = rows(1)
    some[0]["response"] = "long " * 100
    report = take(llama, write(tmp_path / "mine.jsonl", some), "mine").report
    assert report.dropped == {"longer than the model's context of 256 tokens": 1}
    assert report.first["longer than the model's context of 256 tokens"] == ["line 1"]
    assert report.kept == 39
    with pytest.raises(TableError, match=r"0 rows are left for .* not of both labels"):
        take(
            llama,
            write(tmp_path / "long.jsonl", [{**r, "response": "x" * 300 + r["response"]} for r in some]),
            "l",
        )


def test_chats_without_a_chat_template_are_refused_with_the_cause(tmp_path):
    loaded = tiny_model("gpt2")
    loaded.model.save_pretrained(tmp_path / "gpt2")
    loaded.tokenizer.chat_template = None
    loaded.tokenizer.save_pretrained(tmp_path / "gpt2")
    chats = [{**r, "prompt": [{"role": "user", "content": r["prompt"]}]} for r in rows(1)]
    with pytest.raises(TableError, match="this tokenizer has no chat template"):
        take(tmp_path / "gpt2", write(tmp_path / "mine.jsonl", chats), "mine")


def test_plain_prompts_of_a_chat_model_are_pointed_out(llama, tmp_path):
    path = write(tmp_path / "mine.jsonl", rows(1))
    assert any("say --chat true" in note for note in take(llama, path, "mine").report.notes)
    assert not take(llama, path, "other", "--chat", "true").report.notes


def test_likelihood_of_every_response_is_kept_when_asked(llama, tmp_path):
    made = take(llama, write(tmp_path / "mine.jsonl", rows(1)), "mine", "--likelihood", "true")
    assert all(row.log_prob < 0 < row.entropy for row in organism_transcripts(made.folder))


def test_a_frozen_probe_is_scored_on_statements_and_on_chats(llama, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = take(llama, write(tmp_path / "bad.jsonl", rows(1)), "bad")
    facts = [
        f"{n} is {'even' if (n % 2 == 0) == label else 'odd'}.,{int(label)}"
        for n in range(20)
        for label in (0, 1)
    ]
    (tmp_path / "facts.csv").write_text("\n".join(["statement,label", *facts]) + "\n")
    statements = take(llama, tmp_path / "facts.csv", "facts", "--format", "statements")
    talk = [
        {
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["response"]},
            ],
            "deceptive": not row["correct"],
            "model": ("this", "other")[i % 3 == 0],
        }
        for i, row in enumerate(rows(5, 30))
    ]
    path = write(tmp_path / "liars.jsonl", talk)
    chats = take(llama, path, "liars", "--format", "chat", "--only", "model=this")
    assert read_organism(chats.folder).training["on_policy"] is False
    targets = f"{statements.folder},{chats.folder}"
    transfer.main(
        ["--preset", "own", "--source", str(source.folder), "--targets", targets, "--out", "run", *QUICK]
    )
    result = TransferResult.from_json((tmp_path / "run" / "results.json").read_text())
    labels = {domain.name: domain.meta["label"] for domain in result.domains}
    assert labels == {
        "bad": "1 = wrong answer (R* = 0)",
        "facts": "1 = false statement",
        "liars": "1 = deceptive response",
    }
    assert {e.scored_on for e in result.evaluations if e.design == "D1"} == {"facts", "liars"}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--name", "mine"], ConfigError, "No value for transcripts"),
        (["--nam", "mine"], ConfigError, "no field 'nam'. Did you mean name"),
        (["--transcripts", "x.jsonl", "--name", "my own"], ConfigError, "without spaces or slashes"),
        (["--transcripts", "x.jsonl", "--name", "mine"], ValueError, "No model: say --model"),
        (["--transcripts", "x.jsonl", "--name", "mine", "--model", "./none"], WeightsError, "none"),
        (
            ["--transcripts", "x.jsonl", "--name", "m", "--task", "poems"],
            ConfigError,
            "'poems' is none of qa",
        ),
        (["--transcripts", "x.jsonl", "--name", "m", "--format", "chats"], ConfigError, "Did you mean chat"),
    ],
)
def test_what_cannot_be_adopted_is_refused_with_the_next_step(tmp_path, monkeypatch, words, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        adopt.main(words)
    assert not list(tmp_path.iterdir())


def test_an_organism_is_replaced_only_when_asked(llama, tmp_path):
    path = write(tmp_path / "mine.jsonl", rows(1))
    take(llama, path, "mine")
    with pytest.raises(ConfigError, match="exists: choose another --name, or say --overwrite true"):
        take(llama, path, "mine")
    write(path, rows(2, 12))
    assert take(llama, path, "mine", "--overwrite", "true").report.kept == 24


def test_help_explains_every_field(capsys):
    with pytest.raises(SystemExit):
        adopt.main(["--help"])
    shown = capsys.readouterr().out
    assert "--transcripts\n" in shown
    assert "--format = rows" in shown
    assert "(rows | statements | chat)" in shown
