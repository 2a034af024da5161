"""The key of an extraction: a hash of everything that changes its numbers, and of nothing else.

Batch sizes, devices, threads, paths and library versions are recorded beside the data but not keyed: they
move values within the numeric floor only. `explain` says why two extractions have different keys.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from activations.fingerprint import hash_json
from activations.tokens import EncodedRow

SCHEMA = 1  # of manifest and shards; raise when their meaning changes


@dataclass(frozen=True, kw_only=True)
class ExtractionSpec:
    """What is extracted from which model, in canonical form."""

    model: str
    """Fingerprint of weights and adapter."""
    dtype: str
    """Number type of the computation."""
    quantisation: str | None
    attention: str
    """Attention kernel as transformers names it (`sdpa`, `eager`, ...)."""
    backend: str
    """`hf`, or `transformer_lens/MAJOR`."""
    padding: str
    """`right, no mask` or `right, mask`."""
    share_prefixes: bool
    """Whether rows with a common prefix computed it once."""
    sites: tuple[str, ...]
    layers: tuple[int, ...]
    pool: str
    store_dtype: str
    rows: str
    """Hash of row and group ids."""
    tokens: str
    """Hash of every row's token ids."""
    selected: str
    """Hash of every row's kept positions; the name of the selection does not matter."""
    plan: str | None = None
    """Hash of the batch plan, only under `strict`."""
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """Content address: 32 hexadecimal digits of sha256."""
        return hash_json(asdict(self))[:32]


def explain(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Why two extraction specs have different keys, one line per difference.

    >>> explain({"dtype": "float32", "pool": "mean"}, {"dtype": "bfloat16", "pool": "mean"})
    "dtype: 'float32' -> 'bfloat16'"
    """
    old, new = (json.loads(json.dumps(spec)) for spec in (old, new))  # tuples and lists are the same here
    names = sorted(old.keys() | new.keys())
    return "\n".join(f"{n}: {old.get(n)!r} -> {new.get(n)!r}" for n in names if old.get(n) != new.get(n))


def hash_arrays(arrays: Sequence[Int[np.ndarray, "_"]]) -> str:
    """sha256 of integer arrays with their lengths, independent of platform and integer width."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def hash_rows(rows: Sequence[EncodedRow]) -> str:
    """Hash of the rows' identities."""
    return hash_json([[row.id, row.group] for row in rows])
