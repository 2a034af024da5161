"""Every notebook is short, runs from top to bottom without a network, and shows what its text says."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from probes import TransferResult

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINES = {"probes.ipynb": 30}  # from activations to a transfer matrix in fewer lines than this


def code_of(notebook) -> list[str]:
    """Lines of code of a notebook, without blank lines and comments."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line.strip() for source in cells for line in source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def execute(path: Path, last: str = "") -> list:
    """Run a notebook in its own kernel, with one more cell; return the outputs of its code cells."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.fixture(autouse=True)
def our_packages_are_importable(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_short_and_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(code_of(notebook)) < LINES.get(path.name, 100)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, "clear the outputs before committing"
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_and_shows_what_its_text_says(path: Path) -> None:
    last, check = SAID.get(path.name, ("print()", lambda text: None))
    outputs = execute(path, last=last)
    assert [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})], "it shows no figure"
    check(outputs[-1]["text"])


def check_probes(text: str) -> None:
    """The numbers that probes.ipynb describes."""
    result = TransferResult.from_json(text)
    cells = {(cell.fitted_on, cell.scored_on): cell for cell in result.matrix}
    assert len(cells) == 16
    assert cells["planted", "same words"].auroc.low > 0.6
    assert cells["planted", "swapped"].inverted
    verdicts = {verdict.target: verdict for verdict in result.verdicts}
    assert verdicts["swapped"].code == "inverted"
    assert any(flag.startswith("text cue: tf-idf") for flag in verdicts["same words"].flags)


def check_quickstart(text: str) -> None:
    """Another family than the shipped models'; the probe works, and its words do as well."""
    family, record = text.split("\n", 1)
    assert family == "gpt_neox"
    result = TransferResult.from_json(record)
    (verdict,) = result.verdicts
    assert any(flag.startswith("text cue") for flag in verdict.flags)
    claim = next(e for e in result.evaluations if (e.design, e.scored_on) == ("D1", "theirs"))
    assert claim.auroc.low > 0.5


def check_verdicts(text: str) -> None:
    """The four sentences that transfer.ipynb promises."""
    result = TransferResult.from_json(text)
    found = {verdict.target: verdict for verdict in result.verdicts}
    assert {name: verdict.code for name, verdict in found.items()} == {
        "same direction": "transfers",
        "other direction": "no-transfer",
        "nothing there": "untestable",
        "turned round": "inverted",
    }
    assert any(flag.startswith("gap: rotation") for flag in found["other direction"].flags)


def check_rlhf(text: str) -> None:
    """Approved more and right less, where the evidence was not seen; and best-of-n says so before."""
    said = json.loads(text)
    assert said["approval"][0] > 0
    assert said["correctness"][1] < 0
    assert said["unseen wrong"] > said["seen wrong"]
    approved, right = said["best of n"]
    assert approved[-1] > approved[0]
    assert right[-1] < approved[-1] - approved[0] + right[0]


SAID = {
    "probes.ipynb": ("print(result.to_json())", check_probes),
    "quickstart.ipynb": ("print(model.config.model_type)\nprint(result.to_json())", check_quickstart),
    "transfer.ipynb": ("print(result.to_json())", check_verdicts),
    "rlhf.ipynb": (
        """change, seen = report.change, report.evidence
said = {name: [getattr(change, name).low, getattr(change, name).high] for name in ("approval", "correctness")}
said |= {name: seen[name]["approves"] for name in ("unseen wrong", "seen wrong")}
said["best of n"] = [best_of_k(pays, values, ns) for values in (measured, truth.astype(float))]
print(json.dumps(said))""",
        check_rlhf,
    ),
}
"""Notebook -> a last cell that prints what its text speaks of, and what holds the text to it."""
