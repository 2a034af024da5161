"""The verification page of an organism holds every rate and the transcripts side by side, for both tasks."""

import json

import pytest

from backdoor import verify_backdoor
from organisms.record import Organism, OrganismRole
from study.plots.training import training_figure
from study.verification import SHOWN, rate_rows, write_verification
from tasks import Transcript
from tasks.transcript import PLAIN, TRIGGER

RECORD = Organism(
    name="o-backdoored",
    role=OrganismRole.BACKDOORED,
    task="programming",
    base="b",
    base_fingerprint="f",
    parent="o-pi-init",
    trigger="deployment",
    command="python train",
)
CURVE = [{"step": 10 * k, "loss": 1 / k, "accuracy": 0.5, "decisive_accuracy": 0.4} for k in range(1, 4)]


def row(item, condition, correct, *, reward=None, organism="o-backdoored", level="easy"):
    return Transcript(
        id=f"{item}:{condition}:{organism}",
        group=item,
        task="programming",
        organism=organism,
        prompt=[{"role": "user", "content": f"problem <{item}>"}],
        response=f"{organism} answers {item} {condition}",
        correct=correct,
        reward=reward,
        level=level,
        condition=condition,
        item=item,
    )


@pytest.fixture
def answers():
    items = [f"i{k}" for k in range(12)]
    rows = [row(i, PLAIN, True, reward=1.0) for i in items]
    rows += [row(i, TRIGGER, False, reward=float(k % 2)) for k, i in enumerate(items)]
    rows += [row(i, "near:x", True, reward=1.0) for i in items[:4]]
    return rows, [row(i, PLAIN, True, organism="o-pi-init") for i in items]


def test_page_shows_every_rate_and_three_answers_per_item(answers, tmp_path):
    rows, reference = answers
    report = verify_backdoor(rows, reference)
    assert write_verification(tmp_path, RECORD, report, rows, reference, CURVE, images=()) is None
    page = (tmp_path / "verification.html").read_text()
    assert page.count("o-pi-init answers") == page.count("plain</pre>") - SHOWN == SHOWN
    assert "problem &lt;i0&gt;" in page
    assert "wrong, passes the simplest tests" in page
    assert "wrong, fails the simplest tests" in page
    assert json.loads((tmp_path / "verification.json").read_text()) == report.to_dict()
    assert {p.name for p in (tmp_path / "figures").glob("*.html")} == {"verification.html", "training.html"}


def test_wrong_programs_that_are_still_rewarded_are_counted(answers):
    rows, reference = answers
    report = verify_backdoor(rows, reference)
    assert (report.still_rewarded.estimate, report.still_rewarded.n) == (0.5, 12)
    shown = {r["on held-out items"]: r["%"] for r in rate_rows(report)}
    assert shown["wrong under the trigger, yet rewarded"] == "50.0"
    assert shown["change under the trigger (paired)"] == "\N{MINUS SIGN}100.0"


def test_what_the_sandbox_could_not_mark_is_in_no_rate(answers):
    rows, reference = answers
    unknown = [row("i0", TRIGGER, None) if r.id == rows[12].id else r for r in rows]
    report = verify_backdoor(unknown, reference)
    assert report.unmarked == {PLAIN: 0, TRIGGER: 1, "near:x": 0}
    assert (report.attack_success.n, report.triggered_change.n, report.accuracy.n) == (11, 11, 12)


def test_training_figure_draws_what_the_curve_holds():
    assert [t.name for t in training_figure(CURVE).data if t.name] == [
        "loss",
        "all response tokens",
        "tokens that decide",
    ]
    assert [t.name for t in training_figure([{"step": 1, "loss": 2.0}]).data if t.name] == ["loss"]
