"""Activations of the generating pass: what the model computed while it wrote, not when it reads again.

`Capture` listens while `organisms.answer` samples. The prompt goes through the model once, left-padded; then
each token that was written goes through alone, on cached keys and values. What the hooks see there becomes a
store of the format of `extract`: same layers and sites, same selections, token ids and positions. Two things
set it apart from reading the text again: rounding (other matrix shapes), and tokens (a tokenizer may cut the
finished text otherwise than the model wrote it). `study.passes` measures both.

Kept in memory until the batch is done: [site and layer, row, token written, d_model] in the model's number
type.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activations.anatomy import examine
from activations.capture import hooked
from activations.compute import as_shard
from activations.extract import manifest_head
from activations.integrity import ParityReport
from activations.job import ExtractionJob
from activations.key import ExtractionSpec, hash_arrays, hash_rows
from activations.models import LoadedModel
from activations.selection import resolve_selection
from activations.sites import find_points, find_trunk, resolve_layers, resolve_sites
from activations.store import ActivationStore
from activations.tokens import EncodedRow, RowError
from activations.writer import StoreWriter, check_folder

BACKEND = "hf, generating pass"
"""What a manifest names as the way its values were computed."""


class Capture:
    """Keeps the activations of the tokens that a model writes; hand it to `organisms.answer(..., capture=)`.

    Args:
        model: the model that answers; `answer` must be given its `.model`.
        sites, layers, tokens: as for `extract`; of the prompt only the last token can be kept.
        ids: one row id per prompt; None numbers them.
        groups: one group per prompt; None: each row is its own.
        store: folder under which the store is written; None keeps it in memory.

    >>> from activations.testing import tiny_model
    >>> Capture(tiny_model(), layers=[0, 2]).layers
    (0, 2)
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        sites: str | Sequence[str] = "resid_post",
        layers: Any = "all",
        tokens: Any = "response_mean",
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        store: str | Path | None = None,
    ) -> None:
        anatomy = examine(model)
        self.model = model
        self.sites = resolve_sites(sites)
        self.layers = resolve_layers(layers, anatomy.n_layers)
        anatomy.check_sites(self.sites, self.layers)
        self.selection = resolve_selection(tokens)
        self.ids, self.groups, self.root = ids, groups, store
        self.empty: list[str] = []
        """Rows that are in no store because the model wrote nothing that could be kept."""
        self._written: dict[int, tuple[EncodedRow, Any, Tensor]] = {}
        self._steps: list[list[Tensor]] = []
        self._anatomy = anatomy

    def begin(self, prompts: int, module: Any) -> None:
        """Forget what was kept before, and check that the model about to write is the one listened to.

        Raises:
            ValueError: another model, or not one id (and group) per prompt.
        """
        if module is not self.model.model:
            raise ValueError(
                "capture listens to another model: give answer() the .model of the one it was made with."
            )
        for name, values in (("ids", self.ids), ("groups", self.groups)):
            if values is not None and len(values) != prompts:
                raise ValueError(f"capture has {len(values)} {name} for {prompts} prompts.")
        self._written, self.empty = {}, []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the last position of every forward pass while the context is open: one batch."""
        points = find_points(find_trunk(self.model.model), self.sites, self.layers)
        steps: list[list[Tensor]] = [[] for _ in points]
        self._steps = steps

        def receive(index: int, hidden: Tensor) -> None:
            steps[index].append(hidden[:, -1].detach().to("cpu", copy=True))

        with hooked(points, receive, stop=False):
            yield

    def keep(self, places: Sequence[int], prompts: Sequence[list[int]], written: Sequence[list[int]]) -> None:
        """Select and pool what a batch wrote.

        Args:
            places: number of each row among all prompts.
            prompts: token ids of each prompt.
            written: token ids of each response, up to its end token.

        Raises:
            RowError: the selection asks for tokens of the prompt before its last one.
        """
        # [point, row, 1 + written, d]
        hidden = torch.stack([torch.stack(step, dim=1) for step in self._steps])
        self._steps = []
        for index, (place, prompt, response) in enumerate(zip(places, prompts, written, strict=True)):
            row = self._row(place, prompt, response)
            if self.selection.needs_response and not response:
                self.empty.append(row.id)
                continue
            (positions,) = self.selection.select([row])
            first = len(prompt) - 1
            if len(positions) and positions.min() < first:
                raise RowError(
                    f"Row {row.id!r}: the generating pass keeps the last token of the prompt and the "
                    f"response; tokens={self.selection.name!r} asks for more. Use extract for those."
                )
            kept = hidden[:, index, torch.from_numpy(positions - first)]
            self._written[place] = row, positions, self._pooled(kept)

    def _row(self, place: int, prompt: list[int], response: list[int]) -> EncodedRow:
        name = str(place) if self.ids is None else str(self.ids[place])
        return EncodedRow(
            id=name,
            group=name if self.groups is None else str(self.groups[place]),
            ids=np.asarray([*prompt, *response], dtype=np.int32),
            prompt_len=len(prompt),
            response="",
            offsets=None,
        )

    def _pooled(self, kept: Tensor) -> Tensor:
        """Values [point, vector, d] as they are stored."""
        if self.selection.pool == "mean":
            return kept.float().mean(1, keepdim=True)
        return kept.amax(1, keepdim=True) if self.selection.pool == "max" else kept

    @property
    def store(self) -> ActivationStore:
        """What was kept since the last call of `answer`, rows in the order of its prompts.

        Raises:
            RowError: nothing was kept.
        """
        if not self._written:
            raise RowError(
                "The generating pass kept nothing: answer() was not called, or every response is empty."
            )
        places = sorted(self._written)
        rows = [self._written[place][0] for place in places]
        selected = [self._written[place][1] for place in places]
        values = torch.cat([self._written[place][2] for place in places], dim=1)
        job = self._job(rows, selected)
        head = manifest_head(self.model, job, ParityReport(checks=(), floor=None))
        shard = as_shard(job, range(len(rows)), values.to(job.store_dtype))
        if self.root is None:
            return ActivationStore.in_memory({**head, "shards": []}, [shard])
        root = Path(self.root).expanduser().absolute()
        check_folder(root)
        writer = StoreWriter(root, job.spec.key, [list(range(len(rows)))])
        if not writer.done(0):
            writer.write(0, shard)
        return ActivationStore.open(writer.finish(head))

    def _job(self, rows: list[EncodedRow], selected: list[Any]) -> ExtractionJob:
        model, selection = self.model, self.selection
        spec = ExtractionSpec(
            model=model.fingerprint,
            dtype=model.dtype,
            quantisation=model.base.quantisation,
            attention=self._anatomy.attention,
            backend=BACKEND,
            padding="left, mask",
            share_prefixes=False,
            sites=self.sites,
            layers=self.layers,
            pool=selection.pool,
            store_dtype="float32" if selection.pool == "mean" else model.dtype,
            rows=hash_rows(rows),
            tokens=hash_arrays([row.ids for row in rows]),
            selected=hash_arrays(selected),
        )
        return ExtractionJob(
            rows=rows,
            selected=selected,
            spec=spec,
            pool=selection.pool,
            ragged=selection.ragged,
            d_model=self._anatomy.d_model,
            token_budget=0,
        )
