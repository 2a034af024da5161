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

__all__ = ["PROBE_SCHEMA", "Provenance", "load_probe", "save_probe"]

PROBE_SCHEMA = "sophistry-probes/probe/1"


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

    Raises FileExistsError when the folder exists and `overwrite` is False.

    >>> from probes import MeanDifferenceProbe
    >>> probe = MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_probe(save_probe(probe, Path(folder) / "probe")).direction_
    array([1.])
    """
    from safetensors.numpy import save_file
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(probe)
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another folder or pass overwrite=True")
    if isinstance(provenance, dict):
        provenance = Provenance(**provenance)
    known = {name: np.array(array, order="C") for name, array in probe._state().items()}
    record = {
        "schema": PROBE_SCHEMA,
        "probe": type(probe).__name__,
        "params": {name: _param(value) for name, value in probe.get_params(deep=False).items()},
        "classes": probe.classes_.tolist(),
        "n_features": probe.n_features_in_,
        "provenance": dataclasses.asdict(provenance) if provenance else None,
        "versions": versions(),
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


def load_probe(path: str | Path) -> Probe:
    """Read a probe that `save_probe` wrote; its `provenance_` attribute is the saved record or None.

    Raises FileNotFoundError for a missing file and ValueError for another schema or an unknown probe.
    """
    from safetensors.numpy import load_file

    path = Path(path)
    for name in ("probe.json", "probe.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path / name} is missing; a saved probe is a folder with both its files"
            )
    record = json.loads((path / "probe.json").read_text())
    if record.get("schema") != PROBE_SCHEMA:
        raise ValueError(
            f"{path}: schema {record.get('schema')!r} is not {PROBE_SCHEMA!r}; save the probe again"
        )
    if record["probe"] not in probe_classes():
        known = ", ".join(sorted(probe_classes()))
        raise ValueError(f"{path}: probe {record['probe']!r} is not known; known are {known}")
    probe = _make(record)
    probe.classes_ = np.asarray(record["classes"])
    probe.n_features_in_ = int(record["n_features"])
    probe._restore(load_file(path / "probe.safetensors"))
    saved = record["provenance"]
    probe.provenance_ = Provenance(**saved) if saved else None
    return probe


def probe_classes() -> dict[str, type[Probe]]:
    """Return every probe class of the package by name."""
    import probes

    found = (getattr(probes, name) for name in probes.__all__)
    return {kind.__name__: kind for kind in found if isinstance(kind, type) and issubclass(kind, Probe)}


def versions() -> dict[str, str]:
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
    """Describe a parameter that is itself a probe by its class and parameters."""
    if isinstance(value, Probe):
        params = {name: _param(inner) for name, inner in value.get_params(deep=False).items()}
        return {"probe": type(value).__name__, "params": params}
    return value


def _make(record: dict[str, Any]) -> Probe:
    """Make an unfitted probe from its description."""
    params = {
        name: _make(value) if isinstance(value, dict) and "probe" in value else value
        for name, value in record["params"].items()
    }
    return probe_classes()[record["probe"]](**params)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written to JSON")
