"""Old import paths that a notebook may hold still work, or say where the thing is."""

import importlib

import pytest

from study import opening


def test_names_of_the_old_organisms_module_work_and_name_the_new_place() -> None:
    old = importlib.import_module("experiments.organisms")
    with pytest.warns(FutureWarning, match=r"study\.opening\.usable_rows"):
        assert old.usable_rows is opening.usable_rows
    with pytest.warns(FutureWarning, match=r"study\.opening\.untrained_copy"):
        assert old.untrained_twin is opening.untrained_copy
    with pytest.raises(AttributeError, match=r"study\.opening"):
        _ = old.nothing


def test_figures_and_transcripts_are_where_they_were() -> None:
    figures, backdoor = (importlib.import_module(name) for name in ("experiments.figures", "backdoor"))
    assert callable(figures.headline_figure)
    assert callable(backdoor.organism_transcripts)
