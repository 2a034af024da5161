"""One line from rows to a transfer result, through the same door as a file."""

import json

import numpy as np
import pytest

import study as package
from activations import load_model
from activations.testing import tiny_model
from probes import DomainError, TransferOptions
from study import comparison
from study.comparison import compare
from study.testing import tiny_study
from tasks.tables import TableError

QUICK = TransferOptions(
    n_folds=3, n_draws=30, n_permutations=10, n_random_directions=10, shared_groups="cross-fit"
)


def asked(words, start=0, count=14, **more):
    return [
        {"prompt": f"Is {n} even?", "response": f"{words} {n}.", **more} for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Preset of a miniature study."""
    return tiny_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def result():
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    return compare(
        tiny_model(), asked("No, never"), asked("Yes, sure"), target, probes="mean-difference", options=QUICK
    )


def test_it_is_offered_by_the_package():
    assert package.compare is compare
    with pytest.raises(AttributeError, match="no attribute 'compair'"):
        package.compair  # noqa: B018


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


@pytest.fixture
def domains(monkeypatch):
    """What compare hands to transfer, without its minute of fits."""
    handed = []

    def transfer(source, target, probes, *, controls, **_):
        handed.append([source, target, *controls])

    monkeypatch.setattr(comparison, "transfer", transfer)
    return handed


def test_files_give_what_lists_give(tmp_path, domains):
    rows = {
        "bad": asked("No, never"),
        "good": asked("Yes, sure"),
        "target": asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True),
    }
    for name, some in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    compare(tiny_model(), *rows.values())
    compare(tiny_model(), *[tmp_path / f"{name}.jsonl" for name in rows])
    for ours, theirs in zip(*domains, strict=True):
        assert np.array_equal(ours.y, theirs.y)
        assert np.array_equal(ours.groups, theirs.groups)
        assert np.array_equal(ours.layer(1), theirs.layer(1))


def test_models_of_two_bases_are_refused_unless_said_otherwise():
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    with pytest.raises(DomainError, match="base_fingerprint differs"):
        compare(
            tiny_model(), asked("No"), asked("Yes"), target, target_model=tiny_model(seed=5), options=QUICK
        )


def test_another_model_may_read_the_targets(domains):
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    models = tiny_model(), tiny_model(seed=5)
    compare(models[0], asked("No"), asked("Yes"), target, target_model=models[1], one_base=False)
    ((source, read),) = domains
    assert [d.meta["model_fingerprint"] for d in (source, read)] == [m.fingerprint for m in models]


def test_a_model_with_an_adapter_has_its_base_beside_it(study, domains):
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    model = load_model(study.parent / "base", adapter=study.parent / "bad", dtype="float32")
    compare(model, asked("No"), asked("Yes"), target)
    ((source, _, base),) = domains
    assert base.name == "base"
    assert np.array_equal(base.y, source.y)
    assert not np.allclose(base.layer(1), source.layer(1))


@pytest.mark.parametrize(
    ("bad", "good", "target", "message"),
    [
        (asked("No"), asked("Yes"), asked("No"), "target has no column called 'correct'"),
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


def test_a_model_without_a_chat_template_is_compared_without_contrast_pairs(domains):
    loaded = tiny_model("gpt2")
    loaded.tokenizer.chat_template = None
    target = asked("No, never", 50, correct=False) + asked("Yes, sure", 50, correct=True)
    compare(loaded, asked("No, never"), asked("Yes, sure"), target)
    compare(tiny_model(), asked("No, never"), asked("Yes, sure"), target)
    assert [[domain.pairs is None for domain in some] for some in domains] == [[True, True], [False, False]]
