"""`extract`: rows of text in, an activation store out.

This file only puts the parts in order: tokenise, select, find the key, return the store if it exists,
otherwise check the model on a few rows, compute shard by shard, and close the store.
"""

import logging
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from activations.anatomy import examine
from activations.compute import BatchReader, Job, compute_shard, hf_reader
from activations.key import ExtractionSpec, explain, hash_arrays, hash_rows
from activations.models import LoadedModel
from activations.sites import resolve_layers, resolve_sites
from activations.store import SCHEMA, ActivationStore, StoreCorruptError, read_manifest
from activations.tokens import encode_rows, resolve_selection
from activations.writer import StoreWriter, check_space, shard_rows

log = logging.getLogger(__name__)

TOKEN_BUDGET = {"cpu": 2048, "cuda": 16384}  # padded tokens per batch when the caller names none
BACKENDS = ("hf", "transformer_lens")
ENGINES = ("local", "ray")


def extract(
    model: LoadedModel,
    rows: Iterable[Any],
    sites: str | Sequence[str] = "resid_post",
    layers: str | int | Sequence[int] = "all",
    tokens: Any = "response_mean",
    store: str | Path | None = None,
    backend: str = "hf",
    token_budget: int | None = None,
    share_prefixes: bool | str = "auto",
    engine: str = "local",
    progress: bool = True,
    *,
    store_dtype: str | None = None,
    strict: bool = False,
) -> ActivationStore:
    """Cache what `model` computes on `rows`, or return the cache if it exists.

    Args:
        model: from `load_model`. Its weights are read only if something has to be computed.
        rows: transcripts, dicts or a `datasets.Dataset` with `id`, `prompt` (text, or a list of chat
            messages) and `response`.
        sites: one or several of `embed`, `resid_pre`, `resid_mid`, `resid_post`, `attn_out`, `mlp_out`.
        layers: `"all"`, a number, or several; negative numbers count from the end.
        tokens: `"prompt_last"`, `"response_last"`, `"response_mean"`, `"response_max"`, `"response_all"`, a
            `TokenSelection`, or a function from `EncodedRow` to positions (averaged).
        store: folder under which the result is kept by its key; None keeps it in memory.
        backend: `"hf"` (fast) or `"transformer_lens"` (reference; any hook name as a site).
        token_budget: padded tokens per batch; halved by itself when memory runs out.
        share_prefixes: compute a prefix that several rows share once; `"auto"` does so where it saves at
            least a tenth of the tokens and this model passes the invariance check.
        engine: `"local"`, or `"ray"` for many machines.
        progress: show a progress bar.
        store_dtype: `"float32"`, `"bfloat16"` or `"float16"`; None stores each value exactly (float32 for
            averages, else the computation's own type).
        strict: make the batch plan part of the key, for bit-for-bit repetition.

    Returns:
        An `ActivationStore`, rows in the order given.

    Raises:
        RowError: a row is missing a field, repeated, too long, or keeps no token.
        SiteError: a site or layer the model does not have.
        ParityError: the model fails the integrity gate.
        StoreWriteError: the folder cannot be written.

    >>> from activations.testing import tiny_model
    >>> rows = [{"id": "a", "prompt": "Who?", "response": " Me."}]
    >>> rows += [{"id": "b", "prompt": [{"role": "user", "content": "Why?"}], "response": "So."}]
    >>> acts = extract(tiny_model(), rows, layers=[0, 1], progress=False)
    >>> acts.array(1).shape, acts.tensor().shape, acts.row_ids
    ((2, 16), torch.Size([2, 2, 16]), ['a', 'b'])
    """
    if backend not in BACKENDS or engine not in ENGINES:
        raise ValueError(f"backend={backend!r}, engine={engine!r}: use one of {BACKENDS} and of {ENGINES}.")
    job = _plan(model, rows, sites, layers, tokens, token_budget, store_dtype)
    if store is not None and (found := _find(Path(store), job.spec)):
        return found
    started = time.perf_counter()
    reader = hf_reader(model, job)
    head = _manifest_head(model, job)
    with _Progress(job, enabled=progress) as bar:
        if store is None:
            shards = [compute_shard(job, reader, plan, bar.advance) for plan in _shards(job)]
            acts = ActivationStore.in_memory({**head, "shards": []}, shards)
        else:
            acts = _write(Path(store), job, reader, head, bar)
    _log_speed(job, time.perf_counter() - started)
    return acts


def _plan(
    model: LoadedModel,
    rows: Iterable[Any],
    sites: Any,
    layers: Any,
    tokens: Any,
    token_budget: int | None,
    store_dtype: str | None,
) -> Job:
    """Tokenise, select, and describe the extraction; the weights are not needed."""
    anatomy = examine(model)
    names, numbers = resolve_sites(sites), resolve_layers(layers, anatomy.n_layers)
    anatomy.check_sites(names, numbers)
    selection = resolve_selection(tokens)
    encoded = encode_rows(rows, model.tokenizer, max_len=anatomy.max_len)
    selected = selection.select(encoded)
    exact = "float32" if selection.pool == "mean" else model.dtype
    spec = ExtractionSpec(
        model=model.fingerprint,
        dtype=model.dtype,
        quantisation=model.base.quantisation,
        attention=anatomy.attention,
        backend="hf",
        padding=anatomy.padding,
        share_prefixes=False,
        sites=names,
        layers=numbers,
        pool=selection.pool,
        store_dtype=store_dtype or exact,
        rows=hash_rows(encoded),
        tokens=hash_arrays([row.ids for row in encoded]),
        selected=hash_arrays(selected),
    )
    return Job(
        rows=encoded,
        selected=selected,
        spec=spec,
        pool=selection.pool,
        ragged=selection.ragged,
        d_model=anatomy.d_model,
        token_budget=token_budget or TOKEN_BUDGET.get(model.device.split(":")[0], 2048),
    )


def _find(root: Path, spec: ExtractionSpec) -> ActivationStore | None:
    """The finished store of this key, if there is one."""
    folder = root / spec.key
    if (folder / "manifest.json").is_file():
        log.info("Found %s: nothing to compute.", folder)
        return ActivationStore.open(folder)
    for other in sorted(root.glob("*/manifest.json"))[:50]:
        try:
            known = read_manifest(other.parent)["spec"]
        except StoreCorruptError:
            continue
        if known["rows"] == spec.rows and known["model"] == spec.model:
            log.info("%s is not this one: %s", other.parent.name, explain(known, asdict(spec)))
    return None


def _shards(job: Job) -> list[list[int]]:
    order = range(len(job.rows))
    return shard_rows(order, [job.bytes_of(row) for row in order])


def _write(
    root: Path, job: Job, reader: BatchReader, head: dict[str, Any], bar: "_Progress"
) -> ActivationStore:
    writer = StoreWriter(root, job.spec.key, _shards(job))
    check_space(root, sum(job.bytes_of(row) for plan in writer.plan for row in plan))
    try:
        for shard in writer.claims():
            writer.write(shard, compute_shard(job, reader, writer.plan[shard], bar.advance))
    except BaseException:
        done = sum(writer.done(i) for i in range(len(writer.plan)))
        log.warning(
            "Stopped with %d of %d shards in %s: run again to go on.", done, len(writer.plan), writer.part
        )
        raise
    return ActivationStore.open(writer.finish(head))


def _manifest_head(model: LoadedModel, job: Job) -> dict[str, Any]:
    """Everything in the manifest but the shard list; the same for every run on one machine."""
    return {
        "schema": SCHEMA,
        "key": job.spec.key,
        "spec": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(job.spec).items()},
        "ragged": job.ragged,
        "d_model": job.d_model,
        "rows": {
            "ids": [row.id for row in job.rows],
            "groups": [row.group for row in job.rows],
            "tokens": [len(row) for row in job.rows],
            "prompt_tokens": [row.prompt_len for row in job.rows],
        },
        "model": {"ref": model.ref, "adapter": str(model.adapter.path) if model.adapter else None},
        "environment": _environment(model),
    }


def _environment(model: LoadedModel) -> dict[str, Any]:
    from importlib.metadata import version

    import torch

    return {
        "device": model.device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "peft", "safetensors")},
    }


def _log_speed(job: Job, seconds: float) -> None:
    usage = job.usage
    if usage.real:
        log.info(
            "%d tokens in %.1f s (%.0f per second); %.3f computed per real token.",
            usage.real,
            seconds,
            usage.real / seconds,
            usage.computed / usage.real,
        )


class _Progress:
    """A progress bar over tokens, or nothing."""

    def __init__(self, job: Job, *, enabled: bool) -> None:
        self.job, self.enabled, self.bar = job, enabled, None

    def __enter__(self) -> "_Progress":
        if self.enabled:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")
            self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self.bar.start()
            total = sum(len(row) for row in self.job.rows)
            self.task = self.bar.add_task(f"Reading activations of {len(self.job.rows)} rows", total=total)
        return self

    def advance(self, tokens: int) -> None:
        """Count tokens as done."""
        if self.bar is not None:
            self.bar.advance(self.task, tokens)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
