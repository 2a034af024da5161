"""Computing one shard: batches in, one tensor per site out, in the shard's own row order."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from activations.batching import Batch, collate, plan_batches
from activations.capture import Reader
from activations.integrity import ParityError
from activations.job import ExtractionJob
from activations.prefixes import PrefixGroup, lay_out, plan_trees, read_tree
from activations.sites import site_layers
from activations.store import Shard

logger = logging.getLogger(__name__)

FEW_ROWS = 8  # a shard with fewer rows has one of them read again, else two


class NonFiniteError(ValueError):
    """An activation is infinite or not a number."""


@runtime_checkable
class BatchReader(Protocol):
    """What a backend has to offer."""

    def read(self, batch: Batch) -> Float[Tensor, "point kept d_model"]:
        """Run one batch and return what every point kept of it, on the CPU."""
        ...


def compute_shard(
    job: ExtractionJob,
    reader: BatchReader,
    rows: Sequence[int],
    advance: Callable[[int], Any] = lambda tokens: None,
) -> Shard:
    """Activations of the given rows as the tensors of one shard.

    Raises:
        NonFiniteError: an activation overflowed; names row, site and layer.
    """
    place = {row: (start, start + job.kept(row)) for row, start in zip(rows, _starts(job, rows), strict=True)}
    total = sum(job.kept(row) for row in rows)
    values = torch.empty((len(job.points), total, job.d_model), dtype=job.store_dtype)
    pending = _units(job, rows)[::-1]
    while pending:
        unit = pending.pop()
        try:
            read, computed = unit.read(job, reader)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            halves = unit.halve(job, error)
        else:
            _check_finite(job, read, unit.rows)
            for row, start in zip(unit.rows, _starts(job, unit.rows), strict=True):
                values[:, slice(*place[row])] = read[:, start : start + job.kept(row)]
            real = sum(len(job.rows[row]) for row in unit.rows)
            job.usage.real += real
            job.usage.computed += computed
            advance(real)
            continue
        if torch.cuda.is_available():  # outside `except`: the error's traceback keeps tensors alive
            torch.cuda.empty_cache()
        pending += halves[::-1]
    _check_neighbours(job, reader, rows, {row: values[:, slice(*place[row])] for row in rows})
    return as_shard(job, rows, values)


def _check_neighbours(
    job: ExtractionJob,
    reader: BatchReader,
    rows: Sequence[int],
    read: dict[int, Float[Tensor, "point _ d_model"]],
) -> None:
    """Read a row or two of the shard once more, alone: what was computed must not depend on the batch.

    The gate's sample is short; these are real rows in the batches that were really computed.
    """
    if job.tolerance is None or len(rows) < 2:
        return
    by_length = sorted(rows, key=lambda row: len(job.rows[row]))
    for row in {by_length[0], by_length[-1]} if len(rows) >= FEW_ROWS else {by_length[0]}:
        if not job.kept(row):
            continue
        alone, _ = _PlainUnit(rows=[row]).read(job, reader)
        size = alone.float().norm(dim=-1)
        scale = torch.maximum(size, 0.1 * size.median(dim=-1, keepdim=True).values).clamp_min(1e-12)
        worst = ((read[row].float() - alone.float()).norm(dim=-1) / scale).amax(dim=-1)
        point = int(worst.argmax())
        if not float(worst[point]) <= job.tolerance:
            site, layer = job.points[point]
            raise ParityError(
                f"Row {job.rows[row].id!r} ({len(job.rows[row])} tokens) depends on the rows beside it: in "
                f"its batch and alone, {site} of layer {layer} differs by {float(worst[point]):.2g} (limit "
                f"{job.tolerance:.2g}). Something in this model is computed once per batch: pass "
                "token_budget=1, so that every row is alone, and report the architecture."
            )


def _starts(job: ExtractionJob, rows: Sequence[int]) -> list[int]:
    """Where each row's vectors begin when rows follow one another."""
    return list(accumulate((job.kept(row) for row in rows[:-1]), initial=0)) if rows else []


@dataclass(frozen=True, kw_only=True)
class _PlainUnit:
    """A batch of rows that share nothing."""

    rows: list[int]

    def read(self, job: ExtractionJob, reader: BatchReader) -> tuple[Tensor, int]:
        batch = collate([job.rows[i].ids for i in self.rows], [job.selected[i] for i in self.rows])
        return reader.read(batch), batch.computed

    def halve(self, job: ExtractionJob, error: BaseException) -> "list[_PlainUnit]":
        if len(self.rows) == 1:
            raise _too_large(job, self.rows[0]) from error
        half = len(self.rows) // 2
        _lower_budget(job, half * max(len(job.rows[i]) for i in self.rows))
        return [_PlainUnit(rows=self.rows[:half]), _PlainUnit(rows=self.rows[half:])]


@dataclass(frozen=True, kw_only=True)
class _TreeUnit:
    """A batch of prefix groups."""

    groups: list[PrefixGroup]

    @property
    def rows(self) -> list[int]:
        return [row for group in self.groups for row in group.rows]

    def read(self, job: ExtractionJob, reader: BatchReader) -> tuple[Tensor, int]:
        assert isinstance(reader, Reader)  # other backends never share prefixes
        ids = [row.ids for row in job.rows]
        tree = lay_out(self.groups, ids, job.selected)
        return read_tree(reader, tree), tree.computed

    def halve(self, job: ExtractionJob, error: BaseException) -> "list[_TreeUnit] | list[_PlainUnit]":
        if len(self.groups) > 1:
            half = len(self.groups) // 2
            return [_TreeUnit(groups=self.groups[:half]), _TreeUnit(groups=self.groups[half:])]
        return [_PlainUnit(rows=[row]) for row in self.rows]  # no room for a cache: without it


def _units(job: ExtractionJob, rows: Sequence[int]) -> "list[_PlainUnit | _TreeUnit]":
    """The batches of one shard."""
    budget = job.usage.budget or job.token_budget
    alone, shared = list(rows), []
    if job.shares_prefixes:
        groups = job.groups(rows)
        shared = [group for group in groups if group.length]
        alone = [row for group in groups if not group.length for row in group.rows]
    lengths = [len(row) for row in job.rows]
    plain = plan_batches([lengths[row] for row in alone], budget, job.long_from)
    return [
        *(_TreeUnit(groups=batch) for batch in plan_trees(shared, lengths, budget)),
        *(_PlainUnit(rows=[alone[i] for i in batch]) for batch in plain),
    ]


def _lower_budget(job: ExtractionJob, budget: int) -> None:
    job.usage.budget = max(1, budget)
    logger.warning("Out of memory: token budget lowered to %d.", job.usage.budget)


def _too_large(job: ExtractionJob, row: int) -> MemoryError:
    return MemoryError(
        f"Row {job.rows[row].id!r} with {len(job.rows[row])} tokens does not fit in memory even alone. Use a "
        "smaller dtype or fewer sites, or drop the row."
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _check_finite(
    job: ExtractionJob, values: Float[Tensor, "point kept d_model"], rows: Sequence[int]
) -> None:
    finite = torch.isfinite(values).all(-1)
    if finite.all():
        return
    point, kept = finite.logical_not().nonzero()[0].tolist()
    owner = job.rows[int(np.repeat(rows, [job.kept(row) for row in rows])[kept])]
    site, layer = job.points[point]
    advice = f"Check the model's weights: {job.spec.dtype} does not overflow on sound ones."
    if job.spec.dtype == "float16":
        advice = "float16 ends at 65504, and this model goes beyond: use dtype='bfloat16' or 'float32'."
    elif job.spec.store_dtype == "float16" and not values[point, kept].isnan().any():
        advice = "The store's float16 ends at 65504: use store_dtype='bfloat16' or None."
    raise NonFiniteError(
        f"{site} of layer {layer} is not finite in row {owner.id!r} ({job.spec.dtype}). {advice}"
    )


def as_shard(job: ExtractionJob, rows: Sequence[int], values: Float[Tensor, "point kept d_model"]) -> Shard:
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
