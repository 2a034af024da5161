"""Transcripts: what is refused, and that nothing is lost on the way to disk and back."""

import dataclasses
import json

import jaxtyping
import pytest

from tasks import Transcript, from_dataset, load_transcripts, save_transcripts, to_dataset

ROW = Transcript(
    id="a",
    group="g",
    task="qa",
    organism="o",
    prompt=[{"role": "user", "content": "Où ?"}],
    response="là\n",
    correct=False,
    extra={"condition": "plain", "n": 1},
)


def test_file_round_trip_keeps_every_field(tmp_path):
    rows = [ROW, dataclasses.replace(ROW, id="b", prompt="literal", correct=None, reward=0.5)]
    assert load_transcripts(save_transcripts(rows, tmp_path / "t.jsonl")) == rows


def test_dataset_round_trip_keeps_every_field():
    rows = [ROW, dataclasses.replace(ROW, id="b", prompt="literal", answer="A")]
    assert from_dataset(to_dataset(rows)) == rows


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("group", 3),
        ("task", "poetry"),
        ("response", None),
        ("correct", 1),
        ("reward", float("nan")),
        ("approved", "yes"),
        ("prompt", []),
        ("prompt", [{"role": "user"}]),
    ],
)
def test_wrong_value_is_refused_by_field_name(field, value, monkeypatch):
    # users run without the shape and type checks of the test suite: the schema must hold by itself
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(ROW, **{field: value})


def test_duplicate_ids_are_refused_when_written_and_when_read(tmp_path):
    with pytest.raises(ValueError, match="duplicate"):
        save_transcripts([ROW, ROW], tmp_path / "t.jsonl")
    path = tmp_path / "u.jsonl"
    path.write_text((json.dumps(ROW.to_dict()) + "\n") * 2)
    with pytest.raises(ValueError, match="duplicate"):
        load_transcripts(path)


def test_bad_line_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(ROW.to_dict()) + "\n{broken\n")
    with pytest.raises(ValueError, match=r"t\.jsonl:2"):
        load_transcripts(path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = save_transcripts([ROW], tmp_path / "t.jsonl")
    with pytest.raises(TypeError):
        save_transcripts([dataclasses.replace(ROW, extra={"bad": object()})], path)
    assert load_transcripts(path) == [ROW]
