"""How results show themselves in a notebook: one small table of escaped text, for light and dark pages.

Colours and background are the page's own, lines are half-transparent grey, so nothing has to know whether the
page is light or dark. Nothing is imported for it, and nothing here knows what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["counted", "fact_table", "layer_range", "value_table"]

_TABLE = "border-collapse:collapse;background:transparent;color:inherit;font-size:.9em"
_CELL = "padding:.15em .8em .15em 0;text-align:left;vertical-align:top;background:transparent;color:inherit"
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_MUTED = "opacity:.75"
_MOST = 120  # characters of one cell


def fact_table(title: str, facts: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
    """Write names and values, one a line; what is None or empty is left out.

    >>> shown = fact_table("Toy", {"name": "<b>", "path": None})
    >>> "&lt;b&gt;" in shown, "path" in shown
    (True, False)
    """
    shown = [(name, value) for name, value in facts.items() if value not in (None, "", (), [], {})]
    lines = [f"<tr>{_cell(name, _MUTED)}{_cell(value)}</tr>" for name, value in shown]
    return _whole(title, "".join(lines), notes)


def value_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], notes: Sequence[str] = ()
) -> str:
    """Write a table with a header; without rows the title and the notes remain.

    >>> value_table("Toy", ["layer"], [[3]]).count("<tr")
    2
    """
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    head = "".join(f'<th style="{_CELL};{_LINE}">{escape(name)}</th>' for name in header)
    return _whole(title, f"<tr>{head}</tr>{body}" if body else "", notes)


def counted(number: int, thing: str) -> str:
    """Write a number with its noun.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def layer_range(layers: Sequence[int]) -> str:
    """Write layer numbers briefly.

    >>> layer_range(range(30)), layer_range((3, 9)), layer_range((4,))
    ('0 to 29 (30)', '3, 9', '4')
    """
    numbers = [int(layer) for layer in layers]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]} ({len(numbers)})"
    return ", ".join(map(str, numbers))


def _cell(value: Any, extra: str = "") -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    text = text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
    return f'<td style="{_CELL};{extra}">{escape(text)}</td>'


def _whole(title: str, lines: str, notes: Sequence[str]) -> str:
    table = f'<table style="{_TABLE}">{lines}</table>' if lines else ""
    below = "".join(f'<div style="{_MUTED};font-size:.9em">{escape(note)}</div>' for note in notes)
    return f'<div style="overflow-x:auto"><div><strong>{escape(title)}</strong></div>{table}{below}</div>'
