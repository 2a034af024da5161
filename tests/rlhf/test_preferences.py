"""Human preference pairs: who won is read from the votes, and nothing is cut."""

import gzip
import json
import os

import pytest

from activations.testing import tiny_tokenizer
from rlhf import llmbar_pairs, pandalm_pairs, preference_pairs

needs_data = pytest.mark.skipif(
    "SOPHISTRY_DATA" not in os.environ, reason="SOPHISTRY_DATA is not set: no preference data here"
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with three PandaLM rows (won by 2, a tie, a split vote) and two LLMBar rows."""

    def row(votes, **changes):
        base = {"instruction": "Do it.", "input": "", "response1": "one", "response2": "two"}
        return base | {f"annotator{k + 1}": v for k, v in enumerate(votes)} | changes

    panda = [row((2, 2, 1)), row((0, 0, 2)), row((0, 1, 2)), row((1, 1, 1), response1=False)]
    bar = [
        {"subset": "Natural", "input": "Why?", "output_1": "a" * 50, "output_2": "b", "label": 1},
        {"subset": "Adversarial/Manual", "input": "Why?", "output_1": "a", "output_2": "b", "label": 2},
    ]
    for name, rows in (("pandalm_human_test/testset_v1", panda), ("llmbar/llmbar", bar)):
        path = tmp_path / f"{name}.jsonl.gz"
        path.parent.mkdir()
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    monkeypatch.setenv("SOPHISTRY_DATA", str(tmp_path))


@pytest.mark.usefixtures("data")
def test_majority_wins_and_ties_split_votes_and_broken_rows_are_dropped():
    (pair,) = pandalm_pairs()
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("two", "one")


@pytest.mark.usefixtures("data")
def test_adversarial_subsets_are_used_only_when_named():
    assert len(llmbar_pairs()) == 1
    assert len(llmbar_pairs(("Natural", "Adversarial/Manual"))) == 2


@pytest.mark.usefixtures("data")
def test_long_pairs_are_left_out_and_counted_never_cut():
    kept, left_out = preference_pairs(tiny_tokenizer(), max_tokens=50)
    assert (len(kept), left_out) == (1, 1)
    assert kept[0]["chosen"][0]["content"] == "two"


@needs_data
def test_real_pairs_have_two_different_texts():
    pairs = [*pandalm_pairs(), *llmbar_pairs()]
    assert len(pairs) > 800
    assert all(isinstance(p["chosen"][0]["content"], str) for p in pairs)
