"""Imports point one way. This is the one place that lists the allowed order."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "sophistry": [],
    "tasks": ["sophistry"],
    "activations": ["sophistry"],
    "probes": ["sophistry", "activations"],  # reads a store, and knows no model
    "organisms": ["sophistry", "tasks", "activations"],
    "backdoor": ["sophistry", "tasks", "activations", "organisms"],
    "rlhf": ["sophistry", "tasks", "activations", "organisms"],
    "study": ["sophistry", "tasks", "activations", "probes", "organisms", "backdoor", "rlhf"],
    "experiments": ["sophistry", "tasks", "activations", "probes", "organisms", "backdoor", "rlhf", "study"],
}
"""Package -> the packages it may import."""


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        yield from ((node.lineno, name.split(".")[0]) for name in names)


@pytest.mark.parametrize("package", BELOW)
def test_no_package_imports_one_above_it(package):
    allowed = {package, *BELOW[package]}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, name in imported(path)
        if name in BELOW and name not in allowed
    ]
    assert not wrong


def test_every_package_has_its_place_in_the_order():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert packages == set(BELOW)


def module_graph():
    """Module -> modules of this project that it imports when it is imported (not inside functions)."""
    files = [path for package in BELOW for path in (ROOT / package).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    graph = {}
    for path, name in names.items():
        if path.name == "__init__.py":
            continue  # an index of its package, not a user of it
        body = ast.parse(path.read_text()).body
        graph[name] = {
            node.module for node in body if isinstance(node, ast.ImportFrom) and node.module in names.values()
        }
    return graph


def test_no_module_imports_itself_by_a_circle():
    graph = module_graph()

    def circle(path):
        for after in graph.get(path[-1], ()):
            if after == path[0]:
                return [*path, after]
            if after not in seen:
                seen.add(after)
                if found := circle([*path, after]):
                    return found
        return None

    for start in graph:
        seen = set()
        assert circle([start]) is None
