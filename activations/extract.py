"""`extract`: rows of text in, an activation store out.

This file only puts the parts in order: tokenise, select, find the key, return the store if it exists,
otherwise check the model on a few rows, compute shard by shard, and close the store.
"""

import logging
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from activations.capture import Reader
from activations.compute import BatchReader, compute_shard
from activations.integrity import (
    Gate,
    ParityReport,
    foreign_hooks,
    neighbour_tolerance,
    refuse_train_mode,
    sample_rows,
)
from activations.job import ExtractionJob, plan_job
from activations.key import ExtractionSpec, explain
from activations.models import LoadedModel
from activations.progress import Progress, TokenProgress
from activations.remembered import recall, remember
from activations.sites import find_points, find_trunk
from activations.store import MANIFEST, SCHEMA, ActivationStore, StoreCorruptError, read_manifest
from activations.tokens import check_texts
from activations.writer import StoreWriter, check_folder, check_space

logger = logging.getLogger(__name__)

BACKENDS = ("hf", "transformer_lens")
ENGINES = ("local", "ray")


def extract(
    model: LoadedModel,
    rows: Iterable[Any],
    sites: str | Sequence[str] = "resid_post",
    layers: Any = "all",
    tokens: Any = "response_mean",
    store: str | Path | None = None,
    backend: str = "hf",
    token_budget: int | None = None,
    share_prefixes: bool | str = "auto",
    engine: str = "local",
    progress: Progress = True,
    *,
    store_dtype: str | None = None,
    strict: bool = False,
) -> ActivationStore:
    """Cache what `model` computes on `rows`, or return the cache if it exists.

    Args:
        model: from `load_model`. Its weights are read only if something has to be computed.
        rows: transcripts, dicts or a `datasets.Dataset` with `id`, `prompt` (text, or a list of chat
            messages) and `response`; with `tokens="last"` a statement without a response is a row, too.
        sites: one or several of `embed`, `resid_pre`, `resid_mid`, `resid_post`, `attn_out`, `mlp_out`.
        layers: `"all"`, a number, or several (a list, an array); negative numbers count from the end.
        tokens: `"last"` (of the whole row), `"prompt_last"`, `"response_last"`, `"response_mean"`,
            `"response_max"`, `"response_all"`, a `TokenSelection`, or a function from `EncodedRow` to
            positions (averaged).
        store: folder under which the result is kept by its key; None keeps it in memory.
        backend: `"hf"` (fast) or `"transformer_lens"` (reference; any hook name as a site).
        token_budget: padded tokens per batch; halved by itself when memory runs out.
        share_prefixes: compute a prefix that several rows share once; `"auto"` does so where it saves at
            least a tenth of the time and this model passes the invariance check.
        engine: `"local"`, or `"ray"` for many machines.
        progress: show a progress bar; a function is told the share of tokens that is done instead.
        store_dtype: `"float32"`, `"bfloat16"` or `"float16"`; None stores each value exactly (float32 for
            averages, else the computation's own type).
        strict: make the batch plan part of the key, for bit-for-bit repetition.

    Returns:
        An `ActivationStore`, rows in the order given.

    Raises:
        RowError: a row is missing a field, repeated, too long, keeps no token, or its tokens do not decode
            to its text.
        SiteError: a site or layer the model does not have.
        ParityError: the model fails the integrity gate, is in train mode, or a row depends on its neighbours.
        ValueError: an unknown option, or a model with somebody's hooks and a `store`.
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
    if engine == "ray" and store is None:
        raise ValueError("engine='ray' writes to a folder all machines see: pass store=FOLDER.")
    if engine == "ray" and backend != "hf":
        raise ValueError("engine='ray' needs backend='hf': use engine='local' for TransformerLens.")
    job = plan_job(
        model,
        rows,
        sites=sites,
        layers=layers,
        tokens=tokens,
        backend=backend,
        token_budget=token_budget,
        share_prefixes=share_prefixes,
        store_dtype=store_dtype,
        strict=strict,
    )
    root = None if store is None else Path(store).expanduser().absolute()  # the caller may change folders
    if root is not None and model.loaded and (hooks := foreign_hooks(model.base.module)):
        raise ValueError(
            f"The model carries hooks of its own ({', '.join(hooks[:3])}). What they compute cannot be "
            "named in a store's key: remove them, or keep the result in memory with store=None."
        )
    if root is not None and (found := find_store(root, job.spec)):
        return found
    started = time.perf_counter()
    check_texts(job.rows, model.tokenizer)
    if root is not None:
        check_folder(root)
    job, reader, report = prepare_reader(model, job, insist=share_prefixes is True)
    if root is not None and (found := find_store(root, job.spec)):  # sharing may just have been ruled out
        return found
    head = manifest_head(model, job, report)
    with TokenProgress(job, show=progress) as bar:
        if root is None:
            shards = [compute_shard(job, reader, plan, bar.advance) for plan in job.shards()]
            acts = ActivationStore.in_memory({**head, "shards": []}, shards)
        elif engine == "ray":
            from activations.ray_engine import compute_with_ray

            writer = StoreWriter(root, job.spec.key, job.shards())
            compute_with_ray(model, job, writer, bar.advance)
            acts = ActivationStore.open(writer.finish(head))
        else:
            acts = _write(root, job, reader, head, bar)
    _log_speed(job, time.perf_counter() - started)
    return acts


def find_store(root: Path, spec: ExtractionSpec) -> ActivationStore | None:
    """The finished store of this key under `root`, if there is one; logs why near ones do not fit."""
    folder = root / spec.key
    if (folder / MANIFEST).is_file():
        logger.info("Found %s: nothing to compute.", folder)
        return ActivationStore.open(folder)
    if logger.isEnabledFor(logging.INFO):
        for other in sorted(root.glob(f"*/{MANIFEST}"))[:50]:
            try:
                known = read_manifest(other.parent)["spec"]
            except StoreCorruptError:
                continue
            if known["rows"] == spec.rows and known["model"] == spec.model:
                logger.info("%s does not fit: %s", other.parent.name, explain(known, asdict(spec)))
    return None


def prepare_reader(
    model: LoadedModel, job: ExtractionJob, *, insist: bool
) -> tuple[ExtractionJob, BatchReader, ParityReport]:
    """Load the model, put it through the integrity gate, and return a reader for it.

    Prefix sharing that fails its check is switched off, unless `insist`: then it raises.
    """
    sample = sample_rows(job.rows, job.long_from)
    if job.spec.backend != "hf":
        from activations.transformer_lens import prepare_lens

        return prepare_lens(model, job, sample)
    refuse_train_mode(model.model)
    gate = Gate(model, job.spec.sites, job.spec.layers, masked=job.spec.padding.startswith("right, mask"))
    report = recall(model, "gate", job.spec)
    if report is None:
        report = gate.check(sample)
        report.raise_if_failed()
        remember(model, "gate", job.spec, report)
    job = replace(job, tolerance=neighbour_tolerance(model, report, job.store_dtype))
    if job.shares_prefixes:
        sharing = recall(model, "sharing", job.spec)
        if sharing is None:
            sharing = gate.check_sharing(sample)
            remember(model, "sharing", job.spec, sharing)
        if insist:
            sharing.raise_if_failed()
        if sharing.failed:
            logger.warning("Prefix sharing is off, this model fails its check: %s", sharing.failed[0])
            job = job.sharing(False)
        else:
            report = report.with_checks(sharing.checks)
    return job, make_reader(model, job), report


def make_reader(model: LoadedModel, job: ExtractionJob) -> Reader:
    """The default backend: hooks on the transformers model."""
    trunk = find_trunk(model.model)
    return Reader(
        trunk,
        find_points(trunk, job.spec.sites, job.spec.layers),
        pool=job.pool,
        store_dtype=job.store_dtype,
        masked=job.spec.padding.startswith("right, mask"),
    )


def _write(
    root: Path, job: ExtractionJob, reader: BatchReader, head: dict[str, Any], bar: TokenProgress
) -> ActivationStore:
    """Compute what no other process has computed, and close the store."""
    writer = StoreWriter(root, job.spec.key, job.shards())
    missing = [i for i in range(len(writer.plan)) if not writer.done(i)]
    check_space(root, sum(job.bytes_of(row) for i in missing for row in writer.plan[i]))
    bar.skip(
        sum(len(job.rows[row]) for i, plan in enumerate(writer.plan) if i not in missing for row in plan)
    )
    try:
        for shard in writer.claims():
            writer.write(shard, compute_shard(job, reader, writer.plan[shard], bar.advance))
    except BaseException:
        done = sum(writer.done(i) for i in range(len(writer.plan)))
        logger.warning(
            "Stopped with %d of %d shards kept in %s: run again to go on.",
            done,
            len(writer.plan),
            writer.part,
        )
        raise
    return ActivationStore.open(writer.finish(head))


def manifest_head(model: LoadedModel, job: ExtractionJob, report: ParityReport) -> dict[str, Any]:
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
        "tokens_saved": job.saved_tokens(),
        "model": {"ref": model.ref, "adapter": str(model.adapter.path) if model.adapter else None},
        "integrity": report.as_json(),
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


def _log_speed(job: ExtractionJob, seconds: float) -> None:
    usage = job.usage
    if usage.real:
        logger.info(
            "%d tokens in %.1f s (%.0f per second); %.3f computed per real token.",
            usage.real,
            seconds,
            usage.real / seconds,
            usage.computed / usage.real,
        )
