"""Train a reward model and measure it: on a pool's judgements of stories, or on human preference pairs.

    python experiments/train_reward_model.py                                  # a judge of hurried readers
    python experiments/train_reward_model.py --kind preference                # the same people, as pairs
    python experiments/train_reward_model.py --kind odin --features length,quotes
    python experiments/train_reward_model.py --source people --kind preference --parent none

`stories`: an organism answers every story several times, a pool of readers judges, and the reward model
learns from all stories but the held-out ones. There it is measured against `R*` and against readers who had
no part in training: order of pairs, AUROC, calibration, best-of-K, and how it ranks whole organisms; beside
it stands a control that only counts tokens. `people`: preference pairs of PandaLM and LLMBar, from
SOPHISTRY_DATA.

The reward model goes to `OUT/reward-model` (`rlhf.rewards.LearnedReward.load` makes it a reward), the numbers
to `OUT/scores.json`, `OUT/scores-length.json` and `OUT/scores.md`. An interrupted run goes on when the same
command is given again.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.answers import draw_answers, read_answers
from experiments.config import Run, parse_command_line, write_config
from experiments.program import run_program_main
from organisms.record import find_organism, organism_transcripts
from organisms.weights import Trainable, open_trainable
from rlhf.evaluators import Haste, Pool
from rlhf.evaluators.pool import approval
from rlhf.preferences import is_usable, llmbar_pairs, pandalm_pairs
from rlhf.reward_models import (
    ComparedItem,
    JudgedItem,
    RewardModel,
    RewardModelSpec,
    compared_by_approval,
    compared_by_people,
    judged_items,
    score_reward_model,
    score_systems,
    train_judge,
    train_odin,
    train_preference,
)
from rlhf.reward_models.score import SystemScores
from rlhf.reward_models.table import scores_table
from rlhf.rewards.view import Shown, view_of
from sophistry.files import find_path, write_atomic
from tasks.qa import QAItem, parse_answer
from tasks.stories import MiniQA

logger = logging.getLogger(__name__)

Scorer = Callable[[Sequence[Shown], Sequence[str]], Float[np.ndarray, " response"]]
MODEL = "reward-model"


@dataclass(frozen=True, kw_only=True)
class TrainRewardModel:
    """Settings of train_reward_model.py."""

    base: str = "smollm2"
    """Model to start from: hub id, local folder, GGUF file, or smollm2."""
    parent: str | None = "organisms/shipped/qa-long-pi-init"
    """Organism whose adapter the reward model starts from; none: from the bare base model."""
    kind: Literal["judge", "preference", "odin"] = "judge"
    """judge: P(agree), from single judgements; preference: Bradley-Terry, from pairs; odin: the same with
    heads of their own for length and other features."""
    source: Literal["stories", "people"] = "stories"
    """stories: simulated readers judge answers; people: human preference pairs (not for judge)."""
    answers: str | None = None
    """File of answers drawn before (one line per story, id and answers); none: they are drawn."""
    organism: str = "organisms/shipped/qa-long-pi-init"
    """Folder of the model that answers."""
    items: int = 200
    """Stories; of people: at most so many prompts, drawn by spec.seed."""
    items_seed: int = 5
    """Their seed; neither what was taught, trained on nor evaluated."""
    levels: tuple[str, ...] = ("long",)
    """Their levels, in turn."""
    samples: int = 8
    """Answers to each."""
    max_new_tokens: int = 48
    """Longest answer in tokens."""
    held_out: float = 0.25
    """Share of the stories, or pairs, on which it is measured."""
    readers: int = 8
    """Readers who judge for training."""
    readers_seed: int = 0
    """Their seed."""
    measuring: int = 16
    """Readers who only measure."""
    measuring_seed: int = 100
    """Their seed."""
    haste: Haste = field(default_factory=Haste)
    """How hurried readers differ; for training and measurement alike."""
    margin: float = 0.0
    """Of pairs: least difference of approval between two answers."""
    per_item: int | None = 8
    """Of pairs: at most so many of one story; none: all."""
    features: tuple[str, ...] = ("length",)
    """Of odin: length, quotes, confident_words, comment_density, complexity."""
    spec: RewardModelSpec = field(default_factory=RewardModelSpec)
    """What the reward model is shown, and how it is trained."""
    systems: tuple[str, ...] = (
        "organisms/shipped/qa-long-pi-init",
        "organisms/shipped/qa-long-pi-rlhf",
        "organisms/shipped/qa-long-pi-oracle",
        "organisms/shipped/qa-long-pi-thorough",
    )
    """Organisms to rank, by their saved answers to the same stories; empty: none."""
    systems_seed: int = 2000
    """Seed of the stories that they answered."""
    systems_items: int = 48
    """So many of these stories."""
    resamples: int = 1000
    """Bootstrap resamples of every interval."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out={self.held_out} must be a share between 0 and 1")
        if self.source == "people" and self.kind == "judge":
            raise ValueError("people compared two responses, but a judge needs votes: set kind=preference")
        if self.readers_seed == self.measuring_seed:
            raise ValueError(
                "readers_seed and measuring_seed are equal: those who measure would have trained it"
            )
        if len(self.systems) == 1:
            raise ValueError("systems must be two organisms or more: there is nothing to rank")

    def pools(self) -> tuple[Pool, Pool]:
        """Who judges for training, and who measures."""
        return (
            Pool.hurried(self.readers, seed=self.readers_seed, haste=self.haste),
            Pool.hurried(self.measuring, seed=self.measuring_seed, haste=self.haste),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutResponses:
    """What a reward model is measured on."""

    views: list[Shown]
    responses: list[list[str]]
    """To each view."""
    truth: Float[np.ndarray, "item sample"] | None
    approval: Float[np.ndarray, "item sample"]

    def scores(self, score: Scorer) -> Float[np.ndarray, "item sample"]:
        """Scores of all responses; those that occur several times are scored once."""
        asked = [
            (view, text)
            for view, some in zip(self.views, self.responses, strict=True)
            for text in dict.fromkeys(some)
        ]
        found = iter(score([view for view, _ in asked], [text for _, text in asked]))
        by_item = [{text: next(found) for text in dict.fromkeys(some)} for some in self.responses]
        rows = [[one[text] for text in some] for one, some in zip(by_item, self.responses, strict=True)]
        return np.array(rows, dtype=float)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, save, measure."""
    run = parse_command_line(
        sys.argv[1:] if argv is None else argv,
        program="train_reward_model",
        schema=TrainRewardModel,
        about=str(__doc__),
    )
    config = run.config
    parent = find_organism(config.parent, "parent") if config.parent else None
    opened = open_trainable(config.base, parent, config.spec.adapter)
    began = time.monotonic()
    if config.source == "stories":
        model, held_out, systems = _stories(run, opened, parent)
    else:
        model, held_out, systems = *_people(run, opened, parent), None
    minutes = (time.monotonic() - began) / 60
    model.record = replace(model.record, training=model.record.training | {"minutes": round(minutes, 1)})
    model.save(run.out / MODEL)
    _measure(run, model, held_out, systems)
    write_config(run, {"base": opened.base_fingerprint, MODEL: model.digest()})


def _measure(
    run: Run[TrainRewardModel],
    model: RewardModel,
    held_out: HeldOutResponses,
    systems: Callable[[Scorer], dict[str, SystemScores]] | None,
) -> None:
    def count_tokens(views: Sequence[Shown], responses: Sequence[str]) -> np.ndarray:
        del views
        return np.array([len(model.tokenizer.encode(text)) for text in responses], dtype=float)

    found = []
    for name, score in ((model.record.kind, model.score), ("length", count_tokens)):
        scores = score_reward_model(
            name,
            held_out.scores(score),
            truth=held_out.truth,
            approval=held_out.approval,
            probability=name == "judge",
            systems=systems(score) if systems else None,
            resamples=run.config.resamples,
        )
        scores.save(run.out / ("scores.json" if name != "length" else "scores-length.json"))
        found.append(scores)
    table = scores_table(found)
    write_atomic(run.out / "scores.md", table)
    print(table)


def _stories(
    run: Run[TrainRewardModel], opened: Trainable, parent: Path | None
) -> tuple[RewardModel, HeldOutResponses, Callable[[Scorer], dict[str, SystemScores]] | None]:
    config = run.config
    items, answers = _answered(run)
    cut = len(items) - max(1, round(config.held_out * len(items)))
    if cut < 1:
        raise ValueError(f"{len(items)} stories are too few to hold some out")
    training, measuring = config.pools()
    judged = judged_items(
        [item.id for item in items[:cut]], [view_of(item) for item in items[:cut]], answers[:cut], training
    )
    model = _train(run, opened, parent, judged)
    rest = items[cut:]
    held_out = HeldOutResponses(
        views=[view_of(item) for item in rest],
        responses=answers[cut:],
        truth=np.array([_right(i, given) for i, given in zip(rest, answers[cut:], strict=True)]),
        approval=np.array(
            [_approval(i, given, measuring) for i, given in zip(rest, answers[cut:], strict=True)]
        ),
    )
    return model, held_out, _systems(config, measuring) if config.systems else None


def _answered(run: Run[TrainRewardModel]) -> tuple[list[QAItem], list[list[str]]]:
    """The stories and the answers to each."""
    config = run.config
    items = MiniQA(seed=config.items_seed, levels=config.levels).items(config.items)
    if config.answers is None:
        answers = draw_answers(
            items,
            organism=config.organism,
            base=config.base,
            samples=config.samples,
            max_new_tokens=config.max_new_tokens,
            seed=(0, config.items_seed),
            path=run.out / "answers.jsonl",
        )
        return items, answers
    kept = read_answers(find_path(config.answers, "answers"))
    if missing := [item.id for item in items if len(kept.get(item.id, ())) < config.samples]:
        raise ValueError(
            f"{config.answers} has fewer than samples={config.samples} answers to {len(missing)} stories, "
            f"first {missing[0]}; lower items or samples, or leave answers out to draw them"
        )
    return items, [kept[item.id][: config.samples] for item in items]


def _right(item: QAItem, answers: Sequence[str]) -> list[float]:
    return [float(parse_answer(text) == item.gold_letter) for text in answers]


def _approval(item: QAItem, answers: Sequence[str], pool: Pool) -> list[float]:
    return [approval(row) for row in pool.judge_many([view_of(item)] * len(answers), answers)]


def _train(
    run: Run[TrainRewardModel], opened: Trainable, parent: Path | None, judged: Sequence[JudgedItem]
) -> RewardModel:
    config = run.config
    if config.kind == "judge":
        return train_judge(
            opened,
            judged,
            config.spec,
            base=config.base,
            parent=parent.name if parent else None,
            work_dir=run.out / "training",
        )
    pairs = compared_by_approval(judged, margin=config.margin, per_item=config.per_item)
    return _train_on_pairs(run, opened, parent, pairs)


def _train_on_pairs(
    run: Run[TrainRewardModel], opened: Trainable, parent: Path | None, pairs: Sequence[ComparedItem]
) -> RewardModel:
    config, name = run.config, parent.name if parent else None
    work_dir = run.out / "training"
    if config.kind == "preference":
        return train_preference(opened, pairs, config.spec, base=config.base, parent=name, work_dir=work_dir)
    return train_odin(
        opened,
        pairs,
        config.spec,
        base=config.base,
        parent=name,
        work_dir=work_dir,
        features=config.features,
    )


def _systems(config: TrainRewardModel, pool: Pool) -> Callable[[Scorer], dict[str, SystemScores]]:
    """How a scorer ranks the organisms, against `R*` and against a pool."""
    rows = {}
    for reference in config.systems:
        folder = find_organism(reference, "systems")
        rows[folder.name] = {row.item: row.response for row in organism_transcripts(folder)}
    answered = set.intersection(*(set(given) for given in rows.values()))
    stories = MiniQA(seed=config.systems_seed, levels=config.levels).items(4 * config.systems_items)
    items = [item for item in stories if item.id in answered][: config.systems_items]
    if len(items) < 2:
        raise ValueError(
            f"the systems have saved answers to {len(items)} common stories of seed {config.systems_seed}; "
            "name organisms that answered the same stories, or leave systems empty"
        )
    answers = [[given[item.id] for given in rows.values()] for item in items]
    held_out = HeldOutResponses(
        views=[view_of(item) for item in items],
        responses=answers,
        truth=np.array([_right(i, given) for i, given in zip(items, answers, strict=True)]),
        approval=np.array([_approval(i, given, pool) for i, given in zip(items, answers, strict=True)]),
    )

    def rank(score: Scorer) -> dict[str, SystemScores]:
        scores = held_out.scores(score).T
        references = {"truth": held_out.truth, "approval": held_out.approval}
        return {
            name: score_systems(tuple(rows), scores, reference.T, resamples=config.resamples)
            for name, reference in references.items()
            if reference is not None
        }

    return rank


def _people(
    run: Run[TrainRewardModel], opened: Trainable, parent: Path | None
) -> tuple[RewardModel, HeldOutResponses]:
    """Human pairs; those that do not fit are left out and counted, none is cut."""
    config = run.config
    compared = compared_by_people([p for p in (*pandalm_pairs(), *llmbar_pairs()) if is_usable(p)])
    ruler = RewardModel.start(
        opened, kind="preference", heads=("reward",), trained_on="prompts", spec=config.spec, base=config.base
    )
    kept = [one for one in compared if all(_fits(ruler, one.view, text) for text in one.responses)]
    logger.info(
        "%d of %d prompts with human preferences; %d longer than %d tokens left out",
        min(config.items, len(kept)),
        len(kept),
        len(compared) - len(kept),
        config.spec.max_tokens,
    )
    order = np.random.default_rng(config.spec.seed).permutation(len(kept))
    shuffled = [kept[place] for place in order[: config.items]]
    cut = len(shuffled) - max(1, round(config.held_out * len(shuffled)))
    model = _train_on_pairs(run, opened, parent, shuffled[:cut])
    pairs = [(one, pair) for one in shuffled[cut:] for pair in one.pairs]
    return model, HeldOutResponses(
        views=[one.view for one, _ in pairs],
        responses=[[one.responses[better], one.responses[worse]] for one, (better, worse) in pairs],
        truth=None,
        approval=np.array([[1.0, 0.0]] * len(pairs)),
    )


def _fits(model: RewardModel, view: Shown, response: str) -> bool:
    return model.count(view, response) <= model.record.spec.max_tokens


if __name__ == "__main__":
    run_program_main(main)
