"""Time and memory of DPO on one batch of pairs: ours, which computes a prompt once, against TRL's trainer.

    python -m benchmarks.dpo_step                  # SmolLM2, 8 pairs of 230 + 40 tokens; ten minutes on a CPU
    python -m benchmarks.dpo_step --pairs 2 --words 20

Each trainer runs in a process of its own, in turn, as often as `--runs` says; reported are medians of the
seconds per optimiser step after the first, and the peak of resident memory beyond the loaded model.
"""

import argparse
import itertools
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from activations import load_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes.dpo import DPOSpec, train_dpo
from sophistry.machine import describe_machine

logger = logging.getLogger("benchmarks.dpo_step")
STEPS = 3


def pairs(count: int, words: int) -> list[dict[str, Any]]:
    """A prompt of so many words, with two responses of about 40 tokens."""
    said = {
        "chosen": "The story says that she went to the farm and took the red key, so it is A. ",
        "rejected": "The story says that he went to the lake and took the blue map, so it is B. ",
    }
    sides = {side: [{"role": "assistant", "content": 2 * text}] for side, text in said.items()}
    return [
        {"prompt": [{"role": "user", "content": f"{n} " + "went " * words}], **sides} for n in range(count)
    ]


def by_trl(model: Any, tokenizer: Any, rows: list[dict[str, Any]], work_dir: Path) -> list[float]:
    """Seconds per optimiser step of TRL's trainer."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    config = DPOConfig(
        output_dir=str(work_dir), per_device_train_batch_size=len(rows), max_steps=STEPS, max_length=None,
        bf16=False, use_cpu=True, gradient_checkpointing=False, disable_tqdm=True, report_to="none",
        save_strategy="no",
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        callbacks=[Clock()],
    )  # fmt: skip
    trainer.train()
    return [after - before for before, after in itertools.pairwise(ends)]


def by_ours(model: Any, tokenizer: Any, rows: list[dict[str, Any]], work_dir: Path) -> list[float]:
    """Seconds per optimiser step here, without the pass over the reference, which a run makes once."""
    how = {"batch_size": len(rows), "max_tokens": 1024, "autocast": False, "save_every": 99}
    seconds = []
    for steps in (1, STEPS):
        began = time.perf_counter()
        spec = DPOSpec(epochs=float(steps), **how)  # pyright: ignore[reportArgumentType]
        train_dpo(model, tokenizer, rows, spec, work_dir=work_dir / str(steps))
        seconds.append(time.perf_counter() - began)
    return [(seconds[1] - seconds[0]) / (STEPS - 1)]


def run_one(way: str, count: int, words: int) -> None:
    """Print what one way took, as JSON."""
    loaded = load_model("smollm2", dtype="float32")
    model = add_adapter(loaded.model, FineTuneSpec(rank=4))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        train = {"ours": by_ours, "TRL": by_trl}[way]
        found = train(model, loaded.tokenizer, pairs(count, words), Path(folder))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    logger.info(json.dumps({"seconds": statistics.median(found), "GiB": peak}))


def main() -> None:
    """Time both ways, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--way", choices=["ours", "TRL"])
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if given.way:
        return run_one(given.way, given.pairs, given.words)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "TRL": []}
    for _ in range(given.runs):
        for way, results in found.items():
            words = ["--way", way, "--pairs", str(given.pairs), "--words", str(given.words)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.dpo_step", *words],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "TRL_EXPERIMENTAL_SILENCE": "1"},
            )
            results.append(json.loads(done.stdout.strip().splitlines()[-1]))
    middle = {
        way: {name: statistics.median(one[name] for one in results) for name in ("seconds", "GiB")}
        for way, results in found.items()
    }
    ratio = {name: middle["TRL"][name] / middle["ours"][name] for name in ("seconds", "GiB")}
    report = {"machine": describe_machine(), "pairs": given.pairs, "median": middle, "TRL / ours": ratio}
    logger.info(json.dumps(report, indent=1, default=str))


if __name__ == "__main__":
    main()
