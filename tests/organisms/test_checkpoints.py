"""Training goes on from its own checkpoints and from nobody else's."""

import pytest

from organisms.checkpoints import RECIPE, claim

OWN = {"settings": {"steps": 10, "rank": 4}, "examples": "8 examples", "start": "abc"}


@pytest.fixture
def folder(tmp_path):
    """A folder in which training stopped after a checkpoint."""
    assert not claim(tmp_path / "run", **OWN)
    (tmp_path / "run" / "checkpoint-5").mkdir()
    return tmp_path / "run"


def test_the_same_recipe_goes_on(folder):
    assert claim(folder, **OWN)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": {"steps": 20, "rank": 4}}, "other steps"),
        ({"examples": "9 examples"}, "other examples"),
        ({"start": "def"}, "other start"),
    ],
)
def test_another_recipe_is_refused_by_what_differs(folder, change, named):
    with pytest.raises(ValueError, match=named):
        claim(folder, **OWN | change)
    assert claim(folder, **OWN), "what was written down is still there"


def test_checkpoints_without_a_recipe_are_refused(folder):
    (folder / RECIPE).unlink()
    with pytest.raises(ValueError, match="checkpoints of another recipe"):
        claim(folder, **OWN)


def test_a_folder_without_checkpoints_is_free_for_another_recipe(tmp_path):
    claim(tmp_path, **OWN)
    assert not claim(tmp_path, **OWN | {"start": "def"})
