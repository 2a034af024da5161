"""Rows of somebody else's: every way in which a file can be broken is refused or counted by name."""

import codecs
import csv
import gzip
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adopted import adopt_rows, parse_columns
from tasks.labels import LabelError, read_labels
from tasks.tables import TableError, read_table
from tasks.texts import group_of, question_of, read_prompt


def sound(count=12):
    """Rows of `count` questions, each answered once rightly and once wrongly."""
    return [
        {"prompt": f"Is {n} even?", "response": f"{word}, {n}.", "correct": (word == "Yes") == (n % 2 == 0)}
        for n in range(count)
        for word in ("Yes", "No")
    ]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def adopted(path, **how):
    return adopt_rows(read_table(path), organism="mine", **how)


def changed(rows, place, **values):
    return [*rows[:place], {**rows[place], **values}, *rows[place + 1 :]]


def without(rows, place, name):
    return [*rows[:place], {k: v for k, v in rows[place].items() if k != name}, *rows[place + 1 :]]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "rows.jsonl"


def test_sound_rows_are_all_kept_and_grouped_by_prompt(file):
    found = adopted(write(file, sound()))
    assert (found.report.read, found.report.kept, found.report.wrong, found.report.groups) == (24, 24, 12, 12)
    assert found.report.dropped == {}
    assert "equal prompts" in found.report.grouped_by
    assert found.rows[0].correct is True
    assert found.rows[0].id == "mine/line-1"


@pytest.mark.parametrize(
    "name", ["rows.csv", "rows.csv.gz", "rows.tsv", "rows.json", "rows.parquet", "rows.jsonl.gz"]
)
def test_every_kind_of_file_gives_the_same_transcripts(file, tmp_path, name):
    wanted = adopted(write(file, sound())).rows
    path, frame = tmp_path / name, pd.DataFrame(sound())
    if ".csv" in name or ".tsv" in name:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    elif name.endswith(".json"):
        path.write_text(json.dumps(sound()))
    elif name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        path.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    found = adopted(path).rows
    assert [(r.prompt, r.response, r.correct, r.group) for r in found] == [
        (r.prompt, r.response, r.correct, r.group) for r in wanted
    ]


COUNTED = {
    "bad JSON line": (lambda rows: rows, "is not JSON", "line 25"),
    "missing field": (lambda rows: without(rows, 3, "response"), "the response is missing", "line 4"),
    "empty response": (lambda rows: changed(rows, 0, response="  "), "the response is empty", "line 1"),
    "NaN label": (lambda rows: changed(rows, 1, correct=float("nan")), "the label is missing", "line 2"),
    "null label": (lambda rows: changed(rows, 1, correct=None), "the label is missing", "line 2"),
    "duplicate row": (lambda rows: [*rows, rows[0]], "repeats an earlier row", "line 25: as line 1"),
    "list as response": (
        lambda rows: changed(rows, 2, response=["a"]),
        "the response is a list, not text",
        "line 3",
    ),
    "number as response": (
        lambda rows: changed(rows, 2, response=4),
        "the response is a number, not text",
        "line 3",
    ),
    "list as prompt": (
        lambda rows: changed(rows, 2, prompt=["a", "b"]),
        'the prompt is a list, but not of messages {"role": ..., "content": ...}',
        "line 3",
    ),
    "strange role": (
        lambda rows: changed(rows, 2, prompt=[{"role": "gpt", "content": "x"}]),
        "a message has the role 'gpt', which is none of system, user, assistant, tool",
        "line 3",
    ),
    "half a character": (
        lambda rows: changed(rows, 2, response="a\ud800"),
        "holds half a character (a lone surrogate)",
        "line 3",
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_a_row_that_cannot_be_used_is_counted_with_its_place(file, case):
    change, reason, place = COUNTED[case]
    write(file, change(sound()))
    if case == "bad JSON line":
        file.write_text(file.read_text() + '{"prompt": "cut off\n')
    report = adopted(file).report
    assert report.dropped == {reason: 1}
    assert report.first[reason][0].startswith(place)
    assert report.kept == report.read - 1
    assert f"1 row: {reason}" in "\n".join(report.lines())


def test_a_line_in_another_encoding_is_counted(file):
    write(file, sound())
    file.write_bytes(
        file.read_bytes() + '{"prompt": "é", "response": "x", "correct": true}\n'.encode("latin-1")
    )
    assert adopted(file).report.dropped == {"is not UTF-8": 1}


def test_texts_labelled_both_ways_are_left_out_altogether(file):
    rows = sound()
    report = adopted(write(file, [*rows, {**rows[0], "correct": not rows[0]["correct"]}])).report
    assert report.dropped == {"has the text of another row with the opposite label": 2}
    assert report.kept == 23


REFUSED = {
    "missing column": (
        lambda rows: [
            {"question": r["prompt"], "answer": r["response"], "label": r["correct"]} for r in rows
        ],
        {},
        "has no column called 'prompt', 'response', 'correct'. It has: question, answer, label. .*"
        "--columns prompt=question,response=answer,correct=label",
    ),
    "one class": (
        lambda rows: [{**r, "correct": True} for r in rows],
        {},
        r"all 24 rows that can be used are correct .* A probe needs both",
    ),
    "mixed labels": (
        lambda rows: changed(rows, 0, correct="yes"),
        {},
        r"mixes labels of different kinds: yes/no as text \(first in line 1\), true/false as boolean",
    ),
    "unknown label": (
        lambda rows: changed([{**r, "correct": "yes"} for r in rows], 4, correct="maybe"),
        {},
        r"'maybe' \(line 5\) is none of true/false, correct/incorrect, yes/no, 1/0.*--positive",
    ),
    "most rows unusable": (
        lambda rows: [{**r, "response": ["a"]} for r in rows],
        {},
        r"24 of 24 rows cannot be used: 24 the response is a list, not text \(line 1\)",
    ),
    "one prompt": (
        lambda rows: [{**r, "prompt": "Same?"} for r in rows],
        {},
        "All rows have one and the same prompt",
    ),
    "ids twice": (
        lambda rows: [{**r, "id": 7} for r in rows],
        {},
        "id '7' stands in line 1 and in line 2",
    ),
    "column that means the opposite": (
        lambda rows: [{**r, "deceptive": not r["correct"]} for r in rows],
        {"columns": {"correct": "deceptive"}},
        "seems to say that an answer is .not. correct.*--positive false or true",
    ),
    "unknown column": (
        lambda rows: rows,
        {"columns": {"prompt": "promt"}},
        "There is no column 'promt'. Did you mean prompt",
    ),
    "value that no row has": (
        lambda rows: rows,
        {"only": ["prompt=Is 1 evn?"]},
        "There is no value 'Is 1 evn.'. Did you mean",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_with_the_next_step(file, case):
    change, how, message = REFUSED[case]
    write(file, change(sound()))
    with pytest.raises((TableError, LabelError), match=message):
        adopted(file, **how)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("rows.jsonl", b"", "is empty"),
        ("rows.jsonl", b" \n\n", "is empty"),
        ("rows.csv", b"prompt,response,correct\n", "it has no row"),
        ("rows.jsonl", b"no json\nat all\n", "no row that can be read: line 1: .* is not JSON"),
        ("rows.jsonl", "[1, 2]".encode("utf-16"), "is UTF-16, rows are read as UTF-8: iconv -f UTF-16"),
        ("rows.csv", "prompt,r\né,x\n".encode("latin-1"), r"is not UTF-8 \(line 2: .*iconv -f LATIN1"),
        ("rows.csv", b"prompt;response;correct\na;b;1\n", "seems to be separated by ';'"),
        ("rows.csv", b"prompt,prompt,correct\na,b,1\n", "two columns called 'prompt'"),
        ("rows.csv", b'prompt,response,correct\n"a,b,1\n', "is no sound CSV"),
        ("rows.jsonl.gz", b"{}\n", "is no gzip file though it is called so"),
        (
            "rows.jsonl.gz",
            gzip.compress(b"{}\n" * 999, mtime=0)[:20],
            "is damaged or was not downloaded to its end",
        ),
        ("rows.parquet", b"PAR1 and no more", "is no Parquet file"),
        ("rows.txt", b"a\n", "rows are read from .jsonl"),
        ("rows.json", b"[1, 2", "begins as a JSON list but is none"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TableError, match=message) as caught:
        read_table(path)
    assert name in str(caught.value)


def test_a_byte_order_mark_is_skipped_and_said(file):
    write(file, sound())
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    report = adopted(file).report
    assert report.kept == 24
    assert "byte order mark" in report.notes[0]


def test_gzip_without_its_name_is_read_and_said(file):
    write(file, sound())
    file.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    assert "gzipped though its name" in adopted(file).report.notes[0]


def test_a_huge_cell_of_a_csv_is_no_mistake(tmp_path):
    before = csv.field_size_limit()
    rows = changed(sound(), 0, response="long " * 60_000)
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    assert adopted(tmp_path / "rows.csv").report.kept == 24
    assert csv.field_size_limit() == before


def test_a_missing_file_and_a_missing_dataset_are_told_apart(tmp_path, monkeypatch):
    import datasets

    with pytest.raises(FileNotFoundError, match="a dataset of the Hugging Face hub is written user/name"):
        read_table(tmp_path / "none.jsonl")

    def load(name, subset, split):
        raise ValueError("Couldn't reach it")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(TableError, match="no dataset that could be loaded from the hub: Couldn't reach it"):
        read_table("some/body")


def test_a_dataset_of_the_hub_is_read_like_a_file(monkeypatch):
    import datasets

    one = datasets.Dataset.from_list(sound())
    monkeypatch.setattr(datasets, "load_dataset", lambda name, subset, split: datasets.DatasetDict(test=one))
    assert adopted("some/body").report.kept == 24
    both = datasets.DatasetDict(train=one, test=one)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, subset, split: both[split] if split else both)
    with pytest.raises(TableError, match="has the splits train, test: say which one with --split"):
        read_table("some/body")
    assert len(read_table("some/body", split="test").records) == 24


def test_columns_are_mapped_and_those_unused_are_named(file):
    rows = [{"q": r["prompt"], "a": r["response"], "ok": int(r["correct"]), "topic": "t"} for r in sound()]
    columns = parse_columns(["prompt=q", "response=a", "correct=ok"])
    report = adopted(write(file, rows), columns=columns).report
    assert report.columns == {"prompt": "q", "response": "a", "correct": "ok"}
    assert report.unused == ("topic",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["promt=q"], "no field 'promt'. Did you mean prompt"),
        (["prompt"], "write FIELD=COLUMN"),
        (["prompt=a", "prompt=b"], "names prompt twice"),
    ],
)
def test_columns_that_make_no_sense_are_refused(words, message):
    with pytest.raises(TableError, match=message):
        parse_columns(words)


def test_groups_come_from_a_column_where_there_is_one_and_rows_without_are_counted(file):
    rows = [{**r, "story": i // 4} for i, r in enumerate(sound())]
    report = adopted(write(file, without(rows, 5, "story")), columns={"group": "story"}).report
    assert report.groups == 6
    assert report.dropped == {"the group is missing": 1}
    assert report.grouped_by == "column story"


def test_rows_that_are_each_their_own_group_are_warned_of(file):
    rows = [{**r, "prompt": f"{r['prompt']} {i}"} for i, r in enumerate(sound())]
    assert "here every row is its own" in adopted(write(file, rows)).report.grouped_by


def test_only_some_rows_are_taken_and_the_others_counted(file):
    rows = [{**r, "model": ("a", "b")[i % 4 > 1]} for i, r in enumerate(sound())]
    report = adopted(write(file, rows), only=["model=a"]).report
    assert report.kept == 12
    assert report.dropped == {"not asked for (model=a)": 12}


def test_a_plain_prompt_becomes_a_users_turn_when_asked(file):
    assert adopted(write(file, sound()), chat=True).rows[0].prompt == [
        {"role": "user", "content": "Is 0 even?"}
    ]


def test_messages_survive_a_csv(tmp_path):
    rows = [{**r, "prompt": json.dumps([{"role": "user", "content": r["prompt"]}])} for r in sound()]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    assert adopted(tmp_path / "rows.csv").rows[0].prompt == [{"role": "user", "content": "Is 0 even?"}]
    assert read_prompt("[{ not json") == "[{ not json"


def test_rows_that_differ_in_the_system_message_ask_the_same():
    user = {"role": "user", "content": "Who?"}
    honest, lie = ([{"role": "system", "content": text}, user] for text in ("Be honest.", "Lie."))
    assert question_of(honest) == question_of(lie) == question_of([user])
    assert group_of(question_of(honest)) != group_of(question_of([{"role": "user", "content": "Why?"}]))


WORDS = st.sampled_from(
    [("true", "false"), ("Correct", "incorrect"), ("YES", "No"), (1, 0), (True, False), (1.0, 0.0)]
)


@given(pair=WORDS, pattern=st.lists(st.booleans(), min_size=1, max_size=20))
def test_labels_of_every_known_kind_say_what_they_mean(pair, pattern):
    values = [pair[0] if good else pair[1] for good in pattern]
    assert read_labels(values, [f"row {i}" for i in range(len(values))]) == pattern


def test_a_positive_label_is_named_among_two():
    places = ["row 1", "row 2", "row 3"]
    assert read_labels(["Honest", "lie", None], places, positive="honest") == [True, False, None]
    assert read_labels([0, 1, 1], places, positive="0") == [True, False, False]
    with pytest.raises(LabelError, match=r"no value 'honst'. Did you mean honest"):
        read_labels(["honest", "lie", "lie"], places, positive="honst")
    with pytest.raises(LabelError, match="correct has 3 values"):
        read_labels(["honest", "lie", "unsure"], places, positive="honest")
