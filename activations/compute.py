"""Computing one shard: batches in, one tensor per site out, in the shard's own row order."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from activations.batching import Batch, collate, plan_batches
from activations.capture import Reader
from activations.key import ExtractionSpec
from activations.models import LoadedModel
from activations.sites import find_points, find_trunk, site_layers
from activations.store import Shard
from activations.tokens import EncodedRow, Pool

log = logging.getLogger(__name__)


class NonFiniteError(ValueError):
    """An activation is infinite or not a number."""


@runtime_checkable
class BatchReader(Protocol):
    """What a backend has to offer."""

    def read(self, batch: Batch) -> Float[Tensor, "point kept d_model"]:
        """Run one batch and return what every point kept of it, on the CPU."""
        ...


@dataclass(kw_only=True)
class Usage:
    """Tokens counted while computing: what the rows hold, and what the model was given."""

    real: int = 0
    computed: int = 0
    budget: int | None = None
    """Token budget after halvings; None before the first batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """Everything that is needed to compute any shard of one extraction."""

    rows: Sequence[EncodedRow]
    selected: Sequence[Int[np.ndarray, "_"]]
    spec: ExtractionSpec
    pool: Pool
    ragged: bool
    d_model: int
    token_budget: int
    usage: Usage = field(default_factory=Usage)

    @property
    def points(self) -> list[tuple[str, int]]:
        """(site, layer) in the order in which readers return them."""
        return [(site, layer) for site in self.spec.sites for layer in site_layers(site, self.spec.layers)]

    @property
    def store_dtype(self) -> torch.dtype:
        """Number type of the stored values."""
        return getattr(torch, self.spec.store_dtype)

    def kept(self, row: int) -> int:
        """Vectors stored for this row at every point."""
        return len(self.selected[row]) if self.ragged else 1

    def bytes_of(self, row: int) -> int:
        """Bytes this row takes in the store."""
        vectors = self.kept(row) * len(self.points) * self.d_model * self.store_dtype.itemsize
        return vectors + 8 * len(self.selected[row])


def hf_reader(model: LoadedModel, job: Job) -> Reader:
    """The default backend: hooks on the transformers model."""
    trunk = find_trunk(model.model)
    return Reader(
        trunk,
        find_points(trunk, job.spec.sites, job.spec.layers),
        pool=job.pool,
        store_dtype=job.store_dtype,
        masked=job.spec.padding == "right, mask",
    )


def compute_shard(
    job: Job, reader: BatchReader, rows: Sequence[int], advance: Callable[[int], Any] = lambda tokens: None
) -> Shard:
    """Activations of the given rows as the tensors of one shard.

    Raises:
        NonFiniteError: an activation overflowed; names row, site and layer.
    """
    starts = np.concatenate([[0], np.cumsum([job.kept(row) for row in rows])])
    values = torch.empty((len(job.points), int(starts[-1]), job.d_model), dtype=job.store_dtype)
    lengths = [len(job.rows[row]) for row in rows]
    pending = plan_batches(lengths, job.usage.budget or job.token_budget)[::-1]
    while pending:
        places = pending.pop()
        read = _read_or_halve(job, reader, [rows[i] for i in places])
        if read is None:
            half = len(places) // 2
            pending += [places[half:], places[:half]]
            continue
        _check_finite(job, read, [rows[i] for i in places])
        bounds = np.cumsum([0, *(job.kept(rows[i]) for i in places)])
        for place, start, stop in zip(places, bounds, bounds[1:], strict=False):
            values[:, starts[place] : starts[place + 1]] = read[:, start:stop]
        job.usage.real += sum(lengths[i] for i in places)
        job.usage.computed += max(lengths[i] for i in places) * len(places)
        advance(sum(lengths[i] for i in places))
    return _as_shard(job, rows, values)


def _read_or_halve(job: Job, reader: BatchReader, rows: Sequence[int]) -> Tensor | None:
    """Read one batch; None when memory ran out and the batch can be halved."""
    batch = collate([job.rows[i].ids for i in rows], [job.selected[i] for i in rows])
    try:
        return reader.read(batch)
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(rows) == 1:
            raise MemoryError(
                f"Row {job.rows[rows[0]].id!r} with {len(job.rows[rows[0]])} tokens does not fit in memory "
                "even alone. Use a smaller dtype or fewer sites, or drop the row."
            ) from error
        job.usage.budget = max(1, batch.ids.numel() // 2)
        log.warning("Out of memory: token budget lowered to %d.", job.usage.budget)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _check_finite(job: Job, values: Float[Tensor, "point kept d_model"], rows: Sequence[int]) -> None:
    finite = torch.isfinite(values).all(-1)
    if finite.all():
        return
    point, kept = finite.logical_not().nonzero()[0].tolist()
    owner = job.rows[int(np.repeat(rows, [job.kept(row) for row in rows])[kept])]
    site, layer = job.points[point]
    advice = "Use dtype='bfloat16'." if job.spec.dtype == "float16" else "Check the model's weights."
    raise NonFiniteError(
        f"{site} of layer {layer} is not finite in row {owner.id!r} ({job.spec.dtype}). {advice}"
    )


def _as_shard(job: Job, rows: Sequence[int], values: Float[Tensor, "point kept d_model"]) -> Shard:
    """Split by site and add what makes the shard readable alone: rows, token ids, positions, offsets."""
    selected = [job.selected[row] for row in rows]
    nothing = np.zeros(0, dtype=np.int64)
    shard = {
        "row_index": torch.tensor(list(rows), dtype=torch.int64),
        "offsets": torch.from_numpy(np.cumsum([0, *map(len, selected)], dtype=np.int64)),
        "positions": torch.from_numpy(np.concatenate([*selected, nothing]).astype(np.int32)),
        "token_ids": torch.from_numpy(
            np.concatenate([*(job.rows[i].ids[job.selected[i]] for i in rows), nothing]).astype(np.int32)
        ),
    }
    start = 0
    for site in job.spec.sites:
        stop = start + len(site_layers(site, job.spec.layers))
        shard[site] = values[start:stop].contiguous()
        start = stop
    return shard
