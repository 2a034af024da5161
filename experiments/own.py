"""A recipe or reward of the user's own, named by its import path: `my_file.py:my_reward`.

The path may name a module instead (`my_module:MyRecipe`). What is named is a class, of which one is made
without arguments, or a function, which is taken as it is.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["import_name", "is_import_path", "load_own", "own_source"]


def is_import_path(name: str) -> bool:
    """Whether a name is of the form `MODULE:NAME` or `FILE.py:NAME`.

    >>> is_import_path("my_file.py:my_reward"), is_import_path("approval")
    (True, False)
    """
    where, _, what = name.rpartition(":")
    return bool(where) and what.isidentifier()


def import_name(path: str) -> str:
    """What an import path names, as part of a file name.

    >>> import_name("my_file.py:Short_answers")
    'short-answers'
    """
    return path.rpartition(":")[2].lower().replace("_", "-")


def load_own(path: str) -> Any:
    """Import what a path names; of a class, make one.

    Raises:
        ValueError: no such file, module or name, or a class that cannot be made without arguments.
    """
    where, _, name = path.rpartition(":")
    module = _from_file(Path(where).expanduser(), path) if where.endswith(".py") else _from_name(where, path)
    if not hasattr(module, name):
        raise ValueError(f"{path!r}: {where} defines no {name!r}; it must be a class or function there")
    found = getattr(module, name)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except TypeError as error:
        raise ValueError(
            f"{path!r}: a {name} cannot be made without arguments ({error}); give every field a default, or "
            "name a function"
        ) from error


def own_source(path: str) -> dict[str, str]:
    """The path with the SHA-256 of the file it leads to, for a record."""
    where = path.rpartition(":")[0]
    file = Path(where).expanduser() if where.endswith(".py") else None
    if file is None:
        found = importlib.util.find_spec(where)
        file = Path(found.origin) if found is not None and found.origin else None
    return {path: hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else "unknown"}


def _from_file(file: Path, path: str) -> ModuleType:
    if not file.is_file():
        raise ValueError(f"{path!r}: there is no file {file} (paths are relative to where you run this)")
    spec = importlib.util.spec_from_file_location(file.stem, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _from_name(where: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path!r}: no module {error.name!r}; install it, put its folder on PYTHONPATH, or name the file "
            "(my_file.py:NAME)"
        ) from error
