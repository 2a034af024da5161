"""Finding, describing and deleting stores: what the command line offers to people."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from activations.store import MANIFEST, ActivationStore, StoreCorruptError, read_manifest


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A folder that may be deleted, and why."""

    path: Path
    reason: str
    bytes: int


def find_stores(path: Path) -> list[Path]:
    """The store at `path`, or the stores directly inside it.

    Raises:
        StoreCorruptError: there is neither.
    """
    path = path.expanduser()
    if (path / MANIFEST).is_file():
        return [path]
    found = sorted(p.parent for p in path.glob(f"*/{MANIFEST}") if not p.parent.name.endswith(".part"))
    if not found:
        raise StoreCorruptError(f"{path} is no activation store and holds none.")
    return found


def describe_store(folder: Path) -> str:
    """A few lines on what a store holds."""
    manifest = read_manifest(folder)
    spec, rows = manifest["spec"], manifest["rows"]
    layers, size = spec["layers"], sum(shard["bytes"] for shard in manifest["shards"])
    checks = [f"{c['name']} {c['difference']:.1g}" for c in manifest["integrity"]["checks"]]
    tokens = sum(rows["tokens"])
    saved = manifest.get("tokens_saved", 0) / tokens
    kept = "every kept token" if manifest["ragged"] else f"pooled: {spec['pool']}"
    lines = [
        f"{folder}",
        f"  rows       {len(rows['ids'])} in {len(set(rows['groups']))} groups, {tokens} tokens",
        f"  model      {manifest['model']['ref']}"
        + (f" + {manifest['model']['adapter']}" if manifest["model"]["adapter"] else "")
        + f", {spec['dtype']}, fingerprint {spec['model'][:12]}",
        f"  values     {', '.join(spec['sites'])} of {len(layers)} layers ({layers[0]} to {layers[-1]}), "
        f"{kept}, width {manifest['d_model']}",
        f"  stored     {spec['store_dtype']}, {size / 1e6:.1f} MB in {len(manifest['shards'])} shards",
        f"  computed   {spec['backend']}, {spec['attention']} attention, {spec['padding']}, "
        + (f"shared prefixes save {saved:.0%} of the tokens" if saved else "no prefixes shared"),
        f"  checked    {'; '.join(checks)}",
    ]
    return "\n".join(lines)


def find_leftovers(root: Path, *, damaged: bool = False) -> list[Leftover]:
    """Unfinished folders under `root`; with `damaged`, also stores that fail verification."""
    found = []
    for path in sorted(root.expanduser().iterdir()):
        if path.is_dir() and path.suffix == ".part":
            found.append(_leftover(path, "unfinished: running extract again would go on from here"))
        elif damaged and (path / MANIFEST).is_file():
            try:
                ActivationStore.open(path, verify=True)
            except StoreCorruptError as error:
                found.append(_leftover(path, f"damaged: {error}"))
    return found


def _leftover(path: Path, reason: str) -> Leftover:
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return Leftover(path=path, reason=reason, bytes=size)


def remove(leftovers: Sequence[Leftover]) -> None:
    """Delete the folders."""
    for leftover in leftovers:
        shutil.rmtree(leftover.path)
