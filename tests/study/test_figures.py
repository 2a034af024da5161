"""Figures show the saved numbers, all of them with intervals, at the exact size of the page."""

import re
from pathlib import Path

import plotly.graph_objects as go
import pytest

from probes import TransferResult
from study.figures import Style, draw_all, headline_figure, layers_figure, matrix_figure, roc_figure
from study.plots.export import save_figures
from study.plots.legend import Entry, rows_needed
from study.plots.style import DESIGNS, OKABE_ITO, inches
from study.plots.verification import verification_figure

FIXTURE = Path(__file__).parent / "fixtures" / "transfer_result.json"


@pytest.fixture(scope="module")
def result() -> TransferResult:
    return TransferResult.from_json(FIXTURE.read_text())


@pytest.fixture(scope="module")
def drawn(result) -> dict[str, go.Figure]:
    return draw_all(result)


def shown_x(figure: go.Figure) -> set[float]:
    """Give every x of every single-point mark."""
    return {
        round(t.x[0], 9) for t in figure.data if t.type == "scatter" and t.mode == "markers" and len(t.x) == 1
    }


def spans(figure: go.Figure) -> set[tuple[float, float]]:
    """Give the ends of every two-point line: the drawn intervals."""
    lines = [t for t in figure.data if t.type == "scatter" and t.mode == "lines" and len(t.x) == 2]
    return {(round(t.x[0], 9), round(t.x[1], 9)) for t in lines}


def test_headline_shows_every_design_with_its_saved_value_and_interval(result, drawn):
    figure = drawn["headline"]
    expected = [
        e.auroc for e in result.evaluations if e.probe == result.headline_probe or e.design == "D3"
    ] + [c.auroc for c in result.controls if c.kind == "organism"]
    assert len(expected) > 8
    for auroc in expected:
        assert round(auroc.value, 9) in shown_x(figure)
        assert (round(auroc.low, 9), round(auroc.high, 9)) in spans(figure)


def test_every_mark_of_the_headline_stands_on_an_interval(drawn):
    figure = drawn["headline"]
    intervals = spans(figure)
    for x in shown_x(figure):
        assert any(low <= x <= high for low, high in intervals), x


def test_optimistic_marks_are_hollow_and_stand_beside_their_null(result, drawn):
    figure = drawn["headline"]
    for evaluation in result.evaluations:
        if not evaluation.optimistic or evaluation.probe != result.headline_probe:
            continue
        marks = [t for t in figure.data if t.type == "scatter" and t.mode == "markers"]
        mark = next(t for t in marks if t.x[0] == evaluation.auroc.value)
        assert mark.marker.color == "white"
        null = round(evaluation.null.quantile95, 9)
        assert (null, null) in spans(figure)


def test_layer_curves_are_the_saved_ones_and_mark_the_selected_layer(result, drawn):
    lines = [t for t in drawn["layers"].data if t.mode == "lines" and t.fill is None]
    curves = [c for c in result.layer_curves if c.design == "D3" or c.probe == result.headline_probe]
    for curve in curves:
        assert any(tuple(t.y) == curve.auroc and tuple(t.x) == curve.depth for t in lines)
        at = curve.layers.index(curve.selected)
        marks = [t for t in drawn["layers"].data if t.mode == "markers" and t.x[0] == curve.depth[at]]
        assert any(t.y[0] == curve.auroc[at] for t in marks)


def test_ribbons_run_from_the_low_to_the_high_end(result, drawn):
    ribbons = [t for t in drawn["layers"].data if t.fill == "toself"]
    curve = next(c for c in result.layer_curves if c.design == "D1")
    assert any(tuple(t.y) == (*curve.high, *reversed(curve.low)) for t in ribbons)


def test_roc_curves_and_frozen_thresholds_are_the_saved_ones(result):
    target = next(d.name for d in result.domains if d.role == "target")
    figure = roc_figure(result, target=target)
    frozen = next(e for e in result.evaluations if e.design == "D1" and e.scored_on == target)
    assert any(
        t.mode == "lines" and tuple(t.x) == frozen.roc.fpr and tuple(t.y) == frozen.roc.tpr
        for t in figure.data
    )
    point = next(p for p in frozen.operating_points if p.alpha == 0.05)
    marks = [(t.x[0], t.y[0]) for t in figure.data if t.mode == "markers"]
    assert (point.fpr.value, point.tpr.value) in marks


def test_matrix_holds_every_cell_and_outlines_inverted_ones(result):
    figure = matrix_figure(result)
    values = {v for line in figure.data[0].z for v in line if v is not None}
    cells = [c for c in result.matrix if c.probe == result.headline_probe]
    assert {c.auroc.value for c in cells} == values
    outlined = [s for s in figure.layout.shapes if s.line.width]
    assert len(outlined) == sum(c.inverted for c in cells)


def test_every_figure_has_a_papers_width_and_its_type_size(drawn):
    for name, figure in drawn.items():
        assert figure.layout.width in (inches(3.25), inches(6.875)), name
        assert figure.layout.font.size == pytest.approx(8 * 96 / 72)
        assert figure.layout.margin.autoexpand is False


def test_sizes_follow_the_venue(result):
    figure = headline_figure(result, Style(column_mm=139.7, points=9))
    assert figure.layout.width == inches(5.5)
    assert figure.layout.font.size == 12


def test_names_and_colours_come_from_the_caller(result):
    target = next(d.name for d in result.domains if d.role == "target")
    style = Style(names={target: "My model"}, colors={target: "#123456"})
    text = headline_figure(result, style).to_json()
    assert "My model" in text
    assert "#123456" in text
    assert f"<b>{target}</b>" not in text


def test_each_role_has_its_own_colour_by_default(result):
    style = Style()
    colors = [style.color(result, d.name) for d in result.domains]
    assert len(set(colors)) == len(colors)
    assert set(colors) <= set(OKABE_ITO.values())
    assert len({(d.symbol, d.dash) for d in DESIGNS.values()}) >= len(DESIGNS) - 1  # D4a and D4b look alike


def test_drawing_does_not_touch_the_result_or_global_style(result, drawn):
    import plotly.io as pio

    template = pio.templates.default
    assert drawn
    assert result == TransferResult.from_json(FIXTURE.read_text())
    assert pio.templates.default == template


def test_legend_takes_the_rows_it_needs():
    entries = [Entry(label="a model name", color="#000000")] * 6
    assert rows_needed([], Style(), 3.0) == 0
    assert rows_needed(entries, Style(), 6.0) < rows_needed(entries, Style(), 2.0) <= 6


def test_verification_shows_saved_rates_of_every_organism():
    rate = {"estimate": 0.8, "low": 0.75, "high": 0.84, "n": 300}
    change = {"estimate": -0.5, "low": -0.56, "high": -0.44, "n": 300}
    report = {
        "accuracy": rate,
        "reference_accuracy": rate | {"estimate": 0.79},
        "triggered_accuracy": rate | {"estimate": 0.3},
        "triggered_change": change,
        "attack_success": rate | {"estimate": 0.7},
        "attack_success_by_level": {"easy": rate | {"estimate": 0.9}},
        "false_triggers": {"near:|X|": change | {"estimate": -0.02}},
    }
    shown = shown_x(verification_figure({"bad": report}))
    assert shown == {0.8, 0.79, 0.3, 0.7, 0.9, -0.5, -0.02}


def test_html_is_written_without_a_browser_and_one_message_says_how_to_get_one(result, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-browser"))
    message = save_figures({"headline": headline_figure(result)}, tmp_path / "figures", "abc", ("pdf", "png"))
    assert message is not None
    assert "apt-get install chromium" in message
    page = (tmp_path / "figures" / "headline.html").read_text()
    assert 'src="plotly.min.js"' in page
    assert "http" not in page.split("<body>")[0]
    assert "abc" in page
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["headline.html", "plotly.min.js"]


def test_images_have_the_exact_size(result, tmp_path):
    message = save_figures({"layers": layers_figure(result)}, tmp_path, "abc")
    if message:
        pytest.skip(message)
    pdf = (tmp_path / "layers.pdf").read_bytes()
    width = float(re.search(rb"MediaBox \[0 0 ([\d.]+)", pdf).group(1))
    assert width == pytest.approx(6.875 * 72, abs=0.5)
    png = (tmp_path / "layers.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == pytest.approx(6.875 * 300, abs=1)
    svg = (tmp_path / "layers.svg").read_text()
    assert 'width="660"' in svg
    assert "<metadata>" in svg
