"""One self-contained HTML page from a template: everything is escaped, but for figures that were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True, kw_only=True)
class ShownFigure:
    """A figure as a page shows it."""

    name: str
    html: Markup
    """Its `<div>` (`inline_html`), which is not escaped."""
    caption: str = ""
    facts: str = ""
    """What else must be said of it (n, groups, seed, selection), folded up."""
    files: tuple[str, ...] = ()
    """Kinds of the files beside the page (`figures/NAME.KIND`) that it links to."""


def render(template: str, **values: Any) -> str:
    """Fill a template; a value it needs and is not given is an error, and the page opens offline.

    Raises:
        jinja2.UndefinedError: the template names something that is not in `values`.
    """
    from plotly.offline import get_plotlyjs

    return _environment().get_template(template).render(plotly_js=Markup(get_plotlyjs()), **values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
