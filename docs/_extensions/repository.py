"""The repository as a site: notebooks beside the documents, and links that lead inside.

In the repository a link must work on GitHub: to `../notebooks/x.ipynb`, to the README, to a folder of files.
Here notebooks are copied beside the documents, the README is the first page, and a folder is not a page.
"""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SOURCE, COPIES = HERE.parent / "notebooks", HERE / "notebooks"
_LINK = re.compile(r"(?<!!)\[([^]]+)\]\(([^()\s#]+)(#[\w-]*)?\)")


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


def inside_links(text, page):
    """Links as they work in the repository, as they work in the site; `page` is the page's name.

    >>> inside_links("[a](../notebooks/probes.ipynb), [b](../../README.md#results)", "results/rlhf")
    '[a](../notebooks/probes.ipynb), [b](../index.md)'
    >>> inside_links("[files](results)", "index")
    'files'
    """
    up = "../" * page.count("/")

    def moved(match):
        words, target, _ = match.groups()
        if target.startswith("../") and "notebooks/" in target:
            return f"[{words}]({up}notebooks/{target.partition('notebooks/')[2]})"
        if target.endswith("README.md"):
            return f"[{words}]({up}index.md)"
        if "://" not in target and (HERE / page).parent.joinpath(target).is_dir():
            return words
        return match[0]

    return _LINK.sub(moved, text)


def without_idle_patterns(text):
    """A navigation whose patterns all match a page: those that match none are left out.

    >>> without_idle_patterns("glossa*\\nno-such-page*\\nerrors")
    'glossa*\\nerrors'
    """
    lines = text.split("\n")
    return "\n".join(line for line in lines if not line.endswith("*") or any(HERE.glob(f"{line}.md")))


def _read(app, name, source):
    if name == "index":
        source[0] = without_idle_patterns(source[0])
    if not name.startswith("notebooks/"):
        source[0] = inside_links(source[0], name)


def setup(app):
    """Copy first; then every page is read with its links inside the site."""
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
