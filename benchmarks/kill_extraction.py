"""Kill an extraction with SIGKILL at random moments, resume it, and compare the store byte by byte.

    python -m benchmarks.kill_extraction            # 30 runs, each killed four times before it gets through
    python -m benchmarks.kill_extraction --runs 5

Prints one line per run, writes them to docs/results/kill-extraction.json (all 30 runs, or with --out), and
exits with 1 if any final store differs from an undisturbed one.
"""

import argparse
import json
import multiprocessing
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from activations import extract, writer
from activations.testing import tiny_model
from sophistry.machine import describe_machine

RESULTS = Path("docs/results/kill-extraction.json")
ROWS = 48
MEAN_DELAY = 0.01  # seconds between reaching the chosen shard and the kill, on average
writer.MAX_SHARD_ROWS = 2  # many shards, so that there is much to be killed in between


def work(root: Path) -> Path:
    """One extraction into 24 shards."""
    rows = [
        {"id": str(i), "prompt": "p" * (i % 9 + 1), "response": f"r{i}" * (i % 7 + 1)} for i in range(ROWS)
    ]
    path = extract(tiny_model(), rows, store=root, progress=False).path
    assert path is not None
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """File name -> bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def killed_run(root: Path, generator: random.Random) -> list[int]:
    """Kill four attempts, each a random moment after a random number of finished shards; then finish.

    Returns how many shards were finished at each kill (24 is the moment of closing the store).
    """
    context, kills = multiprocessing.get_context("fork"), []
    for moment in sorted(generator.choices(range(ROWS // 2 + 1), k=4)):
        child = context.Process(target=work, args=(root,))
        child.start()
        while child.is_alive() and finished(root) < moment:
            time.sleep(0.001)
        time.sleep(generator.expovariate(1 / MEAN_DELAY))
        child.kill()
        child.join()
        if child.exitcode == -signal.SIGKILL:
            kills.append(finished(root))
    child = context.Process(target=work, args=(root,))
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"the extraction failed with exit code {child.exitcode}")
    return kills


def finished(root: Path) -> int:
    """Shards that exist."""
    return len(list(root.glob("*.part/shard-*.safetensors")))


def main() -> int:
    """Run the test; 0 when every store came out identical."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    generator, runs = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = contents(work(Path(folder) / "undisturbed"))
        for run in range(options.runs):
            root = Path(folder) / str(run)
            moments = killed_run(root, generator)
            (store,) = [
                path for path in root.iterdir() if path.name != writer.LOCKS and path.suffix != ".part"
            ]
            same = contents(store) == undisturbed and not list(root.glob("*.part"))
            runs.append({"shards_finished_at_kills": moments, "identical": same})
            verdict = "identical" if same else "DIFFERENT"
            print(f"run {run:2d}: killed with {moments} shards finished: {verdict}", flush=True)
            shutil.rmtree(root)
    identical = sum(run["identical"] for run in runs)
    summary = {
        "runs": len(runs),
        "identical": identical,
        "kills": sum(len(run["shards_finished_at_kills"]) for run in runs),
        "shards": ROWS // writer.MAX_SHARD_ROWS,
        "seed": options.seed,
        "python": platform.python_version(),
        "machine": describe_machine(),
        **{name: version(name) for name in ("torch", "transformers", "safetensors", "filelock")},
        "each": runs,
    }
    out = options.out or (RESULTS if options.runs >= 30 else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{identical} of {len(runs)} stores identical to the undisturbed one; {summary['kills']} kills.")
    return 0 if identical == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
