"""Croissant metadata names every field of a transcript and hashes the file it describes."""

import dataclasses
import hashlib
import json

import pytest

from organisms import Organism, OrganismRole
from organisms.record import save_answers
from study.testing import tiny_answers
from tasks.croissant import CONTEXT, CROISSANT, MIT, VERSION, DataCard, croissant
from tasks.transcript import Transcript, save_transcripts

REQUIRED = (
    "@context",
    "@type",
    "conformsTo",
    "name",
    "description",
    "license",
    "url",
    "creator",
    "datePublished",
)
"""What the specification demands of a dataset."""


@pytest.fixture
def made(tmp_path):
    path = save_transcripts(tiny_answers("toy", ("plain",), count=8), tmp_path / "transcripts.jsonl")
    return path, croissant(path, DataCard(name="toy", description="Eight answers.", licence=MIT))


def test_required_properties_are_there_and_say_something(made):
    _, data = made
    assert not [name for name in REQUIRED if not data.get(name)]
    assert (data["@type"], data["conformsTo"]) == ("sc:Dataset", VERSION)
    assert data["@context"]["@vocab"] == "https://schema.org/"
    assert data["@context"]["cr"] == "http://mlcommons.org/croissant/"


def test_the_file_is_described_by_its_hash_and_size(made):
    path, data = made
    (file,) = data["distribution"]
    assert file["@type"] == "cr:FileObject"
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["contentSize"] == f"{path.stat().st_size} B"
    assert file["encodingFormat"] == "application/jsonlines"


def test_every_field_of_a_transcript_has_type_source_and_words(made):
    path, data = made
    (records,) = data["recordSet"]
    fields = {field["name"]: field for field in records["field"]}
    assert list(fields) == [field.name for field in dataclasses.fields(Transcript)]
    row = json.loads(path.read_text().splitlines()[0])
    for name, field in fields.items():
        assert field["source"]["fileObject"]["@id"] == path.name
        assert field["source"]["extract"]["jsonPath"] == f"$.{name}"
        assert field["description"]
        assert name in row
    types = {
        name: fields[name]["dataType"] for name in ("correct", "reward", "prompt_cut_tokens", "id", "prompt")
    }
    assert types == {
        "correct": "sc:Boolean",
        "reward": "sc:Float",
        "prompt_cut_tokens": "sc:Integer",
        "id": "sc:Text",
        "prompt": "sc:Text",
    }
    assert records["key"]["@id"] in {field["@id"] for field in records["field"]}


def test_every_short_name_that_is_used_is_explained_by_the_context_or_by_schema_org(made):
    _, data = made
    ours = {
        "fileObject",
        "extract",
        "jsonPath",
        "dataType",
        "source",
        "field",
        "recordSet",
        "key",
        "conformsTo",
    }
    assert ours <= CONTEXT.keys()
    ids = []

    def walk(value):
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, dict) and {"@id", "@type"} <= item.keys() and item["@type"] != "@json":
                ids.append(item["@id"])
            if isinstance(item, dict | list):
                walk(item)

    walk({name: part for name, part in data.items() if name != "@context"})
    assert len(ids) == len(set(ids))


def test_saved_answers_have_their_description_beside_them(tmp_path):
    record = Organism(name="toy", role=OrganismRole.CLEAN, task="qa", base="smollm2", base_fingerprint="0")
    path = save_answers(tmp_path, record, tiny_answers("toy", ("plain",), count=8))
    data = json.loads((tmp_path / CROISSANT).read_text())
    assert data["license"] == MIT
    assert data["distribution"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_adopted_answers_do_not_claim_a_licence(tmp_path):
    record = Organism(
        name="toy", role=OrganismRole.ADOPTED, task="other", base="smollm2", base_fingerprint="0"
    )
    save_answers(tmp_path, record, tiny_answers("toy", ("plain",), count=8))
    assert json.loads((tmp_path / CROISSANT).read_text())["license"].startswith("not said")
