"""A slide is the paper's figure, enlarged alike in every length and centred on 16:9."""

import plotly.graph_objects as go
import pytest

from probes import TransferResult
from study.figures import Style, draw_all
from study.plots.slides import HEIGHT, WIDTH, as_slide, for_style, scaled
from study.plots.style import page


@pytest.fixture
def figure():
    style = Style()
    made = page(style, width_in=3.25, height_in=2.0, margin_in={"l": 0.5, "r": 0.1, "t": 0.2, "b": 0.3})
    made.add_scatter(x=[0, 1], y=[2, 3], line={"width": 1.5, "dash": "4px,2px"}, marker={"size": [4, 6]})
    made.add_bar(x=[0], y=[1], width=[0.8], marker={"line": {"width": 1}})
    made.add_annotation(
        text="<span style='font-size:8.0px'>n</span>", x=0.5, y=1, xshift=-5, font={"size": 9}
    )
    anchor = {"xref": "paper", "yref": "paper", "xanchor": 0, "yanchor": 1}
    pixels = anchor | {"xsizemode": "pixel", "ysizemode": "pixel"}
    made.add_shape(type="path", path="M0,1 L2.5,-3 Z", line={"width": 1}, **pixels)
    made.add_shape(type="rect", x0=0.1, x1=0.9, y0=2, y1=3, line={"width": 2})
    return made


def test_every_length_in_pixels_grows_and_nothing_else(figure):
    large = scaled(figure, 2.0)
    line, bar = large.data
    assert (line.line.width, line.line.dash, list(line.marker.size)) == (3.0, "8.00,4.00", [8, 12]) or (
        line.line.dash == "8.00px,4.00px"
    )
    assert tuple(line.x) == (0, 1)
    assert tuple(bar.width) == (0.8,)
    (text,) = large.layout.annotations
    assert (text.text, text.xshift, text.font.size, text.x) == (
        "<span style='font-size:16.0px'>n</span>",
        -10,
        18,
        0.5,
    )
    mark, box = large.layout.shapes
    assert mark.path == "M0.000,2.000 L5.000,-6.000 Z"
    assert (mark.line.width, box.x0, box.line.width) == (2, 0.1, 4)
    assert large.layout.font.size == 2 * figure.layout.font.size
    assert large.layout.template.layout.xaxis.ticklen == 2 * figure.layout.template.layout.xaxis.ticklen


def test_a_slide_is_16_to_9_and_its_plot_is_centred(figure):
    before = figure.to_json()
    slide = as_slide(figure)
    assert (slide.layout.width, slide.layout.height) == (WIDTH, HEIGHT)
    grown = slide.layout.font.size / figure.layout.font.size
    assert grown > 2
    inner = WIDTH - slide.layout.margin.l - slide.layout.margin.r
    assert inner == pytest.approx(grown * (312 - figure.layout.margin.l - figure.layout.margin.r), rel=1e-6)
    assert figure.to_json() == before


def test_every_figure_of_a_result_becomes_a_slide(saved_result):
    drawn = draw_all(saved_result)
    for name, slide in for_style(drawn, Style(kind="slides")).items():
        assert (slide.layout.width, slide.layout.height) == (WIDTH, HEIGHT), name
        assert slide.layout.font.size > 1.25 * drawn[name].layout.font.size, name
        margin = slide.layout.margin
        assert margin.l + margin.r < WIDTH, name
        assert margin.t + margin.b < HEIGHT, name
        assert len(slide.data) == len(drawn[name].data)
    assert for_style(drawn, Style()) == drawn


@pytest.fixture(scope="module")
def saved_result():
    from pathlib import Path

    path = Path(__file__).parent / "fixtures" / "transfer_result.json"
    return TransferResult.from_json(path.read_text())


def test_a_figure_of_nothing_stays_one():
    empty = go.Figure(layout={"width": 100, "height": 100})
    assert as_slide(empty).layout.width == WIDTH


def test_a_figure_that_is_taller_than_a_slide_is_made_smaller():
    style = Style()
    tall = page(style, width_in=3.25, height_in=9.0, margin_in={"l": 0.5, "r": 0.1, "t": 0.2, "b": 0.3})
    slide = as_slide(tall)
    assert slide.layout.height == HEIGHT
    assert slide.layout.font.size < tall.layout.font.size
