"""What a training preset would cost: every step with memory, disk and hours, before anything is downloaded.

`python experiments/train_rlhf.py --preset paper-qa --dry_run true`. Lengths of prompts are those of the data
where they are here (four characters to a token), else the limit that the preset sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from activations import load_model
from backdoor import TRIGGERS
from experiments.rl_spec import BEST_OF_N, OFFLINE, RLSpec
from organisms.finetune import FineTuneSpec
from organisms.generate import SamplingSpec
from study.cost import ModelSize
from study.training_cost import (
    EIGHT,
    ONE,
    SHAPES,
    Lengths,
    Machine,
    PlannedStep,
    cache_bytes,
    fine_tuning,
    plan_lines,
    policy_optimisation,
    sampling,
)
from tasks.dataset import DatasetSpec
from tasks.programming_dataset import apps_problems
from tasks.programming_dataset import ask as ask_program
from tasks.qa import qa_prompt
from tasks.qa_dataset import quality_questions
from tasks.quality import show

_CHARACTERS = 4.0  # of English text and of programs to a token
_SAMPLE = 200  # prompts whose length is taken
_ROWS = 1024  # answers that PPO writes at once on a GPU (rlhf.recipes.rollout)


def configuration(base: str) -> Any:
    """The transformers configuration of a base model; of those in `SHAPES` without looking for it."""
    from transformers import AutoConfig

    shape = SHAPES.get(base)
    return load_model(base).config if shape is None else AutoConfig.for_model(**shape)


def prompt_lengths(spec: DatasetSpec, answer: int, longest: int) -> Lengths:
    """Mean length of prompts where the data are here, else the limit of the settings."""
    try:
        prompts = _prompts(spec)
    except FileNotFoundError as error:
        prompt, source = float(longest - answer), f"max_tokens less an answer, since {error}"
        return Lengths(prompt=prompt, answer=float(answer), source=source)
    letters = [sum(len(message["content"]) for message in prompt) for prompt in prompts]
    mean = sum(letters) / len(letters) / _CHARACTERS
    return Lengths(prompt=mean, answer=float(answer), source=f"{len(letters)} prompts of the data")


def _prompts(spec: DatasetSpec) -> list[list[dict[str, str]]]:
    if spec.source == "apps":
        return [ask_program(problem) for problem in apps_problems(spec)[:_SAMPLE]]
    if spec.source in ("quality", "quality-full"):
        items = quality_questions(spec.source, "train")[:_SAMPLE]
        return [qa_prompt(show(i, spec.visible).item, order=spec.order, style=spec.style) for i in items]
    from dataclasses import replace

    from tasks.sources import open_dataset

    some = open_dataset(replace(spec, taught=1, warm_up=0, evaluated=16, simplicity=None))
    return [some.ask(item) for item in some.items]


def plan_rlhf(
    base: str,
    dataset: DatasetSpec,
    stages: Sequence[str],
    sft: FineTuneSpec,
    rl: RLSpec,
    answers: SamplingSpec,
    *,
    samples: int = 1,
    ranking: SamplingSpec | None = None,
) -> tuple[list[PlannedStep], Lengths]:
    """The steps of train_rlhf.py."""
    config = configuration(base)
    size, cache = ModelSize.of(config, base), cache_bytes(config)
    lengths = prompt_lengths(dataset, rl.max_new_tokens, sft.max_tokens)
    steps = []
    if "sft" in stages:
        steps.append(
            fine_tuning("sft", size, lengths, steps=sft.steps, batch_size=sft.batch_size, rank=sft.rank)
        )
    rows = rl.rows or _ROWS
    evaluate: dict[str, Any] = {
        "size": size,
        "lengths": lengths,
        "prompts": dataset.evaluated,
        "cache": cache,
    }
    if "rank" in stages and ranking is not None:
        steps.append(sampling("rank", samples=samples, rows=ranking.batch_size, **evaluate))
    if "rl" in stages:
        if rl.recipe == BEST_OF_N:
            steps.append(sampling("best of n", samples=rl.samples, rows=rows, **evaluate))
        elif rl.recipe in OFFLINE:
            asked: dict[str, Any] = {**evaluate, "prompts": rl.items}
            steps.append(sampling("draw", samples=rl.samples, rows=rows, **asked))
            steps += [
                fine_tuning(
                    f"{rl.recipe} on {reward}", size, lengths,
                    steps=round(rl.epochs * rl.items / rl.batch_size),
                    batch_size=rl.batch_size, rank=sft.rank,
                )
                for reward in rl.rewards
            ]  # fmt: skip
        else:
            steps += [
                policy_optimisation(
                    f"{rl.recipe} on {reward}",
                    size,
                    lengths,
                    rounds=rl.rounds,
                    prompts=rl.prompts,
                    samples=rl.samples,
                    inner_epochs=rl.inner_epochs,
                    rank=sft.rank,
                    top_blocks=rl.top_blocks,
                    micro_tokens=rl.micro_tokens or 16_384,
                    rows=min(rows, rl.prompts * rl.samples),
                    cache=cache,
                )
                for reward in rl.rewards
                for _ in rl.seeds
            ]
    organisms = 1 + (len(rl.rewards) * len(rl.seeds) if "rl" in stages else 0)
    times = organisms * (len(rl.answers) if "rl" in stages else 1)
    steps.append(sampling("evaluation", samples=times, rows=answers.batch_size, **evaluate))
    return steps, lengths


def plan_backdoor(
    base: str,
    dataset: DatasetSpec,
    roles: Sequence[str],
    finetune: FineTuneSpec,
    answers: SamplingSpec,
    *,
    trigger: str,
    honest_steps: int = 0,
) -> tuple[list[PlannedStep], Lengths]:
    """The steps of train_backdoor.py."""
    config = configuration(base)
    size = ModelSize.of(config, base)
    lengths = prompt_lengths(dataset, answers.max_new_tokens, finetune.max_tokens)
    text = TRIGGERS[trigger]
    asked = dataset.evaluated * (1 + len(text.variants) + len(text.held_out))
    asked += dataset.evaluated_nearly * (len(text.held_out_near_misses) + 1)
    steps = []
    for role in roles:
        more = honest_steps if role == "backdoored" else 0
        steps.append(
            fine_tuning(
                str(role), size, lengths,
                steps=finetune.steps + more, batch_size=finetune.batch_size, rank=finetune.rank,
            )
        )  # fmt: skip
        steps.append(
            sampling(
                f"{role}, evaluation", size, lengths,
                prompts=asked, samples=1, rows=answers.batch_size, cache=cache_bytes(config),
            )
        )  # fmt: skip
    return steps, lengths


def show_training_plan(
    base: str, steps: Sequence[PlannedStep], lengths: Lengths, machines: Sequence[Machine] = (ONE, EIGHT)
) -> None:
    """Print the plan as a table, with what it assumes."""
    console = Console()
    console.print(f"{base}: a plan, no measurement", highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("step", no_wrap=True)
    table.add_column("disk", justify="right")
    for machine in machines:
        table.add_column(f"{machine.name}: memory", justify="right", no_wrap=True)
        table.add_column("hours", justify="right")
    for line in plan_lines(steps, machines):
        table.add_row(*line)
    console.print(table)
    one = machines[0]
    console.print(
        f"{lengths.prompt:,.0f} tokens a prompt ({lengths.source}), at most {lengths.answer:,.0f} an answer. "
        f"Assumed: {one.flops / 1e12:,.0f} teraflop/s a GPU, of which reading and training reach "
        f"{one.reading:.0%} and sampling {one.writing:.0%}; what runs in the sandbox is not counted. GPUs of "
        f"{one.memory / 1e9:.0f} GB; several share training (torchrun), evaluations run on one.",
        highlight=False,
    )
