"""The miniature study that several tests share, and the run made from it once."""

from pathlib import Path

import pytest

from experiments import transfer
from study.testing import tiny_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Path of the preset of a miniature study."""
    return tiny_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def finished(study) -> Path:
    """Folder of one finished run of it."""
    out = study.parent / "run"
    transfer.main(["--preset", str(study), "--out", str(out)])
    return out
