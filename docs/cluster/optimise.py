"""Optimise a policy by PPO in as many processes as `torchrun` starts; they share the work of every round.

    torchrun --nproc-per-node 8 docs/cluster/optimise.py --organism organisms/shipped/qa-long-pi-init \
        --out runs/organisms/qa-long-pi-rlhf

The numbers of a round are those of one process, up to rounding. Run again, it goes on from the last
checkpoint.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from organisms import FineTuneSpec, Organism, OrganismRole, open_trainable, read_organism, save_organism
from organisms.record import find_organism, library_versions
from rlhf import Pool, train_rlhf
from rlhf.recipes import PPO, SamplingOptions
from rlhf.recipes.processes import Processes
from rlhf.rewards import Approval, StoryOracle, story_columns
from tasks import MiniQA, qa_prompt


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--organism", required=True, help="folder of pi_init: an adapter on its base")
    options.add_argument("--out", required=True, type=Path, help="folder of the new organism")
    options.add_argument("--level", default="long", help="level of the stories")
    options.add_argument("--items", type=int, default=2048, help="stories")
    options.add_argument("--rounds", type=int, default=18)
    options.add_argument("--prompts", type=int, default=64, help="stories per round, over all processes")
    options.add_argument("--samples", type=int, default=8, help="answers to each")
    options.add_argument("--max-new-tokens", type=int, default=48)
    options.add_argument("--learning-rate", type=float, default=2e-4)
    options.add_argument("--readers", type=int, default=8, help="whose approval is the reward")
    options.add_argument("--seed", type=int, default=0)
    return options


def main(words: list[str] | None = None) -> None:
    """Train; the first process writes the organism."""
    given = parser().parse_args(words)
    init = find_organism(given.organism)
    parent = read_organism(init)
    adapter = json.loads((init / "adapter_config.json").read_text(encoding="utf-8"))
    spec = FineTuneSpec(rank=adapter["r"], alpha=adapter["lora_alpha"])
    opened = open_trainable(parent.base, init, spec)
    stories = MiniQA(seed=4, levels=(given.level,)).items(given.items)
    recipe = PPO(
        rounds=given.rounds,
        prompts=given.prompts,
        sampling=SamplingOptions(samples=given.samples, max_new_tokens=given.max_new_tokens),
        advantage="group",
        learning_rate=given.learning_rate,
        scale_rewards=False,
        clipped="penalty",
        seed=given.seed,
    )
    result = train_rlhf(
        recipe,
        opened.model,
        opened.tokenizer,
        [{"id": story.id, "prompt": qa_prompt(story), **story_columns(story)} for story in stories],
        Approval(Pool.hurried(given.readers, seed=0)),
        monitors={"truth": StoryOracle()},
        work_dir=given.out.with_name(f"{given.out.name}-work"),
        start=opened.start,
    )
    if Processes().main:
        record = Organism(
            name=given.out.name,
            role=OrganismRole.PI_RLHF,
            task="qa",
            base=parent.base,
            base_fingerprint=opened.base_fingerprint,
            parent=parent.name,
            training={"reward": "approval", "ppo": asdict(recipe), "rounds": len(result.rounds)},
            versions=library_versions(),
        )
        save_organism(given.out, record, opened.model, tokenizer=opened.tokenizer)


if __name__ == "__main__":
    main()
