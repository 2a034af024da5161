"""Real QuALITY text: skipped when the data folder is absent."""

import json
import os

import pytest

from tasks.quality import Quality, data_folder

needs_data = pytest.mark.skipif(
    "SOPHISTRY_DATA" not in os.environ, reason="SOPHISTRY_DATA is not set: no QuALITY text here"
)


def test_missing_data_folder_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("SOPHISTRY_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="SOPHISTRY_DATA"):
        Quality.short_contexts()
    monkeypatch.setenv("SOPHISTRY_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="quality_two_choice"):
        data_folder("quality_two_choice")


def test_official_rows_are_reduced_to_gold_and_most_voted_distractor(tmp_path):
    question = {
        "question": "Who?",
        "question_unique_id": "q1",
        "options": ["a", "b", "c", "d"],
        "gold_label": 2,
        "validation": [{"untimed_eval3_distractor": k} for k in (4, 4, 1)],
    }
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"article_id": "1", "article": "Text.", "questions": [question]}))
    (item,) = Quality.official(path)
    assert set(item.options) == {"b", "d"}
    assert item.options[item.gold] == "b"


@needs_data
def test_articles_never_cross_splits():
    train, held = Quality.short_contexts("train"), Quality.short_contexts("val")
    assert {i.group for i in train}.isdisjoint({i.group for i in held})
    assert len(held) >= 250


@needs_data
def test_full_passages_join_every_question_to_its_story():
    items = Quality.full_passages()
    assert len(items) > 1300
    assert min(len(i.passage.split()) for i in items) > 500
