"""One line from rows to a transfer result, through the same door as a file."""

import json

import numpy as np
import pytest

import study
from activations.testing import tiny_model
from probes import TransferOptions
from study.comparison import compare
from tasks.tables import TableError

QUICK = TransferOptions(
    n_folds=3, n_draws=30, n_permutations=10, n_random_directions=10, shared_groups="cross-fit"
)


def asked(words, start=0, count=14, **more):
    return [
        {"prompt": f"Is {n} even?", "response": f"{words} {n}.", **more} for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def result():
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    return compare(
        tiny_model(), asked("No, never"), asked("Yes, sure"), target, probes="mean-difference", options=QUICK
    )


def test_it_is_offered_by_the_package():
    assert study.compare is compare
    with pytest.raises(AttributeError, match="no attribute 'compair'"):
        study.compair  # noqa: B018


def test_a_bad_row_is_the_positive_class_and_the_direction_points_to_it(result):
    source, target = result.domains
    assert (source.sample.n_positive, source.sample.n_negative, source.sample.n_groups) == (14, 14, 14)
    assert (target.sample.n_positive, target.sample.n_groups) == (14, 14)
    frozen = next(e for e in result.evaluations if e.design == "D1")
    assert frozen.auroc.value > 0.9  # the two kinds begin with other words


def test_ceiling_and_text_controls_stand_beside_it(result):
    assert {"source", "D1", "D2", "D3"} <= {e.design for e in result.evaluations}
    assert "tf-idf" in {c.name for c in result.controls}
    assert len(result.verdicts) >= 1


def test_files_give_what_lists_give(tmp_path, result):
    rows = {
        "bad": asked("No, never"),
        "good": asked("Yes, sure"),
        "target": asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True),
    }
    for name, some in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    paths = [tmp_path / f"{name}.jsonl" for name in rows]
    again = compare(tiny_model(), *paths, probes="mean-difference", options=QUICK)
    assert [e.auroc.value for e in again.evaluations] == [e.auroc.value for e in result.evaluations]


def test_another_model_may_read_the_targets(result):
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    other = compare(
        tiny_model(),
        asked("No, never"),
        asked("Yes, sure"),
        target,
        target_model=tiny_model(seed=5),
        probes="mean-difference",
        options=QUICK,
    )
    assert other.domains[1].meta["model_fingerprint"] != result.domains[1].meta["model_fingerprint"]


@pytest.mark.parametrize(
    ("bad", "good", "target", "message"),
    [
        (asked("No"), asked("Yes"), asked("No"), "target has no column 'correct'"),
        (asked("No"), asked("No"), asked("No", correct=True), "opposite label"),
        (asked("No"), [], asked("No", correct=True), "all 14 rows that can be used are wrong"),
        (
            [{"text": "x"}],
            asked("Yes"),
            asked("No", correct=True),
            "all 14 rows that can be used are correct",
        ),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(bad, good, target, message):
    with pytest.raises(TableError, match=message):
        compare(tiny_model(), bad, good, target, options=QUICK)


def test_a_model_without_a_chat_template_is_compared_without_contrast_pairs():
    loaded = tiny_model("gpt2")
    loaded.tokenizer.chat_template = None
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    found = compare(
        loaded, asked("No, never"), asked("Yes, sure"), target, probes="mean-difference", options=QUICK
    )
    assert "D3" not in {e.design for e in found.evaluations}
    assert np.isfinite([e.auroc.value for e in found.evaluations]).all()
