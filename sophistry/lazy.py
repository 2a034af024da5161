"""Packages whose public names are imported when they are first asked for (PEP 562).

`import rlhf` alone then loads no trainer and no torch, and a program pays for what it uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package; `homes` is module -> the public names it holds.

    Raises AttributeError for a name that no module holds, as Python does.

    >>> get, _ = lazy_names("shop", {"fractions": ("Fraction",)})
    >>> get("Fraction")(1, 2)
    Fraction(1, 2)
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return get, names
