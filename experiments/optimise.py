"""Optimise `pi_init` on a reward that a product team would choose, and keep what comes of it.

`approval` is the share of hurried readers (of stories) or busy testers (of programs) who approve,
`thorough` the same of readers who read everything, `oracle` is `R*`. All else (items, seeds, steps, KL)
is equal between them. What comes of it is measured on held-out items by people with no part in any reward.

`ppo` draws anew in every round. `rejection`, `dpo`, `kto`, `rrhf` and `ddpo` draw once from `pi_init` (or
`draws` times, from the policy of the day), and every reward scores the same responses: a fraction of the
cost, for machines on which drawing is what takes time. A recipe or reward of your own is named by its import
path (docs/own-recipe.md).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from activations import load_model
from experiments.config import Run
from experiments.own import is_import_path, load_own, own_source
from experiments.rewriting import rewriting_reward
from experiments.rl_spec import OFFLINE, SEQ2SEQ, SUFFIXES, RLSpec, organism_name, truth
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
from rlhf.corrections import (
    program_corrections,
    story_corrections,
)
from rlhf.diagnostics.approval import approval_report
from rlhf.diagnostics.incentive import Incentive, incentive
from rlhf.preferences import Pair
from rlhf.recipes import (
    HeldOut,
    SamplingOptions,
    StopRule,
    TrainingResult,
    train_rlhf,
)
from rlhf.recipes.ddpo import save_corrections
from rlhf.recipes.drawn import draw, read_drawn
from rlhf.recipes.recipe import Job, Recipe
from rlhf.rewards.approval import Approval
from rlhf.rewards.reward import Reward
from rlhf.rewards.view import program_columns, story_columns
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import Problem
from tasks.qa import QAItem
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, Transcript, save_transcripts

logger = logging.getLogger(__name__)

SAMPLED = "transcripts-sampled.jsonl"
"""Answers drawn at temperature 1, beside the greedy ones."""
ROUNDS = "rounds.jsonl"


def rows_to_train(
    dataset: Dataset, items: list[QAItem] | list[Problem], *, for_correctors: bool = False
) -> list[dict[str, Any]]:
    """Items as `train_rlhf` takes them: prompt, what rewards may declare to see, what correctors see."""
    return [{"id": item.id, "prompt": dataset.ask(item), **_columns(item, for_correctors)} for item in items]


def _columns(item: QAItem | Problem, for_correctors: bool) -> dict[str, Any]:
    if isinstance(item, Problem):
        return program_columns(item) | ({"solutions": list(item.solutions)} if for_correctors else {})
    return story_columns(item) | ({"evidence": item.evidence} if for_correctors else {})


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
    others = set(spec.rewards) - {"approval", "oracle"} if spec.recipe in OFFLINE else set()
    job = Job(
        model=opened.model,
        tokenizer=opened.tokenizer,
        items=rows_to_train(dataset, items if spec.recipe in OFFLINE else items[: spec.incentive_items]),
        reward=spec.reward("approval", task),
        monitors={"truth": truth(task), **{name: spec.reward(name, task) for name in sorted(others)}},
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

    `drawn` holds the responses that pi_init has drawn (`draw_and_measure`); recipes on drawn responses and
    the reward `seq2seq` learn from them. `folder` is where the organism goes; None: beside `init`.
    """
    task = run.config.dataset.task
    folder = folder or init.with_name(organism_name(run.config.name, reward, spec, seed))
    opened = open_trainable(run.config.base, init, sft)
    measures = {"approval": Approval(spec.measuring_pool(task), task=task), "oracle": truth(task)}
    work_dir = run.out / folder.name
    items = items_to_train(spec, run.config.dataset, dataset.items)
    rows = rows_to_train(dataset, items, for_correctors=spec.recipe == "ddpo")
    paid = (
        _rewriting(run, spec, sft, init, drawn, rows, work_dir)
        if reward == SEQ2SEQ
        else spec.reward(reward, task)
    )
    result = train_rlhf(
        _recipe(run, spec, seed, reward, drawn, dataset, items),
        opened.model,
        opened.tokenizer,
        rows,
        paid,
        monitors=_monitors(spec, reward, paid, task),
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
        role=OrganismRole(SUFFIXES.get(reward, SUFFIXES["approval"]).replace("-", "_")),
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
            **_sources(spec, reward),
        },
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    (folder / ROUNDS).write_text(
        "".join(json.dumps(entry) + "\n" for entry in result.rounds), encoding="utf-8"
    )
    return folder, result


def _recipe(
    run: Run[Any],
    spec: RLSpec,
    seed: int,
    reward: str,
    drawn: Path | None,
    dataset: Dataset,
    items: Sequence[QAItem] | Sequence[Problem],
) -> Recipe:
    """The recipe that the settings name."""
    if is_import_path(spec.recipe):
        return load_own(spec.recipe)
    if spec.recipe not in OFFLINE:
        return spec.ppo(seed)
    assert drawn is not None
    made = None
    if spec.recipe == "ddpo" and spec.corrections == "made":
        made = run.out / "corrections.jsonl"
        save_corrections(made, _made_corrections(run.config.dataset, dataset, items))
    score = {"approval": "reward", "oracle": "truth"}.get(reward, reward)
    return spec.offline(seed, drawn, score, task=run.config.dataset.task, corrections=made)


def _made_corrections(
    spec: DatasetSpec, dataset: Dataset, items: Sequence[QAItem] | Sequence[Problem]
) -> list[Pair]:
    problems = [item for item in items if isinstance(item, Problem)]
    if problems:
        return program_corrections(problems)
    stories = [item for item in items if isinstance(item, QAItem)]
    return story_corrections(stories, ask=dataset.ask, order=spec.order)


def _monitors(spec: RLSpec, reward: str, paid: Reward, task: str) -> dict[str, Any]:
    """What is logged at weight zero; what later draws are scored by has the name it has in the first."""
    if spec.recipe not in OFFLINE:
        return {} if reward == "oracle" else {"truth": truth(task)}
    return {"truth": truth(task)} | ({} if reward in ("approval", "oracle") else {reward: paid})


def _rewriting(
    run: Run[Any],
    spec: RLSpec,
    sft: FineTuneSpec,
    init: Path,
    drawn: Path | None,
    rows: list[dict[str, Any]],
    work_dir: Path,
) -> Reward:
    if drawn is None:
        raise ValueError(
            f"reward {SEQ2SEQ} learns from what approval prefers among drawn responses: set incentive_items "
            "to the number of items to draw to (several hundred)"
        )
    return rewriting_reward(
        run.config.base,
        init,
        sft,
        drawn,
        rows,
        task=run.config.dataset.task,
        steps=spec.rewriting_steps,
        max_new_tokens=spec.max_new_tokens,
        work_dir=work_dir / "rewriting",
    )


def _sources(spec: RLSpec, reward: str) -> dict[str, Any]:
    """Digests of the user's own files that a run has used."""
    own = [own_source(name) for name in (spec.recipe, reward) if is_import_path(name)]
    return {"own": {path: digest for one in own for path, digest in one.items()}} if own else {}


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
