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
    fields = described(data)
    assert list(fields) == [field.name for field in dataclasses.fields(Transcript) if field.name != "extra"]
    row = json.loads(path.read_text().splitlines()[0])
    for name, field in fields.items():
        assert field["description"]
        assert name in row
        if name != "prompt":
            assert field["source"] == {"fileObject": {"@id": path.name}, "extract": {"column": name}}
    types = {name: fields[name]["dataType"] for name in ("correct", "reward", "prompt_cut_tokens", "id")}
    assert types == {
        "correct": "sc:Boolean",
        "reward": "sc:Float",
        "prompt_cut_tokens": "sc:Integer",
        "id": "sc:Text",
    }
    assert data["recordSet"][0]["key"]["@id"] in {field["@id"] for field in fields.values()}


def described(data):
    return {field["name"]: field for field in data["recordSet"][0]["field"]}


@pytest.fixture
def of_rows(tmp_path):
    """Descriptions of rows with these values in one field."""

    def describe(field, *values):
        rows = [
            dataclasses.replace(row, **{field: value})
            for row, value in zip(tiny_answers("toy", ("plain",), count=len(values)), values, strict=True)
        ]
        path = save_transcripts(rows, tmp_path / "transcripts.jsonl")
        return described(croissant(path, DataCard(name="toy", description="Answers.", licence=MIT)))

    return describe


def test_messages_and_extras_are_described_part_by_part(of_rows):
    chat = [{"role": "system", "content": "Read."}, {"role": "user", "content": "A or B?"}]
    prompt = of_rows("prompt", chat, chat[1:])["prompt"]
    assert prompt["repeated"]
    assert {part["name"]: part["dataType"] for part in prompt["subField"]} == {
        "role": "sc:Text",
        "content": "sc:Text",
    }
    for part in prompt["subField"]:
        assert part["source"]["transform"] == {"jsonPath": part["name"]}

    extra = of_rows("extra", {"quoted": True, "statuses": ["passed", "failed"]}, {"quoted": None})["extra"]
    parts = {part["name"]: (part["dataType"], part.get("repeated", False)) for part in extra["subField"]}
    assert parts == {"quoted": ("sc:Boolean", False), "statuses": ("sc:Text", True)}


def test_what_croissant_has_no_type_for_is_left_out(of_rows):
    chat = [{"role": "user", "content": "A or B?"}]
    assert of_rows("prompt", "A or B?", "C or D?")["prompt"]["dataType"] == "sc:Text"
    assert "prompt" not in of_rows("prompt", "A or B?", chat)
    assert "extra" not in of_rows("extra", {}, {})
    assert [part["name"] for part in of_rows("extra", {"a": {"b": 1}, "c": 1})["extra"]["subField"]] == ["c"]


def test_the_reference_reader_reads_every_row(made):
    reader = pytest.importorskip("mlcroissant", reason="the reference reader is an optional check")
    path, data = made
    (path.parent / CROISSANT).write_text(json.dumps(data))
    rows = list(reader.Dataset(jsonld=str(path.parent / CROISSANT)).records("transcripts"))
    assert [row["transcripts/correct"] for row in rows] == [
        json.loads(line)["correct"] for line in path.read_text().splitlines()
    ]


def test_every_short_name_that_is_used_is_explained_by_the_context_or_by_schema_org(made):
    _, data = made
    ours = {
        "fileObject",
        "extract",
        "column",
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
