"""Cached activations on disk: a folder that names its content, loads with no model, and can prove itself.

    <root>/<key>/manifest.json             spec, row ids, shard list with sizes and sha256, environment
    <root>/<key>/shard-00000.safetensors   one tensor per site, [layer, row, d] (ragged: [layer, token, d]);
                                           row_index, offsets, token_ids, positions

Shards are memory-mapped: one layer is read without touching the others. The manifest is canonical JSON that
carries its own hash, so a changed byte anywhere is found by `verify`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from activations.fingerprint import hash_json
from activations.key import SCHEMA
from activations.sites import SiteError, site_layers
from sophistry.notebook import counted, fact_table, layer_range

MANIFEST = "manifest.json"
Shard = dict[str, Tensor]


class StoreCorruptError(ValueError):
    """A store is incomplete or damaged; the message names the file."""


def dump_manifest(content: dict[str, Any]) -> str:
    """Canonical text of a manifest, with a hash over everything else in it."""
    body = {k: v for k, v in content.items() if k != "manifest_sha256"}
    return json.dumps({**body, "manifest_sha256": hash_json(body)}, sort_keys=True, indent=1) + "\n"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Parse and check the manifest in `folder`.

    Raises:
        StoreCorruptError: it is absent, damaged, or of another schema version.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
    except FileNotFoundError as error:
        raise StoreCorruptError(f"{folder} holds no {MANIFEST}: it is no activation store.") from error
    except ValueError as error:
        raise StoreCorruptError(
            f"{path} is damaged ({error}). Delete the folder and extract again."
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise StoreCorruptError(f"{path} has schema {found!r}; this version reads {SCHEMA}. Extract again.")
    if text != dump_manifest(content):
        raise StoreCorruptError(
            f"{path} does not match its own hash: it was changed. Delete the folder and extract again."
        )
    return content


def hash_bytes_of(path: Path) -> str:
    """sha256 of a file, always read anew (unlike `fingerprint.hash_file`, which remembers)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class ActivationStore:
    """Activations of one model on one list of rows. Open one with `ActivationStore.open(path)`.

    Rows come back in the order in which they were given to `extract`.
    """

    manifest: dict[str, Any] = field(repr=False)
    path: Path | None
    """The store's folder; None for activations that were only kept in memory."""
    shards: Sequence[Callable[[], Any]] = field(repr=False)
    """One opener per shard; each gives an object with `get(name)` and `get_layer(name, index)`."""

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> "ActivationStore":
        """Open a store's folder; with `verify`, hash every file first.

        Raises:
            StoreCorruptError: the folder is no store, a shard is missing or has the wrong size, or (with
                `verify`) a byte differs. The message names the file.
        """
        folder = Path(path).expanduser().absolute()  # shards are opened later, whatever folder we are in
        manifest = read_manifest(folder)
        for shard in manifest["shards"]:
            _check_shard(folder / shard["file"], shard, verify=verify)
        if verify:
            _check_no_strangers(folder, manifest)
        openers = [_MappedShard(folder / shard["file"]).open for shard in manifest["shards"]]
        return cls(manifest=manifest, path=folder, shards=openers)

    @classmethod
    def in_memory(cls, manifest: dict[str, Any], shards: Sequence[Shard]) -> "ActivationStore":
        """A store that was never written; same reading methods, `path` is None."""
        return cls(manifest=manifest, path=None, shards=[_MemoryShard(shard).open for shard in shards])

    @property
    def key(self) -> str:
        """Content address of what is stored."""
        return self.manifest["key"]

    @cached_property
    def row_ids(self) -> list[str]:
        """Row ids, in order."""
        return list(self.manifest["rows"]["ids"])

    @cached_property
    def groups(self) -> list[str]:
        """Group id of every row."""
        return list(self.manifest["rows"]["groups"])

    @property
    def sites(self) -> tuple[str, ...]:
        """Stored sites."""
        return tuple(self.manifest["spec"]["sites"])

    @property
    def layers(self) -> tuple[int, ...]:
        """Stored layers (the site `embed` has only layer 0)."""
        return tuple(self.manifest["spec"]["layers"])

    @property
    def ragged(self) -> bool:
        """Whether rows hold several tokens each; then read with `ragged_array`."""
        return self.manifest["ragged"]

    @property
    def d_model(self) -> int:
        """Width of the vectors."""
        return self.manifest["d_model"]

    def __len__(self) -> int:
        return len(self.row_ids)

    def _repr_html_(self) -> str:
        """What a notebook shows: what is stored, of whom, where."""
        spec, model = self.manifest.get("spec", {}), self.manifest.get("model", {})
        groups = counted(len(set(self.groups)), "group") if self.groups else ""
        return fact_table(
            "ActivationStore",
            {
                "model": model.get("ref"),
                "adapter": model.get("adapter"),
                "rows": f"{counted(len(self), 'row')} of {groups}" if groups else counted(len(self), "row"),
                "sites": ", ".join(self.sites),
                "layers": layer_range(self.layers),
                "width": self.d_model,
                "kept": "several tokens a row" if self.ragged else f"one vector a row ({spec.get('pool')})",
                "number type": spec.get("store_dtype"),
                "folder": self.path or "in memory only",
                "key": self.key,
            },
        )

    def array(self, layer: int, site: str = "resid_post") -> Float[np.ndarray, "row d_model"]:
        """One layer as float32 `[row, d_model]`, rows in order."""
        self._refuse_ragged("array", "ragged_array(layer, site)")
        index = self._layer_index(layer, site)
        out = np.empty((len(self), self.d_model), dtype=np.float32)
        for opener in self.shards:
            shard = opener()
            out[shard.get("row_index").numpy()] = shard.get_layer(site, index).float().numpy()
        return out

    def tensor(
        self, site: str = "resid_post", dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "layer row d_model"]:
        """All stored layers as one tensor `[layer, row, d_model]`, rows in order."""
        self._refuse_ragged("tensor", "ragged_array(layer, site)")
        layers = self._layers_of(site)
        out = torch.empty((len(layers), len(self), self.d_model), dtype=dtype)
        for opener in self.shards:
            shard = opener()
            out[:, shard.get("row_index")] = shard.get(site).to(dtype)
        return out

    def ragged_array(
        self, layer: int, site: str = "resid_post"
    ) -> tuple[Float[np.ndarray, "token d_model"], Int[np.ndarray, "bound"]]:
        """One layer of all kept tokens, float32 `[token, d_model]`, and offsets `[row + 1]`.

        Row `i` owns tokens `offsets[i]:offsets[i + 1]`.
        """
        index = self._layer_index(layer, site)
        offsets = self.offsets
        out = np.empty((int(offsets[-1]), self.d_model), dtype=np.float32)
        for opener in self.shards:
            shard = opener()
            values, bounds = shard.get_layer(site, index).float().numpy(), shard.get("offsets").numpy()
            for row, start, stop in zip(shard.get("row_index").numpy(), bounds, bounds[1:], strict=False):
                out[offsets[row] : offsets[row + 1]] = values[start:stop]
        return out, offsets

    @cached_property
    def offsets(self) -> Int[np.ndarray, "bound"]:
        """Where each row's kept tokens begin, `[row + 1]`, also when they were pooled afterwards."""
        counts = np.zeros(len(self), dtype=np.int64)
        for opener in self.shards:
            shard = opener()
            counts[shard.get("row_index").numpy()] = np.diff(shard.get("offsets").numpy())
        return np.concatenate([[0], np.cumsum(counts)])

    def tokens_of(self, row: int) -> tuple[Int[np.ndarray, "token"], Int[np.ndarray, "token"]]:
        """Token ids and positions that were kept of one row; negative numbers count from the end."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row}: this store has {len(self)} rows.")
        for opener in self.shards:
            shard = opener()
            found = np.flatnonzero(shard.get("row_index").numpy() == row % len(self))
            if len(found):
                start, stop = shard.get("offsets").numpy()[found[0] : found[0] + 2]
                return shard.get("token_ids")[start:stop].numpy(), shard.get("positions")[start:stop].numpy()
        raise StoreCorruptError(f"row {row} is in no shard of {self.path}. Extract again.")

    def _layers_of(self, site: str) -> tuple[int, ...]:
        if site not in self.sites:
            raise SiteError(f"site={site!r} is not stored here; stored are {', '.join(self.sites)}.")
        return site_layers(site, self.layers)

    def _layer_index(self, layer: int, site: str) -> int:
        layers = self._layers_of(site)
        if layer not in layers:
            raise SiteError(f"layer={layer!r} of {site!r} is not stored here; stored are {list(layers)}.")
        return layers.index(layer)

    def _refuse_ragged(self, method: str, instead: str) -> None:
        if self.ragged:
            raise ValueError(f"{method}(): rows here keep several tokens each. Use {instead}.")


def _check_shard(path: Path, record: dict[str, Any], *, verify: bool) -> None:
    if not path.is_file():
        raise StoreCorruptError(f"{path} is missing. Delete the folder and extract again.")
    if (size := path.stat().st_size) != record["bytes"]:
        raise StoreCorruptError(
            f"{path} has {size} bytes, not the {record['bytes']} of the manifest. Extract again."
        )
    if verify and (found := hash_bytes_of(path)) != record["sha256"]:
        raise StoreCorruptError(
            f"{path} has sha256 {found}, the manifest says {record['sha256']}: it was damaged. Delete the "
            "folder and extract again."
        )


def _check_no_strangers(folder: Path, manifest: dict[str, Any]) -> None:
    known = {MANIFEST, *(shard["file"] for shard in manifest["shards"])}
    if strangers := sorted(p.name for p in folder.iterdir() if p.name not in known):
        raise StoreCorruptError(f"{folder} holds files the manifest does not know: {', '.join(strangers)}.")


@dataclass(frozen=True)
class _MappedShard:
    path: Path

    def open(self) -> "_OpenShard":
        from safetensors import SafetensorError, safe_open

        try:
            return _OpenShard(safe_open(self.path, framework="pt"))
        except (OSError, SafetensorError) as error:
            raise StoreCorruptError(f"{self.path} cannot be read ({error}). Extract again.") from error


@dataclass(frozen=True)
class _OpenShard:
    file: Any

    def get(self, name: str) -> Tensor:
        return self.file.get_tensor(name)

    def get_layer(self, name: str, index: int) -> Tensor:
        return self.file.get_slice(name)[index]


@dataclass(frozen=True)
class _MemoryShard:
    tensors: Shard

    def open(self) -> "_MemoryShard":
        return self

    def get(self, name: str) -> Tensor:
        return self.tensors[name]

    def get_layer(self, name: str, index: int) -> Tensor:
        return self.tensors[name][index]
