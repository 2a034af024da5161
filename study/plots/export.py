"""Figures to files: HTML always, PDF, SVG and PNG when a Chrome or Chromium is there to draw them.

The HTML files of a folder share one `plotly.min.js` beside them, so they open without a network. Sizes
are exact: a column figure gives a PDF page 3.25 in wide, and PNG has 300 dots per inch.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from sophistry.files import write_atomic
from sophistry.provenance import program_command

IMAGE_FORMATS = ("pdf", "svg", "png")
PNG_DPI = 300
SCREEN_SCALE = 1.4  # 8 pt type is made for paper
NO_BROWSER = (
    "PDF, SVG and PNG need a Chrome or Chromium, and none {found}. Install one (`apt-get install chromium`, "
    "or `kaleido_get_chrome` in the virtual environment, or set BROWSER_PATH to one), then draw again from "
    "the saved results: {again}"
)
HTML_CONFIG = {"displayModeBar": False}  # small figures: the buttons would cover them


def save_figures(
    figures: Mapping[str, go.Figure],
    folder: Path,
    source_sha256: str = "",
    formats: tuple[str, ...] = IMAGE_FORMATS,
    again: str | None = None,
    captions: Mapping[str, str] | None = None,
) -> str | None:
    """Write every figure as `folder/NAME.html` and, where possible, in `formats` ("pdf", "svg", "png").

    `source_sha256` names the result file the figures were drawn from; it is kept inside HTML and SVG.
    `again` is the command that draws them once more. `captions` are kept beside the figures, as
    `NAME.caption.txt`.
    Gives None, or the message to show when there is no browser to make images.
    """
    from plotly.offline import get_plotlyjs

    write_atomic(folder / "plotly.min.js", get_plotlyjs())
    for name, figure in figures.items():
        figure.update_layout(meta={"result_sha256": source_sha256})
        write_atomic(folder / f"{name}.html", standalone_html(figure, name))
        if captions and captions.get(name):
            write_atomic(folder / f"{name}.caption.txt", captions[name] + "\n")
    if not formats or not figures:
        return None
    jobs = [(name, kind) for name in figures for kind in formats]
    with ThreadPoolExecutor(1) as thread:  # a notebook already runs an event loop in this one
        images = thread.submit(asyncio.run, _render([(figures[name], kind) for name, kind in jobs])).result()
    if isinstance(images, str):
        again = again or f"{program_command('figures')} {folder.parent}"
        return NO_BROWSER.format(found=images, again=again)
    for (name, kind), content in zip(jobs, images, strict=True):
        if kind == "svg":
            note = f"<metadata>{json.dumps({'result_sha256': source_sha256})}</metadata></svg>"
            content = content.decode().removesuffix("</svg>").encode() + note.encode()
        write_atomic(folder / f"{name}.{kind}", content)
    return None


def standalone_html(figure: go.Figure, title: str) -> str:
    """Write a page for one figure that finds `plotly.min.js` beside it."""
    body = inline_html(figure, title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<script src="plotly.min.js"></script></head><body>{body}</body></html>\n'
    )


def inline_html(figure: go.Figure, name: str) -> str:
    """Write the `<div>` of a figure, enlarged for the screen, for a page that has loaded plotly.js itself."""
    html = figure.to_html(
        full_html=False, include_plotlyjs=False, config=HTML_CONFIG, div_id=f"figure-{name}"
    )
    width, height = figure.layout.width, figure.layout.height
    return (
        f'<div class="drawn" data-width="{width:g}" data-height="{height:g}" '
        f'style="width:{width * SCREEN_SCALE:.0f}px;height:{height * SCREEN_SCALE:.0f}px">'
        f'<div style="width:{width:g}px;transform:scale({SCREEN_SCALE});transform-origin:0 0">'
        f"{html}</div></div>"
    )


async def _render(jobs: list[tuple[go.Figure, str]]) -> list[bytes] | str:
    """Draw all images in one browser; without a working one, say which of the two it is."""
    import kaleido
    from kaleido.errors import BrowserFailedError, ChromeNotFoundError

    def options(kind: str) -> Any:
        return {"format": kind, "scale": PNG_DPI / 96 if kind == "png" else 1}

    try:
        async with kaleido.Kaleido(n=1, mathjax=False) as browser:
            return [await browser.calc_fig(figure, opts=options(kind)) for figure, kind in jobs]
    except ChromeNotFoundError:
        return "was found"
    except BrowserFailedError:
        return "of those found here starts"
