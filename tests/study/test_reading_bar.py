"""One bar over a whole plan: it only grows, ends at the whole, and shows nothing where nothing is read."""

import io

from rich.console import Console

from probes.evaluation.kinds import DomainRole
from study.plan import Plan, PlannedReading
from study.reading_bar import ReadingBar


def plan_of(*tokens: int) -> Plan:
    readings = [
        PlannedReading(
            organism=f"o{i}",
            role=DomainRole.CONTROL,
            tokens_read="response_mean",
            rows=4,
            tokens=count,
            bytes=0,
            cached=not count,
        )
        for i, count in enumerate(tokens)
    ]
    return Plan(readings=tuple(readings), rate=1.0, dtype="float32", machine="")


def read_all(bar: ReadingBar, count: int) -> list[float]:
    seen = []
    for index in range(count):
        with bar.reading(index, f"o{index}") as tell:
            if callable(tell):
                for share in (0.5, 1.0):
                    tell(share)
                    seen.append(bar.progress.tasks[0].completed)
    return seen


def test_bar_counts_all_models_as_one_and_ends_at_the_plans_tokens() -> None:
    plan = plan_of(100, 0, 300)
    bar = ReadingBar(plan, Console(file=io.StringIO(), force_terminal=True))
    assert read_all(bar, 3) == [50, 100, 250, 400]
    assert bar.progress.finished


def test_nothing_is_drawn_when_all_is_cached() -> None:
    screen = io.StringIO()
    assert read_all(ReadingBar(plan_of(0, 0), Console(file=screen, force_terminal=True)), 2) == []
    assert screen.getvalue() == ""
