"""The notebooks of the repository as pages: copied beside the documents, with links inside the site."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SOURCE, COPIES = HERE.parent / "notebooks", HERE / "notebooks"


def copy_notebooks(app=None):
    """Write a notebook's copy when it changed, and remove copies of notebooks that are gone."""
    COPIES.mkdir(exist_ok=True)
    wanted = {path.name: path for path in SOURCE.glob("*.ipynb")}
    for copy in COPIES.glob("*.ipynb"):
        if copy.name not in wanted:
            copy.unlink()
    for name, path in wanted.items():
        text = path.read_text(encoding="utf-8").replace("](../docs/", "](../")
        copy = COPIES / name
        if not copy.is_file() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")


def inside_links(text):
    """Links as they work in the repository, as they work in the site.

    >>> inside_links("[a](../notebooks/probes.ipynb) and [b](../README.md#results)")
    '[a](notebooks/probes.ipynb) and [b](index.md)'
    """
    text = re.sub(r"\]\((?:\.\./)+notebooks/", "](notebooks/", text)
    return re.sub(r"\]\((?:\.\./)+README\.md(#[\w-]*)?\)", "](index.md)", text)


def _read(app, name, source):
    if not name.startswith("notebooks/"):
        up = "../" * name.count("/")
        text = inside_links(source[0])
        source[0] = text.replace("](notebooks/", f"]({up}notebooks/").replace(
            "](index.md)", f"]({up}index.md)"
        )


def setup(app):
    """Copy first; then every page is read with its links inside the site."""
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
