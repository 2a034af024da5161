"""The LaTeX table holds every row of the summary, escaped."""

from pathlib import Path

from probes.evaluation.results import TransferResult
from study.plots.style import Style
from study.tables import latex_table, summary_rows

RESULT = Path(__file__).parent / "fixtures" / "transfer_result.json"


def test_latex_table_has_every_row_and_escapes_names():
    result = TransferResult.from_json(RESULT.read_text(encoding="utf-8"))
    style = Style(names={result.source: "50% & a_b"})
    text, expected = latex_table(result, style), summary_rows(result, style)
    lines = [line for line in text.splitlines() if " & " in line and "AUROC" not in line]
    assert len(lines) == len(expected)
    assert {line.count(" & ") for line in lines} == {len(expected[0]) - 1}
    assert r"50\% \& a\_b" in text
    assert "|" not in text
