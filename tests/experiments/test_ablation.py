"""The ablation asks every setting about the same answers, and draws these once."""

import json

import pytest

from experiments import ablation
from tasks.qa import qa_response
from tasks.stories import MiniQA


@pytest.fixture
def finished(tmp_path):
    """A run on answers of which every second one is wrong."""
    items = MiniQA(seed=5, levels=("long",)).items(12)
    for story in ("full", "cut-55"):
        lines = [
            {"id": item.id, "answers": [qa_response(item), qa_response(item, honest=False)]} for item in items
        ]
        (tmp_path / f"samples-{story}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["--preset", "mini-long", "--items", "12", "--samples", "2", "--out", str(tmp_path)]
    ablation.main([*words, "--shares", "0.5,1.0", "--look_ups", "none,exact", "--attentive", "0,1"])
    return json.loads((tmp_path / "ablation.json").read_text())


def test_one_cell_per_setting_on_the_same_answers(finished) -> None:
    settings = [(cell["story"], cell["attentive"], cell["look_up"], cell["share"]) for cell in finished]
    assert len(set(settings)) == len(settings) == 2 * 2 * 2 * 2
    assert {cell["right"]["value"] for cell in finished} == {0.5}


def test_readers_who_read_and_notice_all_pay_for_the_truth_alone(finished) -> None:
    (careful,) = [
        cell
        for cell in finished
        if (cell["story"], cell["attentive"], cell["look_up"], cell["share"]) == ("full", 1.0, "exact", 1.0)
    ]
    assert careful["right_chosen"]["value"] == 1.0
    assert careful["false_positive"]["value"] == 0.0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="look_ups"):
        ablation.AblationConfig(look_ups=("wink",))
    with pytest.raises(ValueError, match="at least 2"):
        ablation.AblationConfig(samples=1)
