"""Short runs of RRHF and DDPO for torchrun: the same program alone and in two processes."""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from activations.testing import tiny_model
from rlhf.corrections import correction
from rlhf.recipes import RRHF, SamplingOptions, train_rlhf
from rlhf.recipes.ddpo import DDPOSpec, train_ddpo
from rlhf.recipes.dpo import DPOSpec, train_dpo
from rlhf.recipes.drawn import draw
from rlhf.recipes.processes import Processes
from rlhf.recipes.recipe import Job
from rlhf.recipes.rrhf import RRHFSpec


class Letters:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [float(sum(map(str.isalpha, text))) for text in completions]


def policy():
    loaded = tiny_model()
    torch.manual_seed(0)
    return get_peft_model(loaded.model, LoraConfig(r=2, target_modules="all-linear")), loaded.tokenizer


def main(folder):
    items = [{"id": str(n), "prompt": "say" + "?" * n} for n in range(7)]
    sampling = SamplingOptions(samples=4, max_new_tokens=6)
    model, tokenizer = policy()
    job = Job(
        model=model, tokenizer=tokenizer, items=items, reward=Letters(), work_dir=folder, progress=False
    )
    draw(job, sampling, part=2)
    recipe = RRHF(sampling=sampling, spec=RRHFSpec(batch_size=3, epochs=2, learning_rate=1e-3))
    recipe = RRHF(sampling=sampling, spec=recipe.spec, drawn=str(folder / "drawn"))
    train_rlhf(recipe, model, tokenizer, items, Letters(), work_dir=folder, progress=False)

    pairs = [correction("say" + "?" * n, f"it is {n} here", f"it was {n} there") for n in range(5)]
    model, tokenizer = policy()
    spec = DDPOSpec(batch_size=2, epochs=2, learning_rate=1e-3)
    train_ddpo(model, tokenizer, pairs, spec, work_dir=folder / "ddpo")

    model, tokenizer = policy()
    spec = DPOSpec(batch_size=2, epochs=2, learning_rate=1e-3, likelihood=0.5)
    train_dpo(model, tokenizer, pairs, spec, work_dir=folder / "dpo")
    processes = Processes()
    if processes.main:
        (folder / "count.json").write_text(json.dumps(processes.count))


if __name__ == "__main__":  # pytest imports this file too, in search of examples
    main(Path(sys.argv[1]))
