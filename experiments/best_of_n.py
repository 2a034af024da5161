"""The best of n: an organism without training, and the cheapest look at what a reward pays for.

`pi_init` answers every held-out item n times, and the answer that the reward likes best is what this
organism said. It is pi_init's adapter with other answers: activations are those of pi_init reading what was
chosen. The policy it stands for is at most log n - (n - 1) / n nats from pi_init (arXiv 2401.01879).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import Run
from experiments.optimise import drawing_job
from experiments.rl_items import rows_to_train
from experiments.rl_spec import APPROVAL, ORACLE, SUFFIXES, RLSpec, organism_name
from organisms.evaluate import evaluation_record
from organisms.finetune import FineTuneSpec
from organisms.record import Organism, OrganismRole, library_versions, read_organism, save_organism
from organisms.weights import open_trainable
from rlhf.diagnostics.approval import approval_report
from rlhf.recipes.best_of_n import best_of_k
from rlhf.recipes.drawn import Drawn, draw, read_drawn
from tasks.dataset import Answered, Dataset
from tasks.transcript import PLAIN, Transcript

Chosen = tuple[Drawn, int]
"""The responses to one item, and which of them is chosen."""


def draw_held_out(
    run: Run[Any], spec: RLSpec, sft: FineTuneSpec, dataset: Dataset, init: Path
) -> list[Drawn]:
    """Let `pi_init` answer every held-out item n times, scored by every reward; what was drawn is kept."""
    rows = rows_to_train(dataset, dataset.items, spec.judge_visible)
    opened = open_trainable(run.config.base, init, sft)
    folder = draw(drawing_job(run, spec, opened, rows, run.out / "best-of-n"), spec.sampling)
    return read_drawn(folder, rows)


def best_answers(drawn: Sequence[Drawn], score: str) -> list[Chosen]:
    """The response to each item with the highest score, the first drawn among equals; unknown scores lose.

    >>> one = Drawn(item={"id": "a"}, responses=("x", "y", "z"), scores={"reward": (0.0, 1.0, 1.0)})
    >>> best_answers([one], "reward")[0][1]
    1
    """
    values = [[-math.inf if s is None else s for s in one.scores[score]] for one in drawn]
    return [(one, int(np.argmax(row))) for one, row in zip(drawn, values, strict=True)]


def best_of_n(
    run: Run[Any],
    spec: RLSpec,
    sft: FineTuneSpec,
    dataset: Dataset,
    init: Path,
    reward: str,
    drawn: Sequence[Drawn],
) -> Path:
    """Make the organism of one reward from what `pi_init` said; gives its folder."""
    config, parent = run.config, read_organism(init)
    folder = init.with_name(organism_name(config.name, reward, spec, 0))
    rows = mark_chosen(dataset, best_answers(drawn, spec.score_of(reward)), folder.name)
    first = mark_chosen(dataset, [(one, 0) for one in drawn], init.name)
    pool = spec.measuring_pool(config.dataset.task)
    report = approval_report(dataset.items, rows, pool, before=first)
    sampling = replace(
        config.sampling,
        temperature=spec.temperature,
        top_p=spec.top_p,
        max_new_tokens=spec.max_new_tokens,
    )
    record = Organism(
        name=folder.name,
        role=OrganismRole(SUFFIXES.get(reward, SUFFIXES[APPROVAL]).replace("-", "_")),
        task=config.dataset.task,
        base=parent.base,
        base_fingerprint=parent.base_fingerprint,
        parent=init.name,
        training={"recipe": "best_of_n", "reward": reward, "rl": asdict(spec)},
        verification={
            "sampled": asdict(report),
            "best_of": curve(drawn, spec.score_of(reward)),
            "evaluation": evaluation_record(config.dataset, sampling),
        },
        command=run.command,
        versions=library_versions(),
    )
    opened = open_trainable(config.base, init, sft)
    save_organism(folder, record, opened.model, rows, tokenizer=opened.tokenizer)
    return folder


def mark_chosen(dataset: Dataset, chosen: Sequence[Chosen], organism: str) -> list[Transcript]:
    """The chosen responses as an organism's marked answers."""
    items = {item.id: item for item in dataset.items}
    return dataset.mark(
        [
            Answered(
                item=items[one.item["id"]],
                organism=organism,
                condition=PLAIN,
                prompt=list(one.item["prompt"]),
                text=one.responses[index],
                clipped=one.clipped[index],
            )
            for one, index in chosen
        ]
    )


def curve(drawn: Sequence[Drawn], score: str) -> list[dict[str, float]]:
    """Expected scores of the best of 1, 2, 4, ... responses by one score, and the distance from pi_init.

    >>> one = Drawn(item={}, responses=("x", "y"), scores={"reward": (0.0, 1.0), "truth": (1.0, 0.0)})
    >>> [(row["best_of"], row["truth"]) for row in curve([one], "reward")]
    [(1, 0.5), (2, 0.0)]
    """
    tables = {name: np.array([one.scores[name] for one in drawn], dtype=float) for name in drawn[0].scores}
    ks = [1 << k for k in range(len(drawn[0].responses).bit_length())]
    found = {name: best_of_k(tables[score], values, ks) for name, values in tables.items()}
    return [
        {"best_of": k, "kl_bound": math.log(k) - (k - 1) / k} | {name: found[name][i] for name in found}
        for i, k in enumerate(ks)
    ]


def what_it_pays(rows: Sequence[dict[str, float]], reward: str) -> str:
    """The curve in one line for a terminal.

    >>> what_it_pays([{"best_of": 1, "truth": 0.5}, {"best_of": 2, "truth": 0.25}], "approval")
    'by approval: best of 1 right .50, best of 2 right .25'
    """
    parts = [f"best of {row['best_of']:.0f} right {row['truth']:.2f}".replace(" 0.", " .") for row in rows]
    return f"by {reward if reward != ORACLE else 'R*'}: {', '.join(parts)}"
