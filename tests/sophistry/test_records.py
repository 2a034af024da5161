"""One loader for presets, results, transcripts, problems and organisms: strict, and clear about the place."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from organisms.record import RECORD, SHIPPED, OrganismRole, read_organism, write_record
from probes.evaluation.kinds import ControlKind, Design
from probes.evaluation.results import TransferResult
from sophistry.files import ROOT
from sophistry.records import ConfigError, build, build_json, field_type, read_word, read_yaml, to_plain
from tasks.programming import load_problems
from tasks.transcript import transcript_from_dict

RESULT = Path(__file__).parents[1] / "study" / "fixtures" / "transfer_result.json"
ROW = {"id": "1", "group": "g", "task": "qa", "organism": "o", "prompt": "p", "response": "r"}
PROBLEM = {"id": "p", "group": "g", "statement": "s", "tests": [{"input": "1", "output": "1"}]}


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    draws: int = 2000
    level: float = 0.95

    def __post_init__(self):
        if self.draws < 1:
            raise ValueError(f"draws must be positive, got {self.draws}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    source: str = "a"
    targets: tuple[str, ...] = ()
    layers: tuple[int, ...] | Literal["all"] = "all"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    share: bool = True
    cap: int | None = None
    names: dict[str, str] = field(default_factory=dict)
    bootstrap: Bootstrap = Bootstrap()
    repeats: tuple[Bootstrap, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


settings = st.builds(
    Settings,
    source=st.text(),
    targets=st.lists(st.text()).map(tuple),
    layers=st.just("all") | st.lists(st.integers(-(2**62), 2**62)).map(tuple),
    dtype=st.sampled_from(["bfloat16", "float32"]),
    share=st.booleans(),
    cap=st.none() | st.integers(0, 10),
    names=st.dictionaries(st.text(), st.text()),
    bootstrap=st.builds(Bootstrap, draws=st.integers(1, 9), level=st.floats(allow_nan=False)),
    extra=st.dictionaries(st.text(), st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()),
)


@given(settings)
def test_plain_values_and_json_build_the_record_they_came_from(record):
    assert build(Settings, to_plain(record)) == record
    assert build_json(Settings, json.dumps(to_plain(record))) == record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorce: b", r"^There is no field 'sorce'. Did you mean source or share\?$"),
        ("bootstrap: {draw: 3}", r"no field 'bootstrap.draw'. Did you mean bootstrap.draws"),
        (
            "repeats: [{draws: 3}, {drwas: 3}]",
            r"no field 'repeats\[1\].drwas'. Did you mean repeats\[1\].draws",
        ),
        ("bootstrap: 3", r"^bootstrap: expected fields and values, got 3"),
        ("bootstrap: {draws: '500'}", r"^bootstrap.draws: expected whole number, got '500'"),
        ("bootstrap: {draws: 0}", r"^bootstrap: draws must be positive, got 0"),
        ("source: 12", r"^source: expected text, got 12"),
        ("source: null", r"^source: expected text, got None"),
        ("cap: 1.5", r"^cap: expected whole number or none, got 1.5"),
        ("cap: true", r"^cap: expected whole number or none, got True"),
        ("share: 1", r"^share: expected true or false, got 1"),
        ("dtype: float16", r"^dtype: There is no choice 'float16'. Did you mean bfloat16 or float32"),
        ("layers: some", r"^layers: expected list of whole number or all, got 'some'"),
        ("targets: [a, 3]", r"^targets\[1\]: expected text, got 3"),
        ("targets: 'a,b'", r"^targets: expected list of text, got 'a,b'"),
        ("names: {x: 3}", r"^names.x: expected text, got 3"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_expected(text, message):
    with pytest.raises(ConfigError, match=message):
        build(Settings, read_yaml(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, r"^transcript '1': There is no field 'colour'.*into 'extra'"),
        ({"correct": 1}, r"^transcript '1': correct: expected true or false or none, got 1"),
        ({"reward": "1"}, r"^transcript '1': reward: expected number or none, got '1'"),
        ({"triggered": "yes"}, r"^transcript '1': triggered: expected true or false"),
        ({"prompt": 3}, r"^transcript '1': prompt: expected text or list of names to text, got 3"),
        ({"task": "x"}, r"^transcript '1': task must be one of"),
    ],
)
def test_a_wrong_transcript_is_refused_with_row_and_field(change, message):
    with pytest.raises(ValueError, match=message):
        transcript_from_dict(ROW | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solutions": 3}, r"jsonl:1: solutions: expected list of text, got 3"),
        ({"mutants": [{"code": "x", "odd": 1}]}, r"jsonl:1: There is no field 'mutants\[0\].odd'"),
        ({"tests": []}, r"jsonl:1: problem 'p' has no tests"),
    ],
)
def test_a_wrong_problem_is_refused_with_line_and_field(tmp_path, change, message):
    (tmp_path / "p.jsonl").write_text(json.dumps(PROBLEM | change))
    with pytest.raises(ValueError, match=message):
        load_problems(tmp_path / "p.jsonl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rol": "x"}, r"organism.yaml: There is no field 'rol'. Did you mean role"),
        ({"name": 3}, r"organism.yaml: name: expected text, got 3"),
        (
            {"role": "backdored"},
            r"organism.yaml: role: There is no choice 'backdored'. Did you mean backdoored",
        ),
        ({"role": 3}, r"organism.yaml: role: expected pi_init \| .* \| clean \| adopted, got 3"),
        ({"schema": 2}, r"organism.yaml has schema 2, this version reads 1"),
    ],
)
def test_a_wrong_organism_is_refused_with_file_and_field(tmp_path, change, message):
    record = read_yaml((ROOT / SHIPPED / "qa-clean" / RECORD).read_text(encoding="utf-8"))
    (tmp_path / RECORD).write_text(yaml.safe_dump(record | change))
    with pytest.raises(ValueError, match=message):
        read_organism(tmp_path)


def test_closed_lists_of_words_are_read_and_written_as_their_text(tmp_path):
    record = read_organism(ROOT / SHIPPED / "qa-clean")
    assert record.role is OrganismRole.CLEAN
    write_record(tmp_path, record)
    assert (tmp_path / RECORD).read_text().splitlines()[1] == "role: clean"
    assert read_organism(tmp_path) == record
    assert read_word("clean, decoy", tuple[OrganismRole, ...]) == ["clean", "decoy"]
    result = TransferResult.from_json(RESULT.read_text(encoding="utf-8"))
    assert {type(e.design) for e in result.evaluations} == {Design}
    assert {type(c.kind) for c in result.controls} == {ControlKind}
    assert type(result.to_dict()["evaluations"][0]["design"]) is str


@pytest.mark.parametrize(
    ("list_", "field", "word", "message"),
    [
        (
            "evaluations",
            "design",
            "D4",
            r"evaluations\[0\].design: There is no choice 'D4'. Did you mean D4b or D4a",
        ),
        ("controls", "kind", "txt", r"controls\[0\].kind: There is no choice 'txt'. Did you mean text"),
        (
            "controls",
            "compared_with",
            "D9",
            r"controls\[0\].compared_with: expected .*D1.* or none, got 'D9'",
        ),
        ("domains", "role", "sauce", r"domains\[0\].role: There is no choice 'sauce'. Did you mean source"),
        ("verdicts", "code", "transfer", r"verdicts\[0\].code: .*Did you mean transfers"),
        ("repairs", "step", "re-center", r"repairs\[0\].step: .*Did you mean re-centre"),
    ],
)
def test_a_word_that_a_result_does_not_know_is_refused_with_the_nearest(list_, field, word, message):
    record = json.loads(RESULT.read_text(encoding="utf-8"))
    record[list_][0][field] = word
    with pytest.raises(ValueError, match=message):
        TransferResult.from_dict(record)


def test_a_wrong_result_is_refused_with_the_place_of_the_number():
    record = json.loads(RESULT.read_text(encoding="utf-8"))
    read = TransferResult.from_dict(record).to_dict()
    assert read.pop("family_controls") == []  # fields that old files lack
    assert {control.pop("probe") for control in read["controls"]} == {None}
    assert read == record
    with pytest.raises(ValueError, match=r"no field 'colour'.*of another version"):
        TransferResult.from_dict(record | {"colour": 1})
    record["evaluations"][0]["auroc"]["value"] = "high"
    with pytest.raises(
        ValueError, match=r"evaluations\[0\].auroc.value: expected number or none, got 'high'"
    ):
        TransferResult.from_dict(record)
    del record["evaluations"][0]["auroc"]
    with pytest.raises(ValueError, match=r"No value for evaluations\[0\].auroc"):
        TransferResult.from_dict(record)


@pytest.mark.parametrize(
    ("word", "dotted", "value"),
    [
        ("3,5", "layers", [3, 5]),
        ("all", "layers", "all"),
        ("none", "cap", None),
        ("many", "cap", "many"),
        ("12", "source", "12"),
        ("9e-1", "bootstrap.level", 0.9),
        ("12", "names.any", "12"),
        ("{draws: 3}", "bootstrap", {"draws": 3}),
    ],
)
def test_only_words_of_a_command_line_are_read_as_the_type_of_their_field(word, dotted, value):
    assert read_word(word, field_type(Settings, dotted)) == value
