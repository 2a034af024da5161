"""Optimise `pi_init` on a reward that a product team would choose, and keep what comes of it.

`approval` is the share of hurried readers (of stories) or busy testers (of programs) who approve,
`thorough` the same of readers who read everything, `oracle` is `R*`. All else (items, seeds, steps, KL)
is equal between them. What comes of it is measured on held-out items by people with no part in any reward.

`ppo` draws anew in every round. `rejection`, `dpo` and `kto` draw once from `pi_init`, and every
reward scores the same responses: a fraction of the cost, for machines on which drawing is what takes time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
from rlhf.recipes import (
    DPO,
    KTO,
    PPO,
    HeldOut,
    RejectionSampling,
    SamplingOptions,
    StopRule,
    TrainingResult,
    train_rlhf,
)
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.drawn import draw, read_drawn
from rlhf.recipes.kto import KTOSpec
from rlhf.recipes.recipe import Job
from rlhf.rewards.approval import Approval
from rlhf.rewards.oracle import ProgramOracle, StoryOracle
from rlhf.rewards.reward import Reward
from rlhf.rewards.view import program_columns, story_columns
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import Problem
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
    """How `pi_init` is optimised on a reward."""

    recipe: Literal["ppo", "rejection", "dpo", "kto"] = "ppo"
    """PPO in rounds; or, on one draw from pi_init, rejection sampling (the best sample), DPO (best and worst)
    or KTO (single votes)."""
    rewards: tuple[str, ...] = ("approval",)
    """Which organisms to make: approval (pi_rlhf), oracle (pi_oracle), thorough (pi_thorough)."""
    seeds: tuple[int, ...] = (0,)
    """One organism for each; with a seed other than 0 its name ends in -sSEED."""
    variant: str = ""
    """Ends the organisms' names: for runs with other settings."""
    items: int = 2048
    """Generated stories or problems that are answered in training."""
    levels: tuple[str, ...] = ("long",)
    """Their levels, in turn."""
    items_seed: int = 4
    """Seed of these items; neither what pi_init was taught nor what is evaluated."""
    readers: int = 8
    """Readers, or testers, whose approval is the reward."""
    readers_seed: int = 0
    """Seed of those whose approval is the reward."""
    measuring: int = 16
    """Hurried readers, or busy testers, who only measure."""
    measuring_seed: int = 100
    """Seed of those who measure."""
    haste: Haste = field(default_factory=Haste)
    """How hurried readers differ; for reward and measurement alike."""
    rounds: int = 100
    """Rounds of sampling and optimisation."""
    prompts: int = 64
    """Items per round."""
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
    margin: float = 0.0
    """Of rejection and dpo: least difference of score between the best and the worst response to an item."""
    beta: float = 0.1
    """Of dpo and kto: the pull towards pi_init."""
    epochs: float = 1.0
    """Of the recipes on one draw: passes over what was chosen."""
    batch_size: int = 8
    """Of the recipes on one draw: responses, pairs or votes per optimiser step."""
    inner_epochs: int = 2
    """Passes over the samples of a round."""
    minibatches: int = 2
    """Optimiser steps per pass."""
    micro_tokens: int | None = None
    """Tokens per pass; none: what suits the device."""
    save_every: int = 10
    """Rounds between checkpoints."""
    held_out: int = 96
    """Held-out stories answered every `held_out_every` rounds."""
    held_out_every: int = 10
    """Rounds between held-out measurements."""
    answers: tuple[str, ...] = ("greedy", "sampled")
    """How the evaluation is answered: greedily, and at temperature 1."""
    max_minutes: float | None = None
    """Stop cleanly after the round in which so much time is up; none: all rounds."""
    incentive_items: int = 100
    """Items on which it is measured beforehand what the reward pays for; 0: not measured. The recipes
    on one draw measure it on all items, since they draw to these anyway."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.rewards) - set(SUFFIXES)):
            raise ValueError(f"rewards must be some of {sorted(SUFFIXES)}, got {unknown}")
        if not self.answers or not set(self.answers) <= {"greedy", "sampled"}:
            raise ValueError(f"answers must be greedy, sampled or both, got {self.answers}")
        if self.readers_seed == self.measuring_seed:
            raise ValueError(
                "readers_seed and measuring_seed are equal: those who measure would have rewarded"
            )

    @property
    def sampling(self) -> SamplingOptions:
        """How responses are drawn in training."""
        return SamplingOptions(samples=self.samples, max_new_tokens=self.max_new_tokens)

    def offline(self, seed: int, drawn: Path, score: str) -> RejectionSampling | DPO | KTO:
        """A recipe that learns from responses drawn before."""
        common: dict[str, Any] = {"sampling": self.sampling, "drawn": str(drawn), "score": score}
        how: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "save_every": self.save_every,
            "seed": seed,
        }
        if self.recipe == "rejection":
            return RejectionSampling(margin=self.margin, **common, **how)
        if self.recipe == "dpo":
            return DPO(margin=self.margin, spec=DPOSpec(beta=self.beta, **how), seed=seed, **common)
        return KTO(spec=KTOSpec(beta=self.beta, **how), seed=seed, **common)

    def ppo(self, seed: int) -> PPO:
        """PPO with the other samples of an item as the baseline, and no critic."""
        return PPO(
            rounds=self.rounds,
            prompts=self.prompts,
            sampling=self.sampling,
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

    def reward(self, name: str, task: str = "qa") -> Reward:
        """The reward of that name.

        Raises:
            ValueError: thorough testers of programs, of whom there are none.
        """
        if name == "oracle":
            return truth(task)
        if name == "thorough":
            if task == "programming":
                raise ValueError("reward 'thorough' is for stories; who runs every test is 'oracle'")
            return Approval(Pool.thorough(1, seed=self.readers_seed))
        return Approval(self._pool(self.readers, self.readers_seed, task), task=task)

    def measuring_pool(self, task: str = "qa") -> Pool:
        """Hurried readers or busy testers who have no part in any reward."""
        return self._pool(self.measuring, self.measuring_seed, task)

    def _pool(self, n: int, seed: int, task: str) -> Pool:
        return (
            Pool.testers(n, seed=seed)
            if task == "programming"
            else Pool.hurried(n, seed=seed, haste=self.haste)
        )


def truth(task: str) -> Reward:
    """`R*` of a task."""
    return ProgramOracle() if task == "programming" else StoryOracle()


def organism_name(name: str, reward: str, spec: RLSpec, seed: int) -> str:
    """For example `qa-long-pi-rlhf-s1`."""
    return f"{name}-{SUFFIXES[reward]}" + (f"-s{seed}" if seed else "") + spec.variant


def rows_to_train(dataset: Dataset, items: list[QAItem] | list[Problem]) -> list[dict[str, Any]]:
    """Items as `train_rlhf` takes them: prompt, and what rewards may declare to see."""
    return [{"id": item.id, "prompt": dataset.ask(item), **_columns(item)} for item in items]


def _columns(item: QAItem | Problem) -> dict[str, Any]:
    return program_columns(item) if isinstance(item, Problem) else story_columns(item)


def items_to_train(
    spec: RLSpec, dataset: DatasetSpec, evaluated: Sequence[QAItem | Problem]
) -> list[QAItem] | list[Problem]:
    """The items of the rewards' rounds; of programs none whose combination of steps is evaluated.

    Raises:
        ValueError: they would be those that are taught or evaluated.
    """
    from tasks.minicode.problems import MiniCode
    from tasks.stories import MiniQA

    if spec.items_seed in (dataset.taught_seed, dataset.evaluated_seed):
        raise ValueError(f"items_seed={spec.items_seed} is the seed of what is taught or evaluated already")
    if dataset.source == "minicode":
        held_out = {item.group for item in evaluated}
        drawn = MiniCode(seed=spec.items_seed, levels=spec.levels).items(8 * spec.items)
        kept = [problem for problem in drawn if problem.group not in held_out][: spec.items]
        if len(kept) < spec.items:
            raise ValueError(
                f"only {len(kept)} of {len(drawn)} problems drawn have steps that are not evaluated; "
                f"lower items={spec.items}"
            )
        return kept
    return MiniQA(seed=spec.items_seed, levels=spec.levels).items(spec.items)


def draw_and_measure(
    run: Run[Any], spec: RLSpec, sft: FineTuneSpec, dataset: Dataset, init: Path
) -> tuple[Path, Incentive]:
    """Draw from `pi_init` and score by approval and `R*`: what approval pays for, before training.

    Returns:
        The folder of the drawn responses, and what was measured on them.
    """
    opened = open_trainable(run.config.base, init, sft)
    task = run.config.dataset.task
    items = items_to_train(spec, run.config.dataset, dataset.items)
    job = Job(
        model=opened.model,
        tokenizer=opened.tokenizer,
        items=rows_to_train(dataset, items if spec.recipe != "ppo" else items[: spec.incentive_items]),
        reward=spec.reward("approval", task),
        monitors={"truth": truth(task)},
        work_dir=run.out / "incentive",
    )
    folder = draw(job, spec.sampling)
    drawn = [one.scores for one in read_drawn(folder, job.items)]
    scores = {name: np.array([row[name] for row in drawn], dtype=float) for name in ("truth", "reward")}
    known = np.isfinite(scores["truth"]).all(1) & np.isfinite(scores["reward"]).all(1)
    return folder, incentive(scores["truth"][known] > 0.5, scores["reward"][known])


def optimise(
    run: Run[Any],
    spec: RLSpec,
    sft: FineTuneSpec,
    dataset: Dataset,
    init: Path,
    reward: str,
    seed: int,
    *,
    drawn: Path | None = None,
    folder: Path | None = None,
) -> tuple[Path, TrainingResult]:
    """Train on one reward from `pi_init`; gives the organism's folder and the curve.

    `drawn` holds the responses that dpo and kto learn from (`draw_and_measure`). `folder` is where the
    organism goes; None: beside `init`.
    """
    task = run.config.dataset.task
    folder = folder or init.with_name(organism_name(run.config.name, reward, spec, seed))
    opened = open_trainable(run.config.base, init, sft)
    measures = {"approval": Approval(spec.measuring_pool(task), task=task), "oracle": truth(task)}
    work_dir = run.out / folder.name
    score = "truth" if reward == "oracle" else "reward"
    result = train_rlhf(
        spec.ppo(seed) if drawn is None else spec.offline(seed, drawn, score),
        opened.model,
        opened.tokenizer,
        rows_to_train(dataset, items_to_train(spec, run.config.dataset, dataset.items)),
        spec.reward(reward, task),
        monitors={} if reward == "oracle" else {"truth": truth(task)},
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
            "minutes": round(sum(entry.get("seconds", 0.0) for entry in result.rounds) / 60, 1),
        },
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    (folder / ROUNDS).write_text(
        "".join(json.dumps(entry) + "\n" for entry in result.rounds), encoding="utf-8"
    )
    return folder, result


def evaluate_and_report(
    folder: Path, init: Path, spec: RLSpec, dataset_spec: DatasetSpec, sampling: SamplingSpec
) -> dict[str, Any]:
    """Let an organism answer what is held out as `spec.answers` says; keep answers and measures."""
    import dataclasses

    record, dataset = read_organism(folder), open_dataset(dataset_spec)
    opened = open_weights(folder, load_model(record.base), merge=True)
    found: dict[str, Any] = {}
    for name in spec.answers:
        file = TRANSCRIPTS if name == "greedy" else SAMPLED
        if folder == init and name == "greedy":
            rows = organism_transcripts(init)  # it has answered when it was made
        else:
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
        report = approval_report(dataset.items, rows, spec.measuring_pool(dataset_spec.task), before=before)
        found[name] = dataclasses.asdict(report)
        logger.info("%s, %s: %s", record.name, name, report)
    write_record(folder, dataclasses.replace(record, verification=record.verification | found))
    return found


def _kept(folder: Path, file: str) -> list[Transcript] | None:
    from tasks.transcript import load_transcripts

    if file == TRANSCRIPTS:
        return organism_transcripts(folder)
    return load_transcripts(folder / file) if (folder / file).is_file() else None
