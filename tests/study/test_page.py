"""Every page comes from a template: text is escaped, nothing is left blank in silence."""

from html.parser import HTMLParser

import jinja2
import pytest
from markupsafe import Markup

from study.page import TEMPLATES, ShownFigure, render


class _Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def report(**changes):
    shown = ShownFigure(name="roc", html=Markup("<div>drawn</div>"), caption="a < b", files=("html", "pdf"))
    values = {
        "source": "<script>x</script>",
        "targets": "t & u",
        "verdicts": [{"target": "t", "sentence": "s", "shows": "", "not_shows": "", "flags": ["<b>"]}],
        "warnings": ["w"],
        "figures": [shown, shown],
        "numbers": [{"layer": "3", "probe": "<i>"}],
        "organisms": [],
        "command": "c",
        "config": "a: <b>\n\n  c: 1\n",
        "sha256": "0" * 64,
    }
    return render("report.html.j2", **values | changes)


def test_text_is_escaped_and_figures_are_not():
    page = report()
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<i>" not in page
    assert "<li>&lt;b&gt;</li>" in page
    assert "<div>drawn</div>" in page
    assert '<td class="n">3</td>' in page
    assert "<pre>a: &lt;b&gt;\n\n  c: 1\n</pre>" in page
    assert '<a href="figures/roc.pdf">pdf</a>' in page


def test_page_is_whole_html_and_opens_offline(monkeypatch):
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "plotly()")
    page = report()
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script>plotly()</script>" in page
    assert 'src="http' not in page


def test_a_value_that_a_template_misses_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="sentence"):
        report(verdicts=[{"target": "t", "shows": "", "not_shows": "", "flags": []}])


def test_every_template_parses():
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES))
    names = environment.list_templates()
    assert {"page.html.j2", "report.html.j2", "verification.html.j2"} <= set(names)
    for name in names:
        environment.get_template(name)
