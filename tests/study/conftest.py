"""The miniature study that several tests share."""

from pathlib import Path

import pytest

from study.testing import tiny_study


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Path of the preset of a miniature study."""
    return tiny_study(tmp_path_factory.mktemp("study"))
