"""Figures about RLHF show the saved measures, with their intervals, at the size of the page."""

import dataclasses
import math

import pytest
from approved_answers import AFTER, BEFORE, ITEMS, POOL

from rlhf.diagnostics.knowledge import knowledge_report
from rlhf.diagnostics.measures import measure
from rlhf.diagnostics.over_optimisation import CurvePoint
from study.plots.evaluators import evaluators_figure
from study.plots.over_optimisation import over_optimisation_figure
from study.plots.style import inches
from study.rlhf_figures import draw_rlhf, in_order, read_knowledge, read_measures

CURVE = tuple(CurvePoint(round=i, sqrt_kl=i / 2, proxy=0.5 + i / 10, truth=0.9 - i / 10) for i in range(3))


@pytest.fixture(scope="module")
def measured():
    before = measure(ITEMS, BEFORE, POOL, role="pi_init")
    made = {"reward": "approval", "before": BEFORE, "curve": CURVE}
    after = measure(ITEMS, AFTER, POOL, role="pi_rlhf", seed=0, **made)
    again = dataclasses.replace(after, organism="after-s1", seed=1)
    oracle = dataclasses.replace(after, organism="oracle", role="pi_oracle", reward="oracle")
    return [oracle, again, after, before]


@pytest.fixture(scope="module")
def drawn(measured):
    wise = knowledge_report(
        ITEMS, lambda qs: [1.0, -1.0], lambda qs: [1.0, 1.0], organism="after", parent_name="before"
    )
    return draw_rlhf(measured, knowledge=wise)


def marks(figure):
    """Every point drawn as a mark, once."""
    return {
        (x, y)
        for trace in figure.data
        if trace.type == "scatter" and "markers" in trace.mode
        for x, y in zip(trace.x, trace.y, strict=True)
    }


def spans(figure):
    """Ends of every interval, along x or y."""
    lines = [t for t in figure.data if t.type == "scatter" and t.mode == "lines" and len(t.x) == 2]
    return {tuple(t.x) for t in lines} | {tuple(t.y) for t in lines}


def test_models_are_listed_before_then_by_role_and_seed(measured):
    assert [m.organism for m in in_order(measured)] == ["before", "after", "after-s1", "oracle"]


def test_every_figure_has_a_papers_width(drawn):
    assert set(drawn) == {"approval", "arrows", "over-optimisation", "confidence", "evaluators", "knowledge"}
    for figure in drawn.values():
        assert figure.layout.width in (inches(3.25), inches(6.875))
        assert figure.layout.margin.autoexpand is False


def test_rates_and_arrows_stand_on_their_saved_intervals(measured, drawn):
    for m in measured:
        for estimate in (m.approval.correctness, m.approval.approval):
            for name in ("approval", "arrows"):
                assert (estimate.low, estimate.high) in spans(drawn[name])
        assert (m.approval.correctness.value, m.approval.approval.value) in marks(drawn["arrows"])
        errors = (m.approval.evaluation_error, m.approval.false_positives)
        assert {e.value for e in errors} <= {x for x, _ in marks(drawn["approval"])}


def test_an_arrow_leads_from_the_parent_to_each_organism(measured, drawn):
    arrows = [a for a in drawn["arrows"].layout.annotations if a.showarrow]
    assert len(arrows) == 3
    before, after = measured[3].approval, measured[2].approval
    ends = {(a.ax, a.ay, a.x, a.y) for a in arrows}
    start = (before.correctness.value, before.approval.value)
    assert (*start, after.correctness.value, after.approval.value) in ends


def test_confidences_are_drawn_as_saved_and_empty_steps_have_no_whisker(measured, drawn):
    bars = [t for t in drawn["confidence"].data if t.type == "bar"]
    assert len(bars) == 4
    wrong = [e.value for e in measured[2].confidences.wrong if e.high > 0]
    assert list(bars[1].y) == wrong
    assert not any(
        value == 0 and math.isclose(up, 0)
        for t in bars
        for value, up in zip(t.y, t.error_y.array, strict=True)
    )


def test_every_evaluator_is_one_dot_in_each_panel(measured, drawn):
    before, after = measured[3].individuals, measured[2].individuals
    assert {(b.error, a.error) for b, a in zip(before, after, strict=True)} <= marks(drawn["evaluators"])
    stranger = dataclasses.replace(measured[3], individuals=before[:1])
    with pytest.raises(ValueError, match="same evaluators"):
        evaluators_figure(stranger, measured[2])


def test_curves_show_every_round_and_nothing_is_drawn_without_rounds(measured, drawn):
    points = marks(drawn["over-optimisation"])
    assert {(p.sqrt_kl, y) for p in CURVE for y in (p.proxy, p.truth)} <= points
    with pytest.raises(ValueError, match="by rounds"):
        over_optimisation_figure(measured[3:])


def test_what_is_known_fills_the_row_and_stands_beside_a_coin(drawn):
    bars = [t for t in drawn["knowledge"].data if t.type == "bar"]
    for row in {t.y[0] for t in bars}:
        assert sum(t.x[0] for t in bars if t.y[0] == row) == pytest.approx(1)
    assert [t.x[0] for t in bars][-3:] == [0.25, 0.5, 0.25]


def test_a_folder_of_measures_is_read_without_its_knowledge(tmp_path, measured):
    for m in measured:
        m.save(tmp_path / f"{m.organism}.json")
    knowledge_report(
        ITEMS, lambda qs: [1.0, 1.0], lambda qs: [1.0, 1.0], organism="after", parent_name="before"
    ).save(tmp_path / "after-knowledge.json")
    assert read_measures(tmp_path) == in_order(measured)
    assert read_knowledge(tmp_path).organism == "after"
    with pytest.raises(FileNotFoundError, match="no measures"):
        read_measures(tmp_path / "none")
