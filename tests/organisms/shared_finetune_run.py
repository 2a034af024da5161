"""A short fine-tuning for torchrun: the same program alone and in two processes."""

import json
import sys
from pathlib import Path

import torch

from activations.testing import tiny_model
from organisms.finetune import Demonstration, FineTuneSpec, add_adapter, fine_tune


def main(folder, order):
    loaded = tiny_model()
    spec = FineTuneSpec(
        steps=7,
        batch_size=4,
        learning_rate=1e-2,
        rank=2,
        warmup=1,
        focus=3,
        order=order,
        autocast=False,
        save_every=3,
    )
    model = add_adapter(loaded.model, spec)
    demonstrations = [
        Demonstration(prompt="say" + "?" * n, response=f"word {n} " * (1 + n % 3), instead_of=f"word {n}")
        for n in range(9)  # two whole batches and one of a single row
    ]
    curve = fine_tune(model, loaded.tokenizer, demonstrations, spec, work_dir=folder)
    weights = [p.double().norm().item() for p in model.parameters() if p.requires_grad]
    count = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    if count == 1 or torch.distributed.get_rank() == 0:
        (folder / "found.json").write_text(json.dumps({"curve": curve, "weights": weights, "count": count}))


if __name__ == "__main__":  # pytest imports this file too, in search of examples
    main(Path(sys.argv[1]), sys.argv[2])
