"""Speed and memory of activation extraction against the bare forward pass and against peers.

    python -m benchmarks.extraction                    # SmolLM2; 45 to 60 minutes on two quiet cores
    python -m benchmarks.extraction --quick            # a tiny random model; checks that it runs
    python -m benchmarks.extraction --model llama3-8b-shaped --dtypes bfloat16      # on a GPU

All routes get the same token ids and are compared before they are timed; timings are interleaved in random
order and reported as medians and ratios within one run. The result goes to docs/results/extraction.json.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from activations import LoadedModel, extract, load_model
from activations.batching import plan_batches
from activations.extract import make_reader
from activations.job import plan_job
from activations.sites import find_trunk
from activations.testing import tiny_model
from activations.tokens import encode_rows
from benchmarks.extraction_peers import COMPARABLE, absent, routes
from benchmarks.extraction_report import show
from sophistry.machine import describe_machine

SHAPES = {"short rows, 8 x 256": (8, 256), "long rows, 2 x 1024": (2, 1024)}
QUICK_SHAPES = {"short rows, 4 x 32": (4, 32), "long rows, 2 x 64": (2, 64)}
WORDS = "the story says that a small dog ran over every hill and found its way home before rain fell".split()
MEMORY_OF = (
    "bare trunk",
    "ours, mean",
    "ours, all tokens of one layer",
    "transformers output_hidden_states",
    "TransformerLens run_with_cache",
    "nnsight trace",
)
BUDGETS = (1024, 2048, 4096)  # tokens per batch tried for the yardstick
EQUAL = {"float32": 1e-3, "bfloat16": 0.2, "float16": 0.05}  # relative; a wrong token differs by about 1


def load(name: str, dtype: str) -> LoadedModel:
    """A model by reference, the tiny one, or a random one with the shape of Llama-3-8B."""
    if name == "tiny":
        model = tiny_model()
        model.base.dtype = dtype
        model.model.to(getattr(torch, dtype))
        return model
    if name != "llama3-8b-shaped":
        return load_model(name, dtype=dtype)
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
        max_position_embeddings=8192,
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        made = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()
    from activations.testing import tiny_tokenizer

    return LoadedModel.wrap(made, tiny_tokenizer(), ref=name)


def sync() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    sync()
    start = time.perf_counter()
    function()
    sync()
    return time.perf_counter() - start


def interleaved(functions: dict[str, Callable[[], Any]], rounds: int, seed: int) -> dict[str, float]:
    """Median seconds of each function; every round runs all of them in a new random order."""
    generator, times = random.Random(seed), {name: [] for name in functions}
    for function in functions.values():
        function()  # warm-up
    for _ in range(rounds):
        for name in generator.sample(sorted(functions), len(functions)):
            times[name].append(seconds(functions[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def compare_routes(
    model: LoadedModel, shapes: dict[str, tuple[int, int]], rounds: int
) -> list[dict[str, Any]]:
    """Every route on the same batches: equal outputs first, then seconds and the ratio to the bare trunk."""
    generator, results = np.random.default_rng(0), []
    made = {name: make() for name, make in routes(model).items()}
    vocabulary = find_trunk(model.model).config.vocab_size
    for shape, (rows, width) in shapes.items():
        ids = torch.from_numpy(generator.integers(10, min(vocabulary, 250), (rows, width))).to(model.device)
        _check_equal(model, {name: made[name](ids) for name in COMPARABLE if name in made})
        medians = interleaved({name: partial(route, ids) for name, route in made.items()}, rounds, seed=1)
        results += [
            {
                "dtype": model.dtype,
                "shape": shape,
                "route": name,
                "seconds": value,
                "ratio": value / medians["bare trunk"],
            }
            for name, value in medians.items()
        ]
    return results


def _check_equal(model: LoadedModel, outputs: dict[str, torch.Tensor]) -> None:
    reference = outputs["ours, last token"].float()[:-1]
    for name, values in outputs.items():
        distance = ((values.float()[:-1] - reference).norm(dim=-1) / reference.norm(dim=-1)).max().item()
        if not distance <= EQUAL[model.dtype]:
            raise RuntimeError(
                f"{name} gives other activations than ours: relative difference {distance:.3g}."
            )


def make_rows(tokenizer: Any, lengths: Sequence[int], prefix: str = "") -> list[dict[str, str]]:
    """Rows of about these many words, the last third being the response."""
    generator, rows = random.Random(0), []
    for i, length in enumerate(lengths):
        words = [generator.choice(WORDS) for _ in range(max(6, length))]
        cut = 2 * len(words) // 3
        rows.append(
            {"id": str(i), "prompt": prefix + " ".join(words[:cut]), "response": " " + " ".join(words[cut:])}
        )
    return rows


def pipeline(model: LoadedModel, lengths: Sequence[int], rounds: int) -> dict[str, float]:
    """Rows to closed store, against the bare trunk on the same tokens in the best of a few batchings."""
    rows = make_rows(model.tokenizer, lengths)
    encoded = [row.ids for row in encode_rows(rows, model.tokenizer)]
    sizes, trunk = [len(ids) for ids in encoded], find_trunk(model.model).module

    @torch.inference_mode()
    def forward(plan: list[list[int]]) -> None:
        for batch in plan:
            width = min(sizes[i] for i in batch)  # exactly full batches: no padding in the yardstick
            ids = np.stack([encoded[i][:width] for i in batch]).astype(np.int64)
            trunk(input_ids=torch.from_numpy(ids).to(model.device), use_cache=False)

    def scaled(plan: list[list[int]]) -> float:
        """Seconds, scaled up by the few tokens that cutting to full batches leaves out."""
        used = sum(len(batch) * min(sizes[i] for i in batch) for batch in plan)
        return seconds(lambda: forward(plan)) * sum(sizes[i] for batch in plan for i in batch) / used

    few = range(0, len(sizes), max(1, len(sizes) // 64))  # enough rows to choose the yardstick's batching
    sweep = {b: [[few[i] for i in p] for p in plan_batches([sizes[i] for i in few], b)] for b in BUDGETS}
    best = plan_batches(sizes, min(sweep, key=lambda budget: scaled(sweep[budget])))
    store_times, bare_times = [], []
    for _ in range(max(2, rounds // 2)):
        bare_times.append(scaled(best))
        with tempfile.TemporaryDirectory() as folder:
            store_times.append(seconds(lambda: extract(model, rows, store=folder, progress=False)))
    with tempfile.TemporaryDirectory() as folder:
        path = extract(model, rows, store=folder, progress=False).path
        assert path is not None
        hit = statistics.median(
            seconds(lambda: extract(model, rows, store=folder, progress=False)) for _ in range(5)
        )
        files = list(path.iterdir())
        read = statistics.median(seconds(lambda: [p.read_bytes() for p in files]) for _ in range(5))
    job = plan_job(
        model,
        rows,
        sites="resid_post",
        layers="all",
        tokens="response_mean",
        backend="hf",
        token_budget=None,
        share_prefixes=False,
        store_dtype=None,
        strict=False,
    )
    shards = [[sizes[i] for i in shard] for shard in job.shards()]  # batches never cross a shard
    padded = sum(
        len(b) * max(shard[i] for i in b) for shard in shards for b in plan_batches(shard, job.token_budget)
    )
    return {
        "rows": len(rows),
        "tokens": sum(sizes),
        "bare_seconds": statistics.median(bare_times),
        "store_seconds": statistics.median(store_times),
        "pipeline": statistics.median(store_times) / statistics.median(bare_times),
        "packing": padded / sum(sizes),
        "cache_hit_seconds": hit,
        "read_seconds": read,
    }


def shared_prefix(model: LoadedModel, passage_tokens: int, rows: int, suffix: int) -> dict[str, float]:
    """Many rows on one passage, with and without sharing: tokens, seconds, and what probe scores do."""
    from activations.compute import compute_shard

    passage = " ".join(WORDS[i % len(WORDS)] for i in range(passage_tokens)) + " "
    data = make_rows(model.tokenizer, [suffix + 7 * i for i in range(rows)], prefix=passage)
    values, counts, times = [], [], []
    for share in (False, True):
        job = plan_job(
            model,
            data,
            sites="resid_post",
            layers="all",
            tokens="response_mean",
            backend="hf",
            token_budget=None,
            share_prefixes=share,
            store_dtype=None,
            strict=False,
        )
        reader = make_reader(model, job)
        start = time.perf_counter()
        shard = compute_shard(job, reader, range(len(data)))
        times.append(time.perf_counter() - start)
        values.append(shard["resid_post"])
        counts.append(job.usage.computed)
    full, shared = values
    direction = torch.randn(full.shape[-1], generator=torch.Generator().manual_seed(0))
    scores = [(v - v.mean(1, keepdim=True)) @ direction for v in (full, shared)]
    same = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(*scores, strict=True)])
    return {
        "rows": rows,
        "tokens_full": counts[0],
        "tokens_shared": counts[1],
        "fewer_tokens": counts[0] / counts[1],
        "faster": times[0] / times[1],
        "relative_difference": ((shared - full).norm(dim=-1) / full.norm(dim=-1)).max().item(),
        "score_correlation": same.min().item(),
    }


def memory_of(route: str, name: str, dtype: str, shape: tuple[int, int], threads: int) -> float:
    """Extra peak memory in MB that one call takes, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.extraction", "--memory-of", route, "--model", name]
    command += ["--dtypes", dtype, "--threads", str(threads), "--shape", *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def measure_memory(route: str, model: LoadedModel, shape: tuple[int, int]) -> float:
    """In the child: peak during the second call, over what is held before it."""
    run = routes(model)[route]()
    ids = torch.arange(shape[0] * shape[1]).reshape(shape).remainder(200).to(model.device)
    run(ids[:, :8])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(ids)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status("VmRSS")
    run(ids)
    return (_status("VmHWM") - before) / 1e3


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements."""
    shapes = QUICK_SHAPES if options.quick else SHAPES
    result: dict[str, Any] = {
        "model": options.model,
        "quick": options.quick,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "load_before": os.getloadavg()[0],
        "versions": {
            name: _version(name) for name in ("torch", "transformers", "transformer-lens", "nnsight")
        },
        "routes": [],
        "pipeline": {},
        "shared_prefix": {},
        "memory_mb": {},
        "absent": absent(),
        "memory_shape": " x ".join(map(str, next(iter(shapes.values())))),
    }
    peers: list[str] = []
    lengths = [int(n) for n in np.random.default_rng(0).lognormal(4.3, 0.5, 16 if options.quick else 800)]
    for dtype in options.dtypes:
        model = load(options.model, dtype)
        _ = model.model
        result["routes"] += compare_routes(model, shapes, options.rounds)
        result["pipeline"][dtype] = pipeline(
            model, [min(n, 40) if options.quick else n for n in lengths], options.rounds
        )
        if options.quick or dtype == options.dtypes[-1]:  # a hundred thousand tokens: in one type only
            passage = (20, 3, 4) if options.quick else (5000, 20, 200)
            result["shared_prefix"][dtype] = shared_prefix(model, *passage)
        peers = [name for name in MEMORY_OF if name in routes(model)]
        del model
    for name in peers:
        shape = next(iter(shapes.values()))
        result["memory_mb"][name] = memory_of(name, options.model, options.dtypes[0], shape, options.threads)
    return result


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Parse, measure, show, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--quick", action="store_true", help="tiny model and shapes; saves nothing unless --out"
    )
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        model = load(options.model, options.dtypes[0])
        print(measure_memory(options.memory_of, model, tuple(options.shape)))
        return
    if options.quick:
        options.model = "tiny"
    result = run(options)
    show(result)
    out = options.out or (None if options.quick else Path("docs/results/extraction.json"))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nSaved to {out}.")


if __name__ == "__main__":
    main()
