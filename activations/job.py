"""One extraction, fully planned and not yet computed: tokenised rows, kept positions, spec, budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from activations.anatomy import Anatomy, examine
from activations.key import ExtractionSpec, hash_arrays, hash_rows
from activations.models import LoadedModel
from activations.prefixes import PrefixGroup, plan_prefixes, profitable, worthwhile
from activations.remembered import recall
from activations.selection import Pool, resolve_selection
from activations.sites import SITES, resolve_layers, resolve_sites, site_layers
from activations.tokens import EncodedRow, encode_rows
from activations.writer import shard_rows

TOKEN_BUDGET = {"cpu": 2048, "cuda": 16384}  # padded tokens per batch when the caller names none
STORE_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(kw_only=True)
class Usage:
    """Tokens counted while computing: what the rows hold, and what the model was given."""

    real: int = 0
    computed: int = 0
    budget: int | None = None
    """Token budget after halvings; None before the first batch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractionJob:
    """Everything that is needed to compute any shard of one extraction."""

    rows: Sequence[EncodedRow]
    selected: Sequence[Int[np.ndarray, "_"]]
    spec: ExtractionSpec
    pool: Pool
    ragged: bool
    d_model: int
    token_budget: int
    long_from: int | None = None
    """See `Anatomy.long_from`."""
    tolerance: float | None = None
    """Largest relative difference between a row in its batch and alone; None: not compared."""
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

    @property
    def shares_prefixes(self) -> bool:
        """Whether rows that begin alike compute their common tokens once."""
        return self.spec.share_prefixes

    def sharing(self, on: bool) -> "ExtractionJob":
        """The same job with prefix sharing on or off."""
        return replace(self, spec=replace(self.spec, share_prefixes=on))

    def groups(self, rows: Sequence[int]) -> list[PrefixGroup]:
        """Prefix groups among these rows, where that pays; no kept position lies in a shared prefix."""
        limits = [int(self.selected[row].min(initial=len(self.rows[row]))) for row in rows]
        groups = plan_prefixes([self.rows[row].ids for row in rows], limits)
        groups = profitable(groups, [len(self.rows[row]) for row in rows], self.d_model)
        return [PrefixGroup(length=g.length, rows=tuple(rows[i] for i in g.rows)) for g in groups]

    def saved_tokens(self) -> int:
        """Tokens that sharing prefixes spares the model, padding aside."""
        if not self.shares_prefixes:
            return 0
        return sum(group.saved for shard in self.shards() for group in self.groups(shard))

    def shards(self) -> list[list[int]]:
        """Rows of every shard: the caller's order, or (when sharing) rows that begin alike together."""
        order = list(range(len(self.rows)))
        if self.shares_prefixes:
            order.sort(key=lambda row: (self.rows[row].ids.tolist(), row))
        return shard_rows(order, [self.bytes_of(row) for row in order])


def plan_job(
    model: LoadedModel,
    rows: Iterable[Any],
    *,
    sites: Any,
    layers: Any,
    tokens: Any,
    backend: str,
    token_budget: int | None,
    share_prefixes: bool | str,
    store_dtype: str | None,
    strict: bool,
) -> ExtractionJob:
    """Tokenise, select, and describe an extraction; the weights are not needed."""
    if store_dtype not in (None, *STORE_DTYPES):
        raise ValueError(f"store_dtype={store_dtype!r}: use None or one of {', '.join(STORE_DTYPES)}.")
    if token_budget is not None and token_budget < 1:
        raise ValueError(f"token_budget={token_budget}: give a positive number of tokens per batch.")
    anatomy, lens = examine(model), backend == "transformer_lens"
    numbers = resolve_layers(layers, anatomy.n_layers)
    names = resolve_sites(sites, any_hook=lens)
    anatomy.check_sites(tuple(name for name in names if name in SITES), numbers)
    selection = resolve_selection(tokens)
    encoded = encode_rows(
        rows,
        model.tokenizer,
        max_len=anatomy.max_len,
        vocabulary=anatomy.vocabulary,
        bare=not selection.needs_response,
    )
    selected = selection.select(encoded)
    exact = "float32" if selection.pool == "mean" else model.dtype
    budget = token_budget or TOKEN_BUDGET.get(model.device.split(":")[0], TOKEN_BUDGET["cpu"])
    spec = ExtractionSpec(
        model=model.fingerprint,
        dtype=model.dtype,
        quantisation=model.base.quantisation,
        attention="eager" if lens else anatomy.attention,
        backend=_backend_version() if lens else "hf",
        padding=_padding("right, mask" if lens else anatomy.padding, anatomy),
        share_prefixes=False,
        sites=names,
        layers=numbers,
        pool=selection.pool,
        store_dtype=store_dtype or exact,
        rows=hash_rows(encoded),
        tokens=hash_arrays([row.ids for row in encoded]),
        selected=hash_arrays(selected),
        plan=f"token budget {budget}" if strict else None,
    )
    job = ExtractionJob(
        rows=encoded,
        selected=selected,
        spec=spec,
        pool=selection.pool,
        ragged=selection.ragged,
        d_model=anatomy.d_model,
        token_budget=budget,
        long_from=anatomy.long_from,
    )
    sharing = _decide_sharing(share_prefixes, job, anatomy)
    if sharing and share_prefixes == "auto":  # unless it failed its check here before
        known = recall(model, "sharing", job.spec)
        sharing = known is None or not known.failed
    return job.sharing(sharing)


def _padding(policy: str, anatomy: Anatomy) -> str:
    return policy if anatomy.long_from is None else f"{policy}, long rows apart"


def _backend_version() -> str:
    from importlib.metadata import version

    return f"transformer_lens/{version('transformer-lens').split('.')[0]}"


def _decide_sharing(asked: bool | str, job: ExtractionJob, anatomy: Anatomy) -> bool:
    if asked not in (True, False, "auto"):
        raise ValueError(f"share_prefixes={asked!r}: use True, False or 'auto'.")
    longest = max(map(len, job.rows))
    possible = job.spec.backend == "hf" and anatomy.can_share_prefixes(longest)
    if asked is True and not possible:
        raise ValueError(
            f"share_prefixes=True: {anatomy.trunk.config.model_type} with backend {job.spec.backend!r} and "
            f"rows of {longest} tokens cannot share prefixes. Use 'auto' or False."
        )
    if asked == "auto" and possible:
        return worthwhile(job.groups(range(len(job.rows))), [len(row) for row in job.rows], job.d_model)
    return bool(asked) and possible
