"""How far the activations of the generating pass lie from those of the same answers read again.

    python -m benchmarks.generating_pass [MODEL] [ROWS] [DTYPE]

Questions of MiniQA are answered by sampling at temperature 1 and read again; prints the worst layer, and
the AUROC of a probe for right and wrong answers on both (those that name a letter). Writes
docs/results/generating-pass.json.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from activations import Capture, extract, load_model
from organisms.generate import SamplingSpec, answer
from sophistry.files import write_atomic
from sophistry.machine import describe_machine
from study.passes import pass_difference
from tasks.dataset import Answered, DatasetSpec
from tasks.sources import open_dataset

OUT = Path(__file__).parents[1] / "docs" / "results" / "generating-pass.json"


def main(reference: str = "smollm2", rows: str = "48", dtype: str = "float32") -> None:
    """Answer, read again, compare, print and save."""
    spec = DatasetSpec(evaluated=int(rows), evaluated_nearly=0, evaluated_seed=4000)
    dataset = open_dataset(spec)
    model = load_model(reference, dtype=dtype)
    prompts = [dataset.ask(item) for item in dataset.items]
    capture = Capture(model, ids=[item.id for item in dataset.items])
    sampling = SamplingSpec(max_new_tokens=48, temperature=1.0, batch_size=16)
    said = answer(model.model, model.tokenizer, prompts, sampling, capture=capture)
    marked = dataset.mark(
        [
            Answered(item=item, organism="base", condition="plain", prompt=prompt, **asdict(given))
            for item, prompt, given in zip(dataset.items, prompts, said, strict=True)
        ]
    )
    kept = [
        (item.id, row)
        for item, row in zip(dataset.items, marked, strict=True)
        if row.response and row.parse_ok
    ]
    again = [
        {"id": name, "prompt": row.prompt, "response": row.response, "group": row.group} for name, row in kept
    ]
    labels = [int(not row.correct) for _, row in kept]
    found = pass_difference(capture.store, extract(model, again), labels)
    worst = max(found.layers, key=lambda layer: layer.max_relative)
    moved = max(abs((layer.auroc_generated or 0.0) - (layer.auroc_reread or 0.0)) for layer in found.layers)
    cosine = min(layer.min_cosine for layer in found.layers)
    print(f"{found.rows} rows ({sum(labels)} wrong), {found.same_tokens} with the same tokens")
    print(f"worst layer {worst.layer}: relative {worst.max_relative:.2g}, absolute {worst.max_abs:.2g}")
    print(f"smallest cosine {cosine:.7f}; AUROC moves by {moved:.4f} at most; {describe_machine()}")
    record = {"model": reference, "dtype": dtype, "machine": describe_machine(), "wrong": sum(labels)}
    write_atomic(OUT, json.dumps(record | asdict(found), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
