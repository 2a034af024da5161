"""The scripts of the page on clusters run, and what the Slurm scripts start is what the programs take."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from activations import ActivationStore, extract, load_model
from activations.testing import tiny_model
from experiments.config import parse_command_line
from experiments.train_backdoor import TrainBackdoor
from organisms import OrganismRole, read_organism
from study.testing import tiny_answers, tiny_organism

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "docs" / "cluster"
SLURM = sorted(SCRIPTS.glob("*.sbatch"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
STUB = """#!/bin/bash
printf '%s\\0' "$(basename "$0")" "$@" >> "$RECORD"
printf '\\n' >> "$RECORD"
[ "$(basename "$0")" = scontrol ] && echo node1
exit 0
"""


def script(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(tmp_path):
    """A model in a folder, an organism on it, and a file of answers."""
    tiny = tiny_model(max_position_embeddings=2048)
    tiny.model.save_pretrained(tmp_path / "base")
    tiny.tokenizer.save_pretrained(tmp_path / "base")
    tiny_organism(
        tmp_path / "qa-pi-init", tmp_path / "base", OrganismRole.PI_INIT, tiny_answers("a", ("plain",)), 0
    )
    rows = [{"id": str(i), "prompt": "Is it?", "response": f" It is {i}."} for i in range(12)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def words_of_extract(work, store):
    return [
        "--model",
        str(work / "base"),
        "--rows",
        str(work / "answers.jsonl"),
        "--store",
        str(work / store),
    ]


def test_extract_writes_what_a_call_writes(work):
    acts = script("extract").main(words_of_extract(work, "store"))
    rows = [json.loads(line) for line in (work / "answers.jsonl").read_text().splitlines()]
    direct = extract(load_model(work / "base"), rows, tokens="response_mean", progress=False)
    assert acts.key == direct.key
    assert (acts.array(1) == direct.array(1)).all()


def test_two_processes_write_one_store(work):
    command = [sys.executable, str(SCRIPTS / "extract.py"), *words_of_extract(work, "shared")]
    running = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    (folder,) = [path for path in (work / "shared").iterdir() if (path / "manifest.json").is_file()]
    assert len(ActivationStore.open(folder, verify=True)) == 12


@pytest.mark.slow
def test_two_processes_train_one_organism(work):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["--organism", str(work / "qa-pi-init"), "--out", str(work / "qa-pi-rlhf"), "--level", "easy"]
    small = "--items 4 --rounds 2 --prompts 4 --samples 2 --max-new-tokens 8 --readers 2".split()
    command = [*torchrun, str(SCRIPTS / "optimise.py"), *words, *small]
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, timeout=300)
    record = read_organism(work / "qa-pi-rlhf")
    assert (record.role, record.parent, record.training["rounds"]) == ("pi_rlhf", "qa-pi-init", 2)


def started(path, tmp_path):
    """What a Slurm script starts: its commands, with variables filled in, as lists of words."""
    record, tools = tmp_path / "record", tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("srun", "scontrol"):
        (tools / name).write_text(STUB)
        (tools / name).chmod(0o755)
    slurm = {
        "SUBMIT_DIR": str(tmp_path),
        "JOB_ID": "7",
        "ARRAY_TASK_ID": "1",
        "JOB_NODELIST": "node[1-2]",
        "NNODES": "2",
    }
    environment = {**os.environ, "RECORD": str(record)} | {
        f"SLURM_{key}": value for key, value in slurm.items()
    }
    subprocess.run(["bash", str(path)], check=True, env=environment, timeout=60)
    lines = [line.split("\0")[:-1] for line in record.read_text().splitlines()]
    return [line[1:] for line in lines if line[0] == "srun"]


@pytest.mark.parametrize("path", SLURM, ids=lambda path: path.name)
def test_slurm_scripts_start_programs_that_take_their_words(path, tmp_path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    commands = started(path, tmp_path)
    assert commands
    for command in commands:
        place = next(i for i, word in enumerate(command) if word.endswith(".py"))
        program, words = ROOT / command[place], command[place + 1 :]
        assert program.is_file()
        if program.parent == SCRIPTS:
            assert script(program.stem).parser().parse_args(words)
        else:
            run = parse_command_line(words, program=program.stem, schema=TrainBackdoor, about="")
            assert run.config.roles == (OrganismRole.DECOY,)


@pytest.mark.parametrize("path", SLURM, ids=lambda path: path.name)
def test_slurm_options_are_options(path):
    lines = [line for line in path.read_text().splitlines() if line.startswith("#SBATCH")]
    known = (
        "job-name nodes ntasks ntasks-per-node gpus-per-task gpus-per-node cpus-per-task time array".split()
    )
    assert lines
    for line in lines:
        name, _, value = line.removeprefix("#SBATCH --").partition("=")
        assert name in known
        assert value
