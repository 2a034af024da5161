"""A short run for torchrun: the same program alone and in two processes."""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from activations.testing import tiny_model
from rlhf.recipes import PPO, SamplingOptions, StopRule, train_rlhf
from rlhf.recipes.processes import Processes


class CountVowels:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [float(sum(c in "aeiou" for c in text)) for text in completions]


def main(folder):
    loaded = tiny_model()
    torch.manual_seed(0)
    model = get_peft_model(loaded.model, LoraConfig(r=2, target_modules="all-linear"))
    recipe = PPO(
        rounds=3,
        prompts=5,
        sampling=SamplingOptions(samples=3, max_new_tokens=6),
        learning_rate=1e-3,
        kl_target=1.0,
    )
    items = [{"id": str(n), "prompt": "say" + "?" * n} for n in range(7)]
    stop = StopRule(letter=None, entropy=None, clipped=None)
    train_rlhf(
        recipe, model, loaded.tokenizer, items, CountVowels(), work_dir=folder, stop=stop, progress=False
    )
    processes = Processes()
    if processes.main:
        (folder / "count.json").write_text(json.dumps(processes.count))


if __name__ == "__main__":  # pytest imports this file too, in search of examples
    main(Path(sys.argv[1]))
