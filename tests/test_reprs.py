"""What objects show in a notebook: content, escaped, well-formed, small, in colours of the page."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from activations import extract
from activations.testing import tiny_model
from organisms import Organism, read_organism
from probes import Domain, TransferResult, sweep
from probes.evaluation.kinds import Design
from sophistry.notebook import fact_table, value_table

ROOT = Path(__file__).parents[1]
NASTY = "<script>alert('x')</script> & \"quoted\""


class Page(HTMLParser):
    """Texts and tags of a piece of HTML; complains of tags that are not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.styles, self.text = [], set(), [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.styles += [value for name, value in attrs if name == "style"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data}"


def a_domain(name="toy", **more):
    y = np.tile([0, 1], 30)
    X = np.random.default_rng(0).normal(size=(3, 60, 4)) + 2 * y[:, None] * np.array([0, 1, 0])[:, None, None]
    return Domain(name, X, y, [f"q{i // 2}" for i in range(60)], **more)


@pytest.fixture(scope="module")
def result():
    return TransferResult.from_json((ROOT / "tests/study/fixtures/transfer_result.json").read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rows = [
        {"id": f"{i}", "group": f"g{i // 2}", "prompt": "Is it?", "response": f" It is {i}."}
        for i in range(4)
    ]
    folder = tmp_path_factory.mktemp("store")
    return extract(tiny_model(), rows, tokens="response_mean", store=folder, progress=False)


@pytest.fixture(scope="module")
def shown(result, store):
    """One of each, as a notebook shows it."""
    domain = a_domain()
    organism = read_organism(ROOT / "organisms/shipped/qa-backdoored")
    objects = {"result": result, "store": store, "domain": domain, "organism": organism}
    return {name: made._repr_html_() for name, made in (objects | {"sweep": sweep(domain)}).items()}


def test_every_object_is_whole_small_html_in_the_colours_of_the_page(shown):
    for name, html in shown.items():
        page = Page(html)
        assert page.tags <= {"div", "strong", "table", "tr", "th", "td"}, name
        assert len(html) < 20_000, name
        colours = re.findall(r"(?:color|background)[^:;]*:([^;]+)", ";".join(page.styles))
        assert set(colours) <= {"inherit", "transparent"}, name


def test_a_result_shows_verdict_and_interval_of_every_target(shown, result):
    text = Page(shown["result"]).text
    for verdict in result.verdicts:
        if verdict.probe == result.headline_probe:
            assert f"{verdict.target}: {verdict.code}" in text
            assert all(flag in text for flag in verdict.flags)
    claim = next(e for e in result.evaluations if (e.design, e.probe) == (Design.D1, result.headline_probe))
    assert (
        f"{claim.auroc.value:.2f} [{claim.auroc.low:.2f}, {claim.auroc.high:.2f}]".replace("0.", ".") in text
    )
    others = {e.probe for e in result.evaluations} - {result.headline_probe}
    assert not any(f" {other} " in text for other in others)


def test_optimistic_numbers_say_so(shown):
    rows = shown["result"].split("<tr>")
    assert all("optimistic" in row for row in rows if "best here" in row)
    assert any("best here" in row for row in rows)


def test_warnings_beyond_two_are_counted(result):
    many = replace(result, warnings=("one", "two", "three", "four"))
    text = Page(many._repr_html_()).text
    assert "Note: two" in text
    assert "three" not in text
    assert "2 more in .warnings" in text


def test_a_store_shows_model_rows_and_key(shown, store):
    text = Page(shown["store"]).text
    assert all(
        part in text
        for part in ("tiny llama", "4 rows of 2 groups", "0 to 2 (3)", store.key, str(store.path))
    )


def test_a_domain_shows_its_classes_and_warns_of_missing_groups(shown):
    assert "30 wrong (y = 1), 30 right" in Page(shown["domain"]).text
    assert "question of its own" not in shown["domain"]
    assert "question of its own" in Domain("toy", np.eye(4), [0, 1, 0, 1])._repr_html_()


def test_a_sweep_shows_the_chosen_cell_first(shown):
    found = sweep(a_domain())
    first = shown["sweep"].split("<tr>")[2]
    assert "chosen" in first
    assert f">{found.layer}<" in first
    assert f"C={found.setting['C']:g}" in first


def test_text_of_others_is_escaped(result):
    domain = a_domain(NASTY, strata={NASTY: ["a"] * 60}, meta={"organism": NASTY})
    organism = Organism(name=NASTY, role="clean", task=NASTY, base=NASTY, base_fingerprint="f", command=NASTY)
    verdict = replace(result.verdicts[0], sentence=NASTY, flags=(NASTY,), probe=result.headline_probe)
    other = replace(result, source=NASTY, verdicts=(verdict,), warnings=(NASTY,))
    for made in (domain, organism, other, sweep(domain)):
        html = made._repr_html_()
        assert "<script" not in html
        assert NASTY[:8] in Page(html).text


def test_empty_cases_show_what_there_is(result):
    bare = replace(result, evaluations=(), verdicts=(), warnings=())
    assert Page(bare._repr_html_()).tags == {"div", "strong"}
    assert (
        "not yet" in Organism(name="n", role="clean", task="qa", base="b", base_fingerprint="f")._repr_html_()
    )
    assert fact_table("Empty", {}) == value_table("Empty", ["layer"], [])
    assert "0" in Page(fact_table("Zero", {"rows": 0})).text


def test_nothing_is_imported_to_show_an_object(result, monkeypatch):
    import builtins

    loaded = builtins.__import__

    def refuse(name, *args, **kwargs):
        assert name.split(".")[0] not in ("IPython", "plotly", "pandas"), name
        return loaded(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert result._repr_html_()
