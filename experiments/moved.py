"""Old import paths that a notebook may hold: they work for now, with a warning that names the new place.

A file `experiments/organisms.py` cannot stand in for the module of that name: a program that is run as
`python experiments/transfer.py` finds it in place of the package `organisms`.
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any


class MovedModule(ModuleType):
    """A module whose names are in another one.

    >>> import pytest
    >>> old = MovedModule("old.place", "json", renamed={"write": "dumps"})
    >>> with pytest.warns(FutureWarning, match="old.place.write is now json.dumps"):
    ...     old.write([1])
    '[1]'
    """

    def __init__(self, name: str, new: str, renamed: dict[str, str] | None = None) -> None:
        super().__init__(name, f"Moved: what was here is in {new}.")
        self._new, self._renamed = new, renamed or {}

    def __getattr__(self, name: str) -> Any:
        new_name = self._renamed.get(name, name)
        new = importlib.import_module(self._new) if not name.startswith("_") else None
        if not hasattr(new, new_name):
            raise AttributeError(f"{self.__name__} has no {name!r}; what was here is in {self._new}")
        warnings.warn(
            f"{self.__name__}.{name} is now {self._new}.{new_name}; this old path will go",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(new, new_name)
