"""A result as a table has every number of an evaluation; controls stand beside every family on request."""

import dataclasses

import numpy as np
import pytest

from probes import Domain, TransferOptions, TransferResult, transfer
from probes.evaluation.results import Evaluation

Y = np.tile([0, 1], 40)
FAST = {"n_draws": 50, "n_permutations": 50, "n_random_directions": 20}
CURVES = {"roc", "histogram", "scores"}  # not one number
WORDS = [f"w{i}" for i in range(300)]


def make(name: str, seed: int) -> Domain:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, 9)) for _ in Y]
    X = rng.normal(size=(2, 80, 4)) + 1.5 * Y[:, None]
    return Domain(name, X, Y, [f"{name}{i // 2}" for i in range(80)], texts=texts)


@pytest.fixture(scope="module")
def both() -> TransferResult:
    options = TransferOptions(**FAST, every_control=True)
    families = ["mean-difference", "ridge"]
    return transfer(make("a", 0), make("b", 1), families, controls=[make("c", 2)], options=options)


def test_the_table_has_a_column_for_every_number_of_an_evaluation(both) -> None:
    frame = both.to_frame()
    names = {field.name for field in dataclasses.fields(Evaluation)} - CURVES
    whole = {"sample": "n_groups", "operating_points": "tpr_0.05_low"}
    whole |= {"equivalence": "equivalence_high", "calibration": "calibration_ece", "null": "null_p_value"}
    assert {whole.get(name, name) for name in names} <= set(frame.columns)
    for row, record in zip(frame.to_dict("records"), both.evaluations, strict=False):
        assert row["depth"] == record.depth
        assert row["average_precision"] == record.average_precision
        assert row["equivalence_verdict"] == row["verdict"] == record.equivalence.verdict
        for point in record.operating_points:
            assert row[f"fpr_{point.alpha:g}"] == point.fpr.value
            assert row[f"tpr_{point.alpha:g}_high"] == point.tpr.high
    assert len(frame) == len(both.evaluations) + len(both.controls) + len(both.family_controls)


def test_controls_stand_beside_every_family_on_request_and_beside_the_headline_always(both) -> None:
    assert {control.probe for control in both.controls} == {"mean-difference"}
    assert {control.probe for control in both.family_controls} == {"ridge"}
    assert [c.name for c in both.controls] == [c.name for c in both.family_controls]
    ridge = next(v for v in both.verdicts if v.probe == "ridge")
    assert not any(flag.startswith("no controls") for flag in ridge.flags)
    families = ["mean-difference", "ridge"]
    again = transfer(make("a", 0), make("b", 1), families, options=TransferOptions(**FAST))
    assert again.family_controls == ()
    ridge = next(v for v in again.verdicts if v.probe == "ridge")
    assert any(flag.startswith("no controls") for flag in ridge.flags)


def test_a_familys_controls_are_those_it_has_as_the_headline(both) -> None:
    options = TransferOptions(**FAST)
    alone = transfer(make("a", 0), make("b", 1), "ridge", controls=[make("c", 2)], options=options)
    assert both.family_controls == alone.controls


def test_results_with_family_controls_are_read_back(both) -> None:
    again = TransferResult.from_json(both.to_json())
    assert again.to_frame().columns.tolist() == both.to_frame().columns.tolist()
    assert len(again.family_controls) == len(both.family_controls)
