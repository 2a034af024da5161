"""Moved: what was here is in `study.opening`. The old names work for now, with a warning that says so."""

from __future__ import annotations

import warnings
from typing import Any

from study import opening

_RENAMED = {"untrained_twin": "untrained_copy"}


def __getattr__(name: str) -> Any:
    new = _RENAMED.get(name, name)
    if name.startswith("_") or not hasattr(opening, new):
        raise AttributeError(f"experiments.organisms has no {name!r}; what was here is in study.opening")
    warnings.warn(
        f"experiments.organisms.{name} is now study.opening.{new}; this old path will go",
        FutureWarning,
        stacklevel=2,
    )
    return getattr(opening, new)
