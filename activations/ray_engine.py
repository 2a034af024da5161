"""Extraction on many machines with Ray Data: actors that each hold a model and write shards.

The unit of work is a shard of the store. Every actor loads the model once and writes its shards into the
`.part` folder that all machines see (a network file system), by temporary file and rename. Ray restarts the
tasks of a worker that dies; a shard that is already there is not computed again. The store is closed by the
driver, and is the one the local engine would have written.

Ray is an optional extra: `pip install -e '.[ray]'`.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from activations.job import ExtractionJob
from activations.models import LoadedModel, load_model
from activations.writer import StoreWriter

RETRIES = 3  # times a shard is given to another worker before the error is shown


class RayWorkerError(RuntimeError):
    """Workers failed and shards are missing; those written are kept."""


def compute_with_ray(
    model: LoadedModel,
    job: ExtractionJob,
    writer: StoreWriter,
    advance: Callable[[int], Any] = lambda tokens: None,
) -> None:
    """Compute all missing shards of `writer`'s store on the Ray cluster.

    One actor per GPU; without GPUs, one per `SOPHISTRY_RAY_CPUS` CPUs (default 4, so that the actors do not
    fight over cores). Connects to `RAY_ADDRESS` if set, else starts Ray on this machine.

    Raises:
        RayWorkerError: shards are missing after the retries.
    """
    ray, recipe = _import_ray(), model.recipe()
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # Ray's log files keep what it says
            handler.setLevel(logging.ERROR)
    missing = [i for i in range(len(writer.plan)) if not writer.done(i)]
    if not missing:
        return
    resources, workers = _workers(ray.cluster_resources(), len(missing))
    shared = ray.put((recipe, model.fingerprint, job, writer.root.absolute(), writer.key, writer.plan))
    try:
        results = ray.data.from_items(
            [{"shard": i} for i in missing], override_num_blocks=len(missing)
        ).map_batches(
            ShardActor,
            fn_constructor_args=(shared,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            max_restarts=RETRIES,
            max_task_retries=RETRIES,
            **resources,
        )
        results.context.enable_progress_bars = False  # ours is the one that is shown
        results.context.print_on_execution_start = False
        for batch in results.iter_batches(batch_size=None):
            advance(int(sum(batch["tokens"])))
    except ray.exceptions.RayError as error:
        raise RayWorkerError(f"A Ray worker failed: {error}") from error
    if lost := [i for i in missing if not writer.done(i)]:
        raise RayWorkerError(
            f"{len(lost)} of {len(writer.plan)} shards were not written to {writer.part}. Do all machines "
            "see this folder? Run again: shards that exist are kept."
        )


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: `pip install -e '.[ray]'`.") from error
    return ray


def _workers(available: dict[str, float], shards: int) -> tuple[dict[str, float], int]:
    """Resources of one actor, and how many actors the cluster holds."""
    if gpus := int(available.get("GPU", 0)):
        return {"num_gpus": 1}, min(gpus, shards)
    each = min(float(os.environ.get("SOPHISTRY_RAY_CPUS", "4")), available.get("CPU", 1))
    return {"num_cpus": each}, max(1, min(int(available.get("CPU", 1) // each), shards))


class ShardActor:
    """One worker: loads the model when it starts, then computes and writes the shards it is handed."""

    def __init__(self, shared: Any) -> None:
        import ray

        from activations.extract import make_reader

        recipe, fingerprint, self.job, root, key, plan = ray.get(shared)
        model = load_model(**recipe)
        if model.fingerprint != fingerprint:
            raise RayWorkerError(f"{recipe['ref']} on this machine has other weights than on the driver's.")
        self.writer = StoreWriter(root, key, plan)
        self.reader = make_reader(model, self.job)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the batch's shards; returns how many tokens each held."""
        from activations.compute import compute_shard

        tokens = []
        for shard in batch["shard"].tolist():
            rows = self.writer.plan[shard]
            if not self.writer.done(shard):
                self.writer.write(shard, compute_shard(self.job, self.reader, rows))
            tokens.append(sum(len(self.job.rows[row]) for row in rows))
        return {"shard": batch["shard"], "tokens": np.asarray(tokens)}
