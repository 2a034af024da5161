"""From saved files to plans, tables, figures and reports: the library under the programs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.comparison import compare

_HOMES = {"compare": "study.comparison"}
"""Public name -> module that defines it; it is loaded when the name is first asked for."""

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
