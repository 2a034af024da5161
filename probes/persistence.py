"""Saving a fitted probe: one folder with `probe.safetensors` (arrays) and `probe.json` (everything else).

No pickle: a probe file from somebody else is data, not code. The JSON holds what is needed to know what the
probe reads: model, site, layer, tokens, training data, selection, versions.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probes.base import Probe
from sophistry.hub import fetch_folder, is_repo_id

__all__ = ["PROBE_SCHEMA", "Provenance", "load_probe", "save_probe"]

PROBE_SCHEMA = "sophistry-probes/probe/1"
PROBE_FILES = ("probe.json", "probe.safetensors")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a probe comes from. Fill in what is known; `extra` takes the rest."""

    model: str | None = None
    model_fingerprint: str | None = None
    site: str | None = None
    layer: int | None = None
    tokens: str | None = None
    data_hash: str | None = None
    label_meaning: str = "1 = misleading"
    on_policy: bool | None = None
    source: str | None = None
    split_ids: dict[str, list[str]] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def save_probe(
    probe: Probe,
    path: str | Path,
    provenance: Provenance | dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a fitted probe to the folder `path`, which appears whole or not at all.

    A probe class of your own needs `_state` and `_restore`; it is found again by `load_probe` once its module
    has been imported.

    Raises FileExistsError when the folder exists and `overwrite` is False, ValueError for a class that could
    not be found again (one defined inside a function).

    >>> from probes import MeanDifferenceProbe
    >>> probe = MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_probe(save_probe(probe, Path(folder) / "probe")).direction_
    array([1.])
    """
    from safetensors.numpy import save_file
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(probe)
    for kind in _classes_in(probe):
        if "<locals>" in kind.__qualname__:
            raise ValueError(
                f"{kind.__qualname__} is defined inside a function, so load_probe could never find it again; "
                "define the class at the top of a module"
            )
    path = Path(path).expanduser()
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another folder or pass overwrite=True")
    if isinstance(provenance, dict):
        provenance = Provenance(**provenance)
    known = {name: np.array(array, order="C") for name, array in probe._state().items()}
    record = {
        "schema": PROBE_SCHEMA,
        **_param(probe),
        "classes": probe.classes_.tolist(),
        "n_features": probe.n_features_in_,
        "provenance": dataclasses.asdict(provenance) if provenance else None,
        "versions": probe_versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        save_file(known, staged / "probe.safetensors")
        (staged / "probe.json").write_text(json.dumps(record, indent=2, default=_plain) + "\n")
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            path.replace(retired / "old")
            staged.replace(path)
            shutil.rmtree(retired)
        else:
            staged.replace(path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return path


def load_probe(path: str | Path, *, revision: str | None = None) -> Probe:
    """Read a probe that `save_probe` wrote; its `provenance_` attribute is the saved record or None.

    `path` is its folder or, where there is none of this name, a repository of the Hugging Face hub
    (`user/name`, at `revision`).

    A probe class that is not of this package must have been imported before: nothing is imported because a
    file names it.

    Raises FileNotFoundError for a missing file and ValueError for another schema or an unknown probe, saying
    which module to import.
    """
    from safetensors.numpy import load_file

    reference, path = path, Path(path).expanduser()
    if not path.exists() and is_repo_id(reference):
        path = fetch_folder(str(reference), PROBE_FILES, revision=revision)
    for name in PROBE_FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path / name} is missing; a saved probe is a folder with both its files"
            )
    record = json.loads((path / "probe.json").read_text())
    if record.get("schema") != PROBE_SCHEMA:
        raise ValueError(
            f"{path}: schema {record.get('schema')!r} is not {PROBE_SCHEMA!r}; save the probe again"
        )
    probe = _make(record, path)
    probe.classes_ = np.asarray(record["classes"])
    probe.n_features_in_ = int(record["n_features"])
    probe._restore(load_file(path / "probe.safetensors"))
    saved = record["provenance"]
    probe.provenance_ = Provenance(**saved) if saved else None
    return probe


def probe_class(name: str, module: str | None, path: Path) -> type[Probe]:
    """Return the probe class that a file names, among those that have been imported.

    `module` is None in files from before it was written down: then the class is one of this package.
    """
    known = Probe.registry
    if module is None:
        own = [kind for (place, title), kind in known.items() if title == name and _is_own(place)]
        if own:
            return own[0]
    elif (module, name) in known:
        return known[module, name]
    elif not _is_own(module):
        raise ValueError(
            f"{path}: probe {name!r} is defined in the module {module!r}, which is not imported (no file "
            f"makes load_probe import anything); run `import {module}` first if you trust it"
            if module != "__main__"
            else f"{path}: probe {name!r} was defined in a notebook or script; define it again before loading"
        )
    names = ", ".join(sorted({title for (place, title) in known if _is_own(place)}))
    raise ValueError(f"{path}: probe {name!r} is not known; known are {names}")


def _is_own(module: str) -> bool:
    return module.split(".")[0] == "probes"


def _classes_in(probe: Probe) -> list[type[Probe]]:
    """Return the class of a probe and of the probes among its parameters."""
    inner = [value for value in probe.get_params(deep=False).values() if isinstance(value, Probe)]
    return [type(probe), *(kind for value in inner for kind in _classes_in(value))]


def probe_versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("sophistry-probes", "numpy", "scipy", "scikit-learn", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _param(value: Any) -> Any:
    """Describe a probe, also one that is a parameter, by its class and parameters."""
    if isinstance(value, Probe):
        params = {name: _param(inner) for name, inner in value.get_params(deep=False).items()}
        kind = type(value)
        return {"probe": kind.__qualname__, "module": kind.__module__, "params": params}
    return value


def _make(record: dict[str, Any], path: Path) -> Probe:
    """Make an unfitted probe from its description."""
    params = {
        name: _make(value, path) if isinstance(value, dict) and "probe" in value else value
        for name, value in record["params"].items()
    }
    return probe_class(record["probe"], record.get("module"), path)(**params)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written to JSON")
