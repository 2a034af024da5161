"""Kill an extraction with SIGKILL at random moments, resume it, and compare the store byte by byte.

    python benchmarks/kill_extraction.py            # 30 runs, each killed until it gets through
    python benchmarks/kill_extraction.py --runs 5

Prints one line per run and exits with 1 if any final store differs from an undisturbed one.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 48


def work(root: Path) -> Path:
    """One extraction of many small shards (what a killed run has to survive)."""
    from activations import extract, writer
    from activations.testing import tiny_model

    writer.MAX_SHARD_ROWS = 2
    rows = [
        {"id": str(i), "prompt": "p" * (i % 9 + 1), "response": f"r{i}" * (i % 7 + 1)} for i in range(ROWS)
    ]
    path = extract(tiny_model(), rows, store=root, progress=False).path
    assert path is not None
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """File name -> bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def killed_run(root: Path, generator: random.Random) -> tuple[int, set[str]]:
    """Start the extraction again and again, killing it at random moments; returns kills and states seen."""
    kills, states = 0, set()
    while True:
        command = [sys.executable, __file__, "--work", str(root)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()  # imports are done: now it writes
        # spread over the whole writing phase, and let every fifth attempt through
        try:
            child.wait(generator.uniform(0, 1.5) if kills % 5 < 4 else None)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            kills += 1
            parts = list(root.glob("*.part"))
            done = len(list(parts[0].glob("shard-*.safetensors"))) if parts else -1
            states.add(f"{done} shards" if parts else "before the first or after the last")
            continue
        if child.returncode:
            assert child.stderr is not None
            raise RuntimeError(child.stderr.read().decode())
        return kills, states


def main() -> int:
    """Run the test; 0 when every store came out identical."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        import activations.extract  # noqa: F401

        print("ready", flush=True)
        work(options.work)
        return 0
    generator, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = contents(work(Path(folder) / "undisturbed"))
        for run in range(options.runs):
            root, started = Path(folder) / str(run), time.perf_counter()
            kills, states = killed_run(root, generator)
            (store,) = [path for path in root.iterdir() if path.suffix not in (".locks", ".part")]
            same = contents(store) == undisturbed and not list(root.glob("*.part"))
            wrong += not same
            seconds = time.perf_counter() - started
            verdict = "identical" if same else "DIFFERENT"
            print(
                f"run {run:2d}: {kills} kills at {len(states)} states, {verdict} ({seconds:.0f} s)",
                flush=True,
            )
            shutil.rmtree(root)
    print(f"{options.runs - wrong} of {options.runs} stores identical to the undisturbed one.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
