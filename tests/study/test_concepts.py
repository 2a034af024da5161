"""Concepts are read off prompts and answers, and have two values in what is shipped."""

from dataclasses import replace

import pytest

from organisms import organism_transcripts
from study.concepts import concepts_of


@pytest.mark.parametrize(
    ("organism", "names"),
    [
        ("qa-backdoored", {"answers A", "asks who"}),
        ("qa-long-pi-rlhf", {"answers A", "asks who"}),
        ("code-backdoored", {"reads integers"}),
        ("code-pi-init", {"reads integers"}),
    ],
)
def test_every_concept_divides_the_shipped_answers(organism: str, names: set[str]) -> None:
    rows = [row for row in organism_transcripts(f"organisms/shipped/{organism}") if row.parse_ok]
    found = concepts_of(rows)
    assert set(found) == names
    for values in found.values():
        assert 0.1 < sum(values) / len(values) < 0.9


def test_concepts_that_not_every_row_can_tell_are_left_out() -> None:
    first, *rest = organism_transcripts("organisms/shipped/qa-backdoored")
    rows = [replace(first, answer=None), *rest]
    assert set(concepts_of(rows)) == {"asks who"}


def test_rows_of_two_tasks_share_no_concept() -> None:
    rows = [organism_transcripts(f"organisms/shipped/{name}")[0] for name in ("qa-clean", "code-clean")]
    assert concepts_of(rows) == {}
