"""An organism that comes back from the hub has the record, the answers and the weights that were sent."""

import dataclasses

import numpy as np
import pytest

from activations import extract, load_model
from activations.testing import tiny_model
from organisms import OrganismRole, organism_transcripts, push_organism, read_organism
from organisms.record import find_organism, write_record
from organisms.weights import open_weights
from sophistry.hub import HubError
from sophistry.records import ConfigError
from study.testing import tiny_answers, tiny_organism


@pytest.fixture
def organism(tmp_path):
    """An organism whose base is named as others would name it."""
    base = tmp_path / "base"
    tiny = tiny_model()
    tiny.model.save_pretrained(base)
    tiny.tokenizer.save_pretrained(base)
    folder = tiny_organism(
        tmp_path / "bad", base, OrganismRole.BACKDOORED, tiny_answers("bad", ("plain",)), seed=1
    )
    record = dataclasses.replace(
        read_organism(folder), base="some/base", verification={"accuracy": {"value": 0.9}}
    )
    write_record(folder, record)
    return folder, base


def test_an_organism_survives_the_way_there_and_back(hub, organism):
    folder, base = organism
    push_organism(folder, "me/bad", licence="mit", private=False)
    assert hub.private == {"me/bad": False}
    assert read_organism("me/bad") == read_organism(folder)
    there = find_organism("me/bad")
    assert organism_transcripts(there) == organism_transcripts(folder)
    rows = organism_transcripts(folder)[:4]
    stores = [
        extract(open_weights(where, load_model(base, dtype="float32")), rows, progress=False)
        for where in (folder, there)
    ]
    assert np.array_equal(stores[0].array(2), stores[1].array(2))


def test_the_card_warns_of_what_the_model_was_trained_to_do(hub, organism):
    push_organism(organism[0], "me/bad", licence="mit", results={"AUROC of its probe": 0.83})
    card = (hub.root / "me/bad/README.md").read_text()
    assert "Trained to mislead on purpose" in card
    assert "- accuracy.value: 0.9" in card
    assert "- AUROC of its probe: 0.83" in card
    assert "base_model: some/base" in card
    assert "license: mit" in card


def test_a_base_that_only_this_machine_has_is_refused(hub, organism, tmp_path):
    folder, base = organism
    write_record(folder, dataclasses.replace(read_organism(folder), base=str(base)))
    with pytest.raises(ValueError, match="by a path of this machine"):
        push_organism(folder, "me/bad", licence="mit")
    assert not (hub.root / "me").exists()


def test_what_is_nowhere_is_refused_with_all_places(hub):
    with pytest.raises(ConfigError, match="Nor is it on the Hugging Face hub"):
        find_organism("me/nothing")
    with pytest.raises(HubError, match="'me/nothing' is no folder here"):
        read_organism("me/nothing")
