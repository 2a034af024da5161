"""One bad row of a file never stops the rest; it is counted and named, and a file of bad rows is refused."""

import gzip
import json

import pytest

from rlhf.preferences import llmbar_pairs, pandalm_pairs
from tasks import Apps, load_problems
from tasks.debates import debate_speeches, single_turn_arguments
from tasks.programming import Problem, save_problems
from tasks.quality import Quality
from tasks.rows import read_rows

QUESTION = {
    "question_id": "q1",
    "article_id": "7",
    "question": "Who?",
    "options": ["Ida", "Tom"],
    "gold": 1,
    "split": "train",
    "context": "Ida slept.",
    "argument_for_gold": "It was Tom.",
    "argument_for_distractor": "It was Ida.",
}
SPEECH = {
    "question_id": "q1",
    "article_id": 7,
    "answer": "Tom",
    "argues_correct": True,
    "is_ai": False,
    "text": "Tom did.",
    "argument": "Tom did.",
    "judge_prob_before": 0.5,
    "judge_prob_after": 0.75,
    "split": "val",
}
OFFICIAL = {
    "article_id": "7",
    "article": "Ida slept.",
    "questions": [
        {"question": "Who?", "question_unique_id": "q1", "options": ["a", "b", "c", "d"], "gold_label": 2}
    ],
}
PANDALM = {
    "instruction": "Say hi.",
    "input": "",
    "response1": "hi",
    "response2": "no",
    **{f"annotator{k}": 1 for k in (1, 2, 3)},
}
LLMBAR = {"input": "Say hi.", "output_1": "hi", "output_2": "no", "label": 1, "subset": "Natural"}
APPS = {"problem_id": 1, "question": "q", "inputs": ["1"], "outputs": ["1"], "solutions": []}

LOADERS = {
    "short contexts": ("quality_two_choice/short_context.jsonl.gz", Quality.short_contexts, QUESTION, "gold"),
    "questions": ("quality_two_choice/questions.jsonl.gz", Quality.full_passages, QUESTION, "options"),
    "official": ("official.jsonl", Quality.official, OFFICIAL, "questions"),
    "speeches": ("nyu_debates/speeches.jsonl.gz", debate_speeches, SPEECH, "is_ai"),
    "arguments": ("single_turn_debate/arguments.jsonl.gz", single_turn_arguments, SPEECH, "argues_correct"),
    "pandalm": ("pandalm_human_test/testset_v1.jsonl.gz", pandalm_pairs, PANDALM, "annotator2"),
    "llmbar": ("llmbar/llmbar.jsonl.gz", llmbar_pairs, LLMBAR, "label"),
    "apps": ("apps.jsonl", Apps, APPS, "inputs"),
    "problems": ("problems.jsonl", load_problems, None, "tests"),
}


@pytest.fixture(params=list(LOADERS))
def loader(request, tmp_path, monkeypatch):
    """Write lines where a loader looks for them, and read them; with a good row and its vital field."""
    name, read, good, vital = LOADERS[request.param]
    monkeypatch.setenv("SOPHISTRY_DATA", str(tmp_path))
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if good is None:
        test = {"input": "1", "output": "1"}
        save_problems(path, [Problem(id="p", group="g", statement="Print 1.", tests=(test,))])
        good = json.loads(path.read_text())
    if request.param == "questions":
        story = json.dumps({"article_id": "7", "text": "Ida slept."})
        (path.parent / "passages.jsonl.gz").write_bytes(gzip.compress(story.encode()))

    def load(*lines: bytes):
        content = b"\n".join(lines)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return read(path) if "/" not in name else read()

    return load, good, vital


def broken(good, vital):
    lacking = {name: value for name, value in good.items() if name != vital}
    rows = ["{broken", "[1, 2]", "null", json.dumps(lacking), json.dumps({**good, vital: {"a": 1}})]
    return [*(row.encode() for row in rows), b"\xff\xfe not UTF-8", b"[" * 5000]


def test_one_bad_row_never_stops_the_rest_and_all_are_counted_and_named(loader, caplog):
    load, good, vital = loader
    row = json.dumps(good).encode()
    (alone,) = load(row)
    bad = broken(good, vital)
    for rows in (bad, *([one] for one in bad)):
        caplog.clear()
        assert list(load(*rows, b"", row)) == [alone]
        (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert record.getMessage().startswith(f"{len(rows)} ")


def test_a_file_without_a_good_row_is_refused(loader):
    load, good, vital = loader
    with pytest.raises(ValueError, match=r"\.jsonl"):
        load(*broken(good, vital))
    with pytest.raises(ValueError, match="empty"):
        load(b"")


def test_a_row_is_named_by_its_place_and_cause(tmp_path, caplog):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": 1}\n\n{"m": 2}\n{"n": 1}\n')
    assert read_rows(path, lambda row: row["n"], key=str) == [1]
    assert f"2 of 3 rows are left out: {path}:3: no field 'n'; {path}:4: '1' stands above" in caplog.text


def test_one_bad_question_of_an_article_leaves_the_others(tmp_path, caplog):
    good = OFFICIAL["questions"][0]
    bad = [{**good, "question_unique_id": "q2", "gold_label": 9}, {"question": "?"}, {"gold_label": 1}, 3]
    path = tmp_path / "quality.jsonl"
    path.write_text(json.dumps({**OFFICIAL, "questions": [*bad, good]}))
    assert [item.id for item in Quality.official(path)] == ["q1"]
    assert "3 of 5 rows are left out" in caplog.text  # one has no gold label: the test set's have none


@pytest.mark.parametrize("id_", [None, "", True, 1.5, ["q"]])
def test_a_question_without_a_group_is_a_bad_row_and_not_the_group_none(id_, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "quality_two_choice"
    folder.mkdir()
    monkeypatch.setenv("SOPHISTRY_DATA", str(tmp_path))
    rows = [{**QUESTION, "question_id": "q2", "article_id": id_}, QUESTION]
    text = "\n".join(map(json.dumps, rows))
    (folder / "short_context.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert [item.id for item in Quality.short_contexts()] == ["q1"]
    assert "article_id" in caplog.text


def test_a_download_that_broke_off_is_refused_and_not_read_in_part(tmp_path):
    whole = gzip.compress(b"\n".join(json.dumps({"n": n}).encode() for n in range(2000)))
    path = tmp_path / "rows.jsonl.gz"
    for content in (whole[: len(whole) // 2], b'{"n": 1}\n'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or was not downloaded"):
            read_rows(path, lambda row: row["n"])


def test_a_split_that_the_files_do_not_have_is_refused():
    for read in (Quality.short_contexts, Quality.full_passages, debate_speeches, single_turn_arguments):
        with pytest.raises(ValueError, match="split='test'"):
            read("test")
