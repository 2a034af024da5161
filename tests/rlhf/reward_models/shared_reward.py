"""A short training of an ODIN reward model for torchrun: the same program alone and in two processes."""

import json
import sys
from pathlib import Path

import torch
from reward_items import BASE, SPEC, opened, stories

from rlhf.recipes.processes import Processes
from rlhf.reward_models import compared_by_approval, train_odin
from rlhf.reward_models.fit import CURVE


def main(folder):
    items = compared_by_approval(stories(7))
    model = train_odin(
        opened(),
        items,
        SPEC,
        base=BASE,
        work_dir=folder / "work",
        features=("length", "quotes"),
        progress=False,
    )
    texts = [text for one in items for text in one.responses]
    scores = model.score([one.view for one in items for _ in one.responses], texts).tolist()
    processes = Processes()
    if processes.main:
        found = {
            "count": processes.count,
            "scores": scores,
            "head": torch.flatten(model.head.weight).tolist()[:20],
            "log": json.loads((folder / "work" / CURVE).read_text()),
        }
        (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":  # pytest imports this file too, in search of examples
    main(Path(sys.argv[1]))
