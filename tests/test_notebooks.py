"""Every notebook is short, runs from top to bottom without a network, and shows what its text says."""

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
    outputs = execute(path, last="print(result.to_json())" if path.name == "probes.ipynb" else "")
    assert [o for o in outputs if "application/vnd.plotly.v1+json" in o.get("data", {})], "it shows no figure"
    if path.name == "probes.ipynb":
        check_transfer(TransferResult.from_json(outputs[-1]["text"]))


def check_transfer(result: TransferResult) -> None:
    """Hold the text of probes.ipynb to the numbers that it describes."""
    cells = {(cell.fitted_on, cell.scored_on): cell for cell in result.matrix}
    assert len(cells) == 16
    assert cells["planted", "same words"].auroc.low > 0.6
    assert cells["planted", "swapped"].inverted
    verdicts = {verdict.target: verdict for verdict in result.verdicts}
    assert verdicts["swapped"].code == "inverted"
    assert any(flag.startswith("text cue: tf-idf") for flag in verdicts["same words"].flags)
