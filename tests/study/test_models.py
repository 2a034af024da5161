"""Models by the names of a preset, and models that read each other's answers."""

import pytest

from activations import load_model
from sophistry.records import ConfigError
from study.models import Roles, open_models, split_reader
from study.opening import RowChoice

MODELS = {"bad": "x", "rlhf": "y"}


def roles(sources=("bad",), targets=("rlhf",), controls=()):
    return Roles(sources=sources, targets=targets, controls=controls)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sources": ()}, "sources is empty"),
        ({"targets": ()}, "targets and controls are empty"),
        ({"targets": ("rlfh",)}, "There is no model 'rlfh'. Did you mean rlhf"),
        ({"targets": ("rlhf", "rlhf")}, "targets: rlhf is named twice"),
        ({"controls": ("rlhf",)}, "as target and as control"),
        ({"targets": ("nobody reads bad",)}, "There is no model 'nobody'"),
        ({"targets": ("rlhf reads base",)}, "There is no model 'base'"),
    ],
)
def test_names_that_mean_nothing_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        roles(**given).check(MODELS)


def test_names_that_mean_something_else_are_refused():
    for name in ("base", "a reads b"):
        with pytest.raises(ConfigError, match="cannot be a name"):
            roles().check(MODELS | {name: "z"})


def test_a_reader_has_the_weights_of_one_and_the_answers_of_the_other(study):
    root = study.parent
    models = {"bad": str(root / "bad"), "rlhf": str(root / "rlhf")}
    asked = roles(targets=("rlhf", "rlhf reads bad", "bad reads rlhf"), controls=("base reads bad",))
    asked.check(models)
    base = load_model(root / "base", dtype="float32")
    opened = {one.name: one for one in open_models(models, asked, base, RowChoice(most_of={"control": 20}))}
    assert list(opened) == list(asked.names)
    there, back = opened["rlhf reads bad"], opened["bad reads rlhf"]
    assert there.rows == opened["bad"].rows
    assert there.model.fingerprint == opened["rlhf"].model.fingerprint != opened["bad"].model.fingerprint
    assert back.rows == opened["rlhf"].rows
    assert back.model.fingerprint == opened["bad"].model.fingerprint
    assert opened["base reads bad"].model.fingerprint == base.fingerprint
    assert 0 < len(opened["base reads bad"].rows) <= 20
    assert {row.condition for row in opened["bad"].rows} == {"plain", "trigger"}


def test_a_name_without_reads_reads_itself():
    assert split_reader("U-stories") == ("U-stories", "U-stories")
