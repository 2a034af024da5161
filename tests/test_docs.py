"""The documentation tells the truth: its code runs, links lead somewhere, messages and tables are real."""

import ast
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = "sophistry tasks activations probes organisms backdoor rlhf study experiments".split()
RUN = [
    *sorted(DOCS.glob("adding-*.md")),
    DOCS / "own-recipe.md",
    DOCS / "bring-your-own.md",
    DOCS / "run-rlhf.md",
    DOCS / "measure-misleading.md",
]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")] + sorted(
    path for path in DOCS.rglob("*.md") if not any(part.startswith("_") for part in path.parts)
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
sys.path.append(str(DOCS / "_extensions"))


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path, monkeypatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": page.stem})


def text_of(path: Path) -> str:
    """The Markdown of a page or notebook, without code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def links_of(path: Path) -> list[str]:
    return re.findall(r"\]\(([^()\s]+)\)", text_of(path))


def anchors_of(path: Path) -> set[str]:
    """Anchors of headings, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#{1,6} (.+)$", text, flags=re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        if ":" in link.split("/")[0]:
            parsed = urlparse(link)  # not visited: there is no network
            assert parsed.scheme == "https", link
            assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parsed.netloc), link
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name} links to {link}"


def test_every_page_is_in_the_navigation() -> None:
    trees = "\n".join(re.findall(r"```\{toctree\}(.*?)```", (DOCS / "index.md").read_text(), flags=re.DOTALL))
    api = "\n".join(
        re.findall(r"```\{toctree\}(.*?)```", (DOCS / "api/index.md").read_text(), flags=re.DOTALL)
    )
    listed = set(re.findall(r"^[\w/*-]+$", trees, flags=re.MULTILINE))
    listed |= {f"api/{name}" for name in re.findall(r"^[\w-]+$", api, flags=re.MULTILINE)}
    names = [path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES if DOCS in path.parents]
    names += [f"notebooks/{path.stem}" for path in NOTEBOOKS]
    patterns = [name.removesuffix("*") for name in listed if name.endswith("*")]
    missing = [n for n in names if n != "index" and n not in listed and not n.startswith(tuple(patterns))]
    assert not missing


def messages() -> set[str]:
    """Every error message of the library, with `...` for its values."""

    def template(node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
        if isinstance(node, ast.IfExp):
            return template(node.body)
        if isinstance(node, ast.BinOp):
            return template(node.left) + template(node.right)
        return "..."

    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            raised = [n.exc for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Raise)]
            for call in raised:
                if isinstance(call, ast.Call) and call.args:
                    found.add(template(call.args[0]))
    return found


def test_every_explained_error_is_a_message_of_the_library() -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = [block.strip() for block in re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)]
    assert len(explained) > 40
    known = messages()
    assert not [message for message in explained if message not in known]


def test_the_table_of_costs_is_what_is_computed() -> None:
    import costs

    assert costs.written(costs.PAGE.read_text(encoding="utf-8")) == costs.computed()


def test_counted_parameters_are_the_published_ones() -> None:
    import costs

    published = (1_235_814_400, 6_738_415_616, 68_976_648_192)
    assert tuple(size.parameters for size in costs.sizes()) == published


def test_the_glossary_has_every_word_once() -> None:
    words = re.findall(r"^(\w[\w -]*)\n  \w", (DOCS / "glossary.md").read_text(), flags=re.MULTILINE)
    assert len(words) == len(set(words)) > 30


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
