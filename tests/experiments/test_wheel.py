"""The wheel holds all that `sophistry transfer --preset mini` reads, and runs outside a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from experiments.cli import dispatch
from organisms import record
from organisms.record import ADAPTER, RECORD, SHIPPED, TRANSCRIPTS, WEIGHTS
from sophistry.files import ROOT
from sophistry.records import ConfigError

PACKAGES = "sophistry tasks activations probes organisms backdoor rlhf study experiments".split()
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="no source tree")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build from a copy, so that what an older build left in build/ cannot slip in."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(tree)], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Unpack the wheel where nothing else of the project lies."""
    folder = tmp_path_factory.mktemp("installed")
    with ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def _run(code: str, installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)


def test_every_source_file_and_every_shipped_file_is_in_the_wheel(wheel):
    sources = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as file:
        names = set(file.namelist())
    assert sources <= names, sorted(sources - names)
    assert {name for name in names if ".dist-info/" not in name} <= sources
    folders = [path.parent.name for path in (ROOT / SHIPPED).glob(f"*/{RECORD}")]
    assert len(folders) >= 9
    for folder in folders:
        assert {f"{SHIPPED}/{folder}/{name}" for name in (ADAPTER, RECORD, TRANSCRIPTS, WEIGHTS)} <= names


def test_wheel_stays_below_what_package_indexes_take(wheel):
    assert wheel.stat().st_size < 60e6


def test_wheel_offers_the_sophistry_command(wheel):
    with ZipFile(wheel) as file:
        (entry,) = (name for name in file.namelist() if name.endswith("entry_points.txt"))
        assert "sophistry = experiments.cli:main" in file.read(entry).decode()


def test_installed_program_explains_itself_and_finds_what_it_ships_outside_a_checkout(installed, tmp_path):
    code = (
        "from experiments.cli import dispatch; from organisms import read_organism\n"
        "from organisms.record import find_organism\n"
        "print(read_organism(find_organism('organisms/shipped/qa-backdoored')).name)\n"
        "dispatch(['transfer', '--preset', 'mini', '--help'])"
    )
    done = _run(code, installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("qa-backdoored\nsophistry transfer [--preset")


def test_missing_organism_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"Did you mean qa-backdoored.*train_backdoor"):
        record.find_organism(f"{SHIPPED}/qa-backdored")
    monkeypatch.setattr(record, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match=r"No organism is shipped below .*: install the wheel"):
        record.find_organism("nowhere/qa-clean")


def test_unknown_program_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no program 'tranfer'. Did you mean transfer"):
        dispatch(["tranfer"])
