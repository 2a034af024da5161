"""One fingerprint per set of weights: a sha256 that depends on content, never on paths or machines.

A folder is fingerprinted from the files that decide what the model computes (weights, config, tokenizer);
a GGUF file from its bytes; a model that exists only in memory from its tensors. Hashing half a gigabyte
takes a second or so, so file hashes are remembered by path, size and modification time.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# Written by save_pretrained for people and loaders; two copies of one model may differ in them.
CONFIG_BOOKKEEPING = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def cache_dir() -> Path:
    """The folder for converted models and remembered hashes.

    `SOPHISTRY_CACHE` wins, then `XDG_CACHE_HOME/sophistry-probes`, then `~/.cache/sophistry-probes`.

    >>> import os
    >>> os.environ["SOPHISTRY_CACHE"] = "/tmp/somewhere"
    >>> str(cache_dir())
    '/tmp/somewhere'
    >>> del os.environ["SOPHISTRY_CACHE"]
    """
    if own := os.environ.get("SOPHISTRY_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "sophistry-probes"


def hash_json(value: Any) -> str:
    """sha256 of canonical JSON (sorted keys, no spaces), so equal values hash equally everywhere.

    >>> hash_json({"b": 1, "a": [2]}) == hash_json({"a": [2], "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, remembered in the cache by path, size and modification time."""
    path = path.resolve()
    stat = path.stat()
    memo = cache_dir() / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    stamp = {"path": str(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    try:
        known = json.loads(memo.read_text())
        if {k: known[k] for k in stamp} == stamp:
            return known["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or not readable: hash again
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size > 1 << 20:  # small files are faster to hash than to look up
        _remember(memo, {**stamp, "sha256": digest})
    return digest


def _remember(memo: Path, record: Mapping[str, Any]) -> None:
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        part = memo.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(record))
        part.replace(memo)
    except OSError as error:
        logger.debug("hash of %s not remembered: %s", record["path"], error)


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> sha256 of those of `names` that exist in `folder`."""
    return {name: hash_file(folder / name) for name in sorted(names) if (folder / name).is_file()}


def fingerprint_folder(folder: Path) -> str:
    """Fingerprint of a Hugging Face folder: safetensors, config without bookkeeping, tokenizer files."""
    config = json.loads((folder / "config.json").read_text())
    return hash_json(
        {
            "config": {k: v for k, v in config.items() if k not in CONFIG_BOOKKEEPING},
            "weights": hash_files(folder, (p.name for p in folder.glob("*.safetensors"))),
            "tokenizer": hash_files(folder, TOKENIZER_FILES),
        }
    )


def fingerprint_gguf(sha256: str) -> str:
    """Fingerprint of a GGUF file from its sha256: the file holds weights, config and tokenizer."""
    return hash_json({"gguf": sha256})


def fingerprint_adapted(base: str, adapter: str, *, merged: bool) -> str:
    """Fingerprint of base plus adapter. Merging rounds bf16 weights, so merged and not are two models."""
    return hash_json({"base": base, "adapter": adapter, "merged": merged})


def fingerprint_switched(content: str, state: list[Any]) -> str:
    """Fingerprint of tensors with adapters at work in them; without any, that of the tensors."""
    return hash_json({"content": content, "adapters": state}) if state else content


def fingerprint_module(module: "torch.nn.Module") -> str:
    """Fingerprint of a model in memory: name, type, shape and bytes of every tensor, and its config."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    config = getattr(module, "config", None)
    known = config.to_dict() if config is not None else {}
    return hash_json(
        {
            "module": digest.hexdigest(),
            "config": {k: str(v) for k, v in known.items() if k not in CONFIG_BOOKKEEPING},
        }
    )
