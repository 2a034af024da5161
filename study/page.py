"""One self-contained HTML page: the frame, tables and figures that every report of this folder is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto }
body { padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: .85rem; margin: .8rem 0 } .wide { overflow-x: auto }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #ddd }
td { vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr.head td { font-weight: 600 }
.verdict { border-left: 4px solid #0072B2; padding: .4rem 1rem; background: #f4f8fb; margin: 1rem 0 }
.verdict p { margin: .3rem 0 } figure { margin: 1.2rem 0; overflow-x: auto } .files { font-size: .8rem }
figcaption, .muted { color: #555; font-size: .9rem }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; white-space: pre-wrap }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .8rem }
.beside p { margin: .2rem 0; font-size: .9rem } h3 { font-size: 1rem; margin: 1.4rem 0 .3rem }
@media (prefers-color-scheme: dark) { figure { background: #fff } }
"""


def html_page(title: str, parts: Iterable[str]) -> str:
    """Put blocks of HTML into a page that opens offline (plotly.js is inside)."""
    from plotly.offline import get_plotlyjs

    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_CSS}</style><script>{get_plotlyjs()}</script></head><body>{''.join(parts)}</body></html>\n"
    )


def html_figure(name: str, html: str, caption: str) -> str:
    """Put a figure's `<div>` (`inline_html`) above its caption, which may hold HTML."""
    return f'<figure id="{name}">{html}<figcaption>{caption}</figcaption></figure>'


def html_table(rows: Sequence[Mapping[str, str]], right: tuple[str, ...] = ()) -> str:
    """Make a table of plain text, one column per key; the columns in `right` are numbers.

    >>> html_table([])
    ''
    """
    if not rows:
        return ""
    head = "".join(f"<th{_align(c, right)}>{escape(c)}</th>" for c in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td{_align(c, right)}>{escape(v)}</td>" for c, v in row.items()) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _align(column: str, right: tuple[str, ...]) -> str:
    return ' class="n"' if column in right else ""
