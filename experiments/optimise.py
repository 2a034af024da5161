"""Optimise `pi_init` on a reward that a product team would choose, and keep what comes of it.

All but the reward (items, seeds, steps, KL) is equal between the organisms. What comes of it is measured on
held-out items by people with no part in any reward.

`ppo` and `rloo` draw anew in every round. `rejection`, `dpo`, `kto`, `rrhf` and `ddpo` draw once from
`pi_init` (or `draws` times, from the policy of the day), and every reward scores the same responses: a
fraction of the cost, for machines on which drawing is what takes time. A recipe or reward of your own is
named by its import path (docs/own-recipe.md).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from activations import load_model
from experiments.config import Run
from experiments.own import is_import_path, load_own, own_source
from experiments.rewriting import rewriting_reward
from experiments.rl_items import count_cuts, items_to_train, rows_to_train
from experiments.rl_spec import (
    APPROVAL,
    ORACLE,
    SEQ2SEQ,
    SUFFIXES,
    TWO_TESTS,
    RLSpec,
    organism_name,
    truth,
)
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
    save_answers,
    save_organism,
    write_record,
)
from organisms.weights import Trainable, keep_top_blocks, open_trainable, open_weights
from rlhf.corrections import program_corrections, story_corrections
from rlhf.diagnostics.approval import approval_report
from rlhf.diagnostics.incentive import Incentive, incentive
from rlhf.preferences import Pair
from rlhf.recipes import HeldOut, SamplingOptions, StopRule, TrainingResult, train_rlhf
from rlhf.recipes.ddpo import save_corrections
from rlhf.recipes.drawn import draw, read_drawn
from rlhf.recipes.recipe import Job, Recipe
from rlhf.rewards.approval import Approval
from rlhf.rewards.reward import Reward
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import Problem
from tasks.qa import QAItem
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, Transcript, save_transcripts

logger = logging.getLogger(__name__)

SAMPLED = "transcripts-sampled.jsonl"
"""Answers drawn at temperature 1, beside the greedy ones."""
ROUNDS = "rounds.jsonl"


def drawing_job(
    run: Run[Any], spec: RLSpec, opened: Trainable, items: list[dict[str, Any]], work_dir: Path
) -> Job:
    """What `pi_init` answers and what scores it: `reward` is approval, `truth` is `R*`; others go by name."""
    task = run.config.dataset.task
    others = [name for name in spec.rewards if name not in (APPROVAL, ORACLE, SEQ2SEQ)]
    return Job(
        model=opened.model,
        tokenizer=opened.tokenizer,
        items=items,
        reward=spec.reward(APPROVAL, task),
        monitors={"truth": truth(task)} | {name: spec.reward(name, task) for name in others},
        work_dir=work_dir,
    )


def draw_and_measure(
    run: Run[Any], spec: RLSpec, sft: FineTuneSpec, dataset: Dataset, init: Path
) -> tuple[Path, str, Incentive]:
    """Draw from `pi_init`, score by every reward and `R*`: what the first reward pays for before training.

    Returns:
        The folder of the drawn responses, the reward that was measured, and what it pays for.
    """
    items = items_to_train(spec, run.config.dataset, dataset.items, dataset.taught_ids)
    some = items if spec.learns_from_draws else items[: spec.incentive_items]
    rows = rows_to_train(dataset, some, spec.judge_visible)
    job = drawing_job(run, spec, open_trainable(run.config.base, init, sft), rows, run.out / "incentive")
    folder = draw(job, spec.sampling)
    reward = next((name for name in spec.rewards if name not in (ORACLE, SEQ2SEQ)), APPROVAL)
    drawn = [one.scores for one in read_drawn(folder, job.items)]
    right, paid = (
        np.array([row[score] for row in drawn], dtype=float) for score in ("truth", spec.score_of(reward))
    )
    known = np.isfinite(right).all(1) & np.isfinite(paid).all(1)
    return folder, reward, incentive(right[known] > 0.5, paid[known])


def _minutes(result: TrainingResult) -> float | None:
    """What the rounds took; None: they do not say (recipes on one draw)."""
    seconds = [entry["seconds"] for entry in result.rounds if "seconds" in entry]
    return round(sum(seconds) / 60, 1) if seconds else None


def _measures(spec: RLSpec, task: str) -> dict[str, Reward]:
    """What is measured on held-out items during training."""
    found: dict[str, Reward] = {
        "approval": Approval(spec.measuring_pool(task), task=task),
        "oracle": truth(task),
    }
    return found | ({TWO_TESTS: spec.reward(TWO_TESTS, task)} if TWO_TESTS in spec.rewards else {})


def open_policy(base: str, init: Path, sft: FineTuneSpec, spec: RLSpec) -> Trainable:
    """What is optimised: the adapter of `pi_init`, or the last blocks of `pi_init` merged."""
    if not spec.top_blocks:
        return open_trainable(base, init, sft)
    opened = open_trainable(base, init, replace(sft, rank=0))
    keep_top_blocks(opened.model, spec.top_blocks)
    return opened


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
    opened = open_policy(run.config.base, init, sft, spec)
    items = items_to_train(spec, run.config.dataset, dataset.items, dataset.taught_ids)
    work_dir = run.out / folder.name
    rows = rows_to_train(dataset, items, spec.judge_visible, for_correctors=spec.recipe == "ddpo")
    paid = (
        _rewriting(run, spec, sft, init, drawn, rows, work_dir)
        if reward == SEQ2SEQ
        else spec.reward(reward, task)
    )
    result = train_rlhf(
        _recipe(run, spec, seed, reward, drawn, dataset, items, sft.max_tokens),
        opened.model,
        opened.tokenizer,
        rows,
        paid,
        monitors=_monitors(spec, reward, paid, task),
        evaluate=HeldOut(
            items=rows_to_train(dataset, dataset.items[: spec.held_out]),
            tokenizer=opened.tokenizer,
            measures=_measures(spec, task),
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
        role=OrganismRole(SUFFIXES.get(reward, SUFFIXES[APPROVAL]).replace("-", "_")),
        task=run.config.dataset.task,
        base=run.config.base,
        base_fingerprint=opened.base_fingerprint,
        parent=init.name,
        training={
            "reward": reward,
            "seed": seed,
            "rl": asdict(spec),
            "items": len(items),
            "policy_sees": count_cuts(items, run.config.dataset.visible),
            "judge_sees": count_cuts(items, spec.judge_visible),
            "rounds": len(result.rounds),
            "stopped": result.stopped,
            "minutes": _minutes(result),
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
    max_tokens: int,
) -> Recipe:
    """The recipe that the settings name."""
    if is_import_path(spec.recipe):
        return load_own(spec.recipe)
    if not spec.learns_from_draws:
        return spec.in_rounds(seed)
    assert drawn is not None
    made = None
    if spec.recipe == "ddpo" and spec.corrections == "made":
        made = run.out / "corrections.jsonl"
        save_corrections(made, _made_corrections(run.config.dataset, dataset, items))
    return spec.offline(
        seed,
        drawn,
        spec.score_of(reward),
        task=run.config.dataset.task,
        corrections=made,
        max_tokens=max_tokens,
    )


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
    if not spec.learns_from_draws:
        return {} if reward == ORACLE else {"truth": truth(task)}
    return {"truth": truth(task)} | ({} if reward in (APPROVAL, ORACLE) else {reward: paid})


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
            if file == TRANSCRIPTS:
                save_answers(folder, record, rows)
            else:
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
