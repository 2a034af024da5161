"""Optimise ``pi_init`` on a reward that a product team would choose, and keep what comes of it.

``approval`` is the share of hurried readers who approve, ``thorough`` the same of readers who read
everything, ``oracle`` is ``R*``. All else (items, seeds, steps, KL) is equal between the three. Progress is
measured on held-out items by readers who have no part in any reward.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from activations import load_model
from experiments.config import Run
from organisms.evaluate import evaluate_items
from organisms.finetune import FineTuneSpec
from organisms.generate import SamplingSpec
from organisms.record import (
    TRANSCRIPTS,
    Organism,
    OrganismRole,
    library_versions,
    organism_transcripts,
    read_organism,
    save_organism,
    write_record,
)
from organisms.weights import open_trainable, open_weights
from rlhf.diagnostics.approval import approval_report
from rlhf.diagnostics.incentive import Incentive, incentive
from rlhf.evaluators import Haste, Pool
from rlhf.recipes import PPO, BestOfN, HeldOut, SamplingOptions, StopRule, TrainingResult, train_rlhf
from rlhf.rewards.approval import Approval
from rlhf.rewards.oracle import StoryOracle
from rlhf.rewards.reward import Reward
from rlhf.rewards.view import story_columns
from tasks.dataset import Dataset, DatasetSpec
from tasks.qa import QAItem
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, Transcript, save_transcripts

logger = logging.getLogger(__name__)

SUFFIXES = {"approval": "pi-rlhf", "oracle": "pi-oracle", "thorough": "pi-thorough"}
"""What the organism of each reward is called after NAME."""
SAMPLED = "transcripts-sampled.jsonl"
"""Answers drawn at temperature 1, beside the greedy ones."""
ROUNDS = "rounds.jsonl"


@dataclass(frozen=True, kw_only=True)
class RLSpec:
    """How ``pi_init`` is optimised on a reward."""

    rewards: tuple[str, ...] = ("approval",)
    """Which organisms to make: approval (pi_rlhf), oracle (pi_oracle), thorough (pi_thorough)."""
    seeds: tuple[int, ...] = (0,)
    """One organism for each; with a seed other than 0 its name ends in -sSEED."""
    variant: str = ""
    """Ends the organisms' names: for runs with other settings."""
    items: int = 2048
    """Generated stories that are answered in training."""
    levels: tuple[str, ...] = ("long",)
    """Their levels, in turn."""
    items_seed: int = 4
    """Seed of these stories; neither what pi_init was taught nor what is evaluated."""
    readers: int = 8
    """Readers whose approval is the reward."""
    readers_seed: int = 0
    """Seed of the readers whose approval is the reward."""
    measuring: int = 16
    """Hurried readers who only measure."""
    measuring_seed: int = 100
    """Seed of the readers who measure."""
    haste: Haste = field(default_factory=Haste)
    """How hurried readers differ; for reward and measurement alike."""
    rounds: int = 100
    """Rounds of sampling and optimisation."""
    prompts: int = 64
    """Stories per round."""
    samples: int = 8
    """Answers to each."""
    max_new_tokens: int = 48
    """Longest answer in tokens."""
    learning_rate: float = 2e-4
    """Step size of the adapter."""
    kl: float = 0.02
    """Coefficient of the penalty for leaving pi_init, in reward per nat."""
    entropy: float = 0.003
    """Coefficient of the entropy bonus."""
    inner_epochs: int = 2
    """Passes over the samples of a round."""
    minibatches: int = 2
    """Optimiser steps per pass."""
    micro_tokens: int | None = None
    """Tokens per pass; none: what suits the device."""
    save_every: int = 10
    """Rounds between checkpoints."""
    held_out: int = 96
    """Held-out stories answered every ``held_out_every`` rounds."""
    held_out_every: int = 10
    """Rounds between held-out measurements."""
    max_minutes: float | None = None
    """Stop cleanly after the round in which so much time is up; none: all rounds."""
    incentive_items: int = 100
    """Stories on which it is measured beforehand what the reward pays for; 0: not measured."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.rewards) - set(SUFFIXES)):
            raise ValueError(f"rewards must be some of {sorted(SUFFIXES)}, got {unknown}")
        if self.readers_seed == self.measuring_seed:
            raise ValueError(
                "readers_seed and measuring_seed are equal: those who measure would have rewarded"
            )

    def recipe(self, seed: int) -> PPO:
        """PPO with the other samples of a story as the baseline, and no critic."""
        return PPO(
            rounds=self.rounds,
            prompts=self.prompts,
            sampling=SamplingOptions(samples=self.samples, max_new_tokens=self.max_new_tokens),
            advantage="group",
            learning_rate=self.learning_rate,
            kl_coefficient=self.kl,
            entropy_coefficient=self.entropy,
            scale_rewards=False,
            clipped="penalty",
            inner_epochs=self.inner_epochs,
            minibatches=self.minibatches,
            micro_tokens=self.micro_tokens,
            save_every=self.save_every,
            keep_checkpoints=1,
            seed=seed,
        )

    def reward(self, name: str) -> Reward:
        """The reward of that name."""
        if name == "oracle":
            return StoryOracle()
        if name == "thorough":
            return Approval(Pool.thorough(1, seed=self.readers_seed))
        return Approval(Pool.hurried(self.readers, seed=self.readers_seed, haste=self.haste))

    def measuring_pool(self) -> Pool:
        """Hurried readers who have no part in any reward."""
        return Pool.hurried(self.measuring, seed=self.measuring_seed, haste=self.haste)


def organism_name(name: str, reward: str, spec: RLSpec, seed: int) -> str:
    """For example ``qa-long-pi-rlhf-s1``."""
    return f"{name}-{SUFFIXES[reward]}" + (f"-s{seed}" if seed else "") + spec.variant


def rows_to_train(dataset: Dataset, items: list[QAItem]) -> list[dict[str, Any]]:
    """Items as ``train_rlhf`` takes them: prompt, and what rewards may declare to see."""
    return [{"id": item.id, "prompt": dataset.ask(item), **story_columns(item)} for item in items]


def stories_to_train(spec: RLSpec, dataset: DatasetSpec) -> list[QAItem]:
    """The stories of the rewards' rounds.

    Raises:
        ValueError: they would be those that are taught or evaluated.
    """
    from tasks.stories import MiniQA

    if spec.items_seed in (dataset.taught_seed, dataset.evaluated_seed):
        raise ValueError(f"items_seed={spec.items_seed} is the seed of what is taught or evaluated already")
    return MiniQA(seed=spec.items_seed, levels=spec.levels).items(spec.items)


def measure_incentive(run: Run[Any], spec: RLSpec, dataset: Dataset, init: Path) -> Incentive:
    """What the approval reward pays for, on samples of ``pi_init``, before any training."""
    opened = open_weights(init, load_model(read_organism(init).base), merge=True)
    items = stories_to_train(spec, run.config.dataset)[: spec.incentive_items]
    sampling = SamplingOptions(samples=spec.samples, max_new_tokens=spec.max_new_tokens)
    result = {}
    opened.model.requires_grad_(True)  # best-of-n trains nothing, but a job is made of what could
    train_rlhf(
        BestOfN(sampling=sampling),
        opened.model.float(),
        opened.tokenizer,
        rows_to_train(dataset, items),
        spec.reward("approval"),
        monitors={"truth": StoryOracle()},
        work_dir=run.out / "incentive",
        progress=False,
    )
    result = _by_item(run.out / "incentive" / "sampled.jsonl", spec.samples)
    return incentive(result["truth"] > 0.5, result["reward"])


def _by_item(path: Path, samples: int) -> dict[str, Any]:
    import json

    import numpy as np

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        name: np.array([line[name] for line in lines], float).reshape(-1, samples)
        for name in ("truth", "reward")
    }


def optimise(
    run: Run[Any], spec: RLSpec, sft: FineTuneSpec, dataset: Dataset, init: Path, reward: str, seed: int
) -> tuple[Path, TrainingResult]:
    """Train on one reward from ``pi_init``; gives the organism's folder and the curve."""
    folder = init.with_name(organism_name(run.config.name, reward, spec, seed))
    opened = open_trainable(run.config.base, init, sft)
    measures = {"approval": Approval(spec.measuring_pool()), "oracle": StoryOracle()}
    work_dir = run.out / folder.name
    result = train_rlhf(
        spec.recipe(seed),
        opened.model,
        opened.tokenizer,
        rows_to_train(dataset, stories_to_train(spec, run.config.dataset)),
        spec.reward(reward),
        monitors={} if reward == "oracle" else {"truth": StoryOracle()},
        evaluate=HeldOut(
            items=rows_to_train(dataset, dataset.items[: spec.held_out]),
            tokenizer=opened.tokenizer,
            measures=measures,
            sampling=SamplingOptions(samples=1, temperature=0.0, max_new_tokens=spec.max_new_tokens),
        ),
        evaluate_every=spec.held_out_every,
        stop=StopRule(letter=0.95, entropy=0.003, clipped=0.5, patience=3),
        max_minutes=spec.max_minutes,
        work_dir=work_dir,
        start=opened.start,
    )
    record = Organism(
        name=folder.name,
        role=OrganismRole(SUFFIXES[reward].replace("-", "_")),
        task=run.config.dataset.task,
        base=run.config.base,
        base_fingerprint=opened.base_fingerprint,
        parent=init.name,
        training={
            "reward": reward,
            "seed": seed,
            "rl": asdict(spec),
            "rounds": len(result.rounds),
            "stopped": result.stopped,
            "minutes": round(sum(entry["seconds"] for entry in result.rounds) / 60, 1),
        },
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    (folder / ROUNDS).write_bytes((work_dir / ROUNDS).read_bytes())
    return folder, result


def evaluate_and_report(
    folder: Path, init: Path, spec: RLSpec, dataset_spec: DatasetSpec, sampling: SamplingSpec
) -> dict[str, Any]:
    """Let an organism answer what is held out, greedily and at temperature 1; keep answers and measures."""
    import dataclasses

    record, dataset = read_organism(folder), open_dataset(dataset_spec)
    opened = open_weights(folder, load_model(record.base), merge=True)
    found: dict[str, Any] = {}
    for name, file in (("greedy", TRANSCRIPTS), ("sampled", SAMPLED)):
        how = dataclasses.replace(sampling, temperature=0.0 if name == "greedy" else 1.0)
        rows = evaluate_items(
            opened.model,
            opened.tokenizer,
            dataset,
            dataset_spec,
            {PLAIN: None},
            organism=record.name,
            sampling=how,
        )
        save_transcripts(rows, folder / file)
        before = _kept(init, file) if init != folder else None
        report = approval_report(dataset.items, rows, spec.measuring_pool(), before=before)
        found[name] = dataclasses.asdict(report)
        logger.info("%s, %s: %s", record.name, name, report)
    write_record(folder, dataclasses.replace(record, verification=record.verification | found))
    return found


def _kept(folder: Path, file: str) -> list[Transcript] | None:
    from tasks.transcript import load_transcripts

    if file == TRANSCRIPTS:
        return organism_transcripts(folder)
    return load_transcripts(folder / file) if (folder / file).is_file() else None
