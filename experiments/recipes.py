"""Which recipe breeds sophistry? One cell per recipe, reward and seed, compared on equal terms.

Every cell is an organism: one that exists (`organism`), or one that is trained here from `pi_init` with
`experiments/train_rlhf.py`'s settings (`rl`, changed by the cell's `settings`). Between `pi_init` and
the organism models are made by weight interpolation; each answers the same held-out items at temperature 1
and is judged by people with no part in any reward. Cells are compared where they have the same KL to
`pi_init`, and where they earn the same training reward, never at the same number of steps. The frozen probe
of the source organism is then read on every cell's answers, with its ceiling and the shared concepts.

A killed study goes on where it stopped: every curve and every organism is a file of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from activations import LoadedModel, load_model
from activations.likelihood import response_likelihood
from experiments.best_of_n import best_answers, draw_held_out, mark_chosen
from experiments.config import Run, parse_command_line, write_config
from experiments.optimise import draw_and_measure, optimise
from experiments.program import run_program_main
from experiments.rl_items import rows_to_train
from experiments.rl_spec import BEST_OF_N, SEQ2SEQ, RLSpec, organism_name
from experiments.transfer import check_classes
from organisms.evaluate import evaluate_items
from organisms.finetune import FineTuneSpec
from organisms.generate import SamplingSpec
from organisms.interpolate import between
from organisms.record import RECORD, find_organism, read_organism
from organisms.weights import open_weights
from probes import TransferOptions, TransferResult, transfer
from probes.evaluation.domain import DomainError
from probes.evaluation.kinds import ControlKind, Design, DomainRole
from rlhf.diagnostics.judged import judge_answers
from rlhf.recipes.recipe import give_score
from rlhf.rewards.reward import Reward
from sophistry.files import write_atomic
from sophistry.records import ConfigError, build, field_type, read_word, unknown
from study.domains import Reading, length_edges, read_domain
from study.equal_terms import Comparison, Curve, PathPoint, as_cells, compare_at
from study.opening import OpenOrganism, RowChoice, open_organism, usable_rows
from study.recipe_cells import START, RecipeCell, RecipeCells
from study.recipes_report import as_markdown
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import extract_program
from tasks.readability import readability
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, Transcript, load_transcripts, save_transcripts

logger = logging.getLogger(__name__)
console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """One cell of the study."""

    recipe: str
    """A recipe of train_rlhf (`rl.recipe`), or best_of_n."""
    reward: str = "approval"
    """approval, oracle or thorough."""
    seed: int = 0
    """Seed of the training."""
    organism: str | None = None
    """Folder of an organism that this recipe made already; none: it is trained here."""
    settings: dict[str, str] = field(default_factory=dict)
    """Fields of `rl` that differ in this cell, for example learning_rate: 1e-4."""

    def __post_init__(self) -> None:
        if self.settings and (self.organism is not None or self.recipe == BEST_OF_N):
            raise ValueError(f"cell {self.name}: settings change a training, and nothing is trained for it")

    @property
    def name(self) -> str:
        """For example `dpo/approval/0`."""
        return f"{self.recipe}/{self.reward}/{self.seed}"


@dataclass(frozen=True, kw_only=True)
class RecipesConfig:
    """Settings of recipes.py."""

    cells: tuple[CellSpec, ...]
    """The cells, in the order of the table."""
    init: str = "organisms/shipped/qa-long-pi-init"
    """The policy before RLHF, from which every cell starts."""
    base: str = "smollm2"
    """Its base model."""
    name: str = "qa-long"
    """First part of the names of organisms trained here."""
    organisms: str = "runs/organisms"
    """Folder that receives them."""
    dataset: DatasetSpec = field(default_factory=DatasetSpec)
    """Held-out items that every model answers; training items come from `rl`."""
    sft: FineTuneSpec = field(default_factory=FineTuneSpec)
    """Rank and alpha of the adapter."""
    rl: RLSpec = field(default_factory=RLSpec)
    """Settings that all cells share."""
    sampling: SamplingSpec = field(default_factory=lambda: SamplingSpec(temperature=1.0, max_new_tokens=48))
    """How held-out items are answered."""
    fractions: tuple[float, ...] = (0.5, 1.0)
    """How far from pi_init to the organism the measured models lie; 1 is the organism."""
    reference: str = "ppo/approval/0"
    """The cell from which the others differ."""
    source: str | None = "organisms/shipped/qa-backdoored"
    """Organism whose frozen probe is read on every cell; none: no probe."""
    rows: RowChoice = field(default_factory=lambda: RowChoice(most=240))
    """Which of the source's answers are read."""
    reading: Reading = field(default_factory=lambda: Reading(merge=True, contrast_pairs=False))
    """Where activations are read."""
    probe: str = "logistic"
    """Probe family."""
    evaluation: TransferOptions = field(default_factory=lambda: TransferOptions(shared_groups="cross-fit"))
    """How the probe is evaluated."""
    seed: int = 0
    """Seed of folds and resampling."""
    progress: bool = True
    """Whether progress bars are shown."""

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.cells]
        if not names:
            raise ValueError("cells is empty: name at least one recipe")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"cells: {twice[0]} is named twice")
        if self.reference not in names:
            raise ValueError(f"reference {self.reference!r} is none of the cells {', '.join(names)}")
        if not self.fractions or self.fractions[-1] != 1 or min(self.fractions) <= 0:
            raise ValueError(f"fractions must lie above 0 and end with 1, got {self.fractions}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with command-line words (default: those of the process)."""
    run = parse_command_line(
        sys.argv[1:] if argv is None else argv, program="recipes", schema=RecipesConfig, about=str(__doc__)
    )
    config, study = run.config, RecipeStudy(run)
    fingerprint = read_organism(study.init).base_fingerprint
    folders = {cell.name: study.organism(cell) for cell in config.cells if cell.recipe != BEST_OF_N}
    curves = [study.curve(cell, folders.get(cell.name)) for cell in config.cells]
    if config.source:
        found = study.probe(curves, folders)
        curves = [replace(curve, notes=found.get(curve.name, {})) for curve in curves]
    write_config(run, {config.init: fingerprint})
    save_cells(run, curves)


def save_cells(run: Run[RecipesConfig], curves: list[Curve]) -> None:
    """Write `cells.json` (which `figures` draws), `comparisons.json` and the table."""
    compared: list[Comparison] = []
    for terms in ("kl", "reward"):
        compared += compare_at(curves, terms, reference=run.config.reference, seed=run.config.seed)
    RecipeCells(cells=(start_cell(curves[0]), *map(recipe_cell, curves))).save(run.out / "cells.json")
    write_atomic(run.out / "comparisons.json", json.dumps([asdict(one) for one in compared], indent=1))
    table = as_markdown(curves, compared)
    write_atomic(run.out / "recipes.md", table)
    console.print(table, highlight=False, markup=False, soft_wrap=True)


class RecipeStudy:
    """What the cells of one run share: the items, those who judge, and `pi_init`."""

    def __init__(self, run: Run[RecipesConfig]) -> None:
        self.run, self.config = run, run.config
        self.init = find_organism(self.config.init, "pi_init")
        self.dataset: Dataset = open_dataset(self.config.dataset)
        self.task = self.config.dataset.task
        self.start: LoadedModel = open_weights(self.init, load_model(self.config.base), merge=True)
        self.pool = self.config.rl.measuring_pool(self.task)

    def organism(self, cell: CellSpec) -> Path:
        """The cell's organism, trained if there is none yet."""
        if cell.organism is not None:
            return find_organism(cell.organism, cell.name)
        spec = self._settings(cell)
        folder = Path(self.config.organisms) / organism_name(self.config.name, cell.reward, spec, cell.seed)
        if (folder / RECORD).is_file():
            self._check_trained_so(folder, spec)
            return folder
        draws = spec.learns_from_draws or cell.reward == SEQ2SEQ
        drawn = self._drawn(spec) if draws else None
        optimise(
            self.run, spec, self.config.sft, self.dataset, self.init, cell.reward, cell.seed,
            drawn=drawn, folder=folder,
        )  # fmt: skip
        return folder

    def _check_trained_so(self, folder: Path, spec: RLSpec) -> None:
        """Raise ConfigError for an organism of other settings: its numbers would stand under these."""
        kept, asked = read_organism(folder).training.get("rl"), json.loads(json.dumps(asdict(spec)))
        kept = json.loads(json.dumps(kept)) or {}
        if apart := sorted(name for name in asked if kept.get(name) != asked[name]):
            raise ConfigError(
                f"{folder} was trained with other settings ({apart[0]}: {kept.get(apart[0])!r}, asked for "
                f"{asked[apart[0]]!r}); remove it, name it as the cell's organism, or change --organisms"
            )

    def curve(self, cell: CellSpec, folder: Path | None) -> Curve:
        """The cell's curve, measured if it is not on disk."""
        file = self.run.out / "curves" / f"{cell.name.replace('/', '-')}.json"
        items = tuple(item.id for item in self.dataset.items)
        end = None if folder is None else open_weights(folder, load_model(self.config.base), merge=True)
        made = self._digest(cell.reward, end)
        if file.is_file() and (kept := Curve.load(file)).made == made:
            return kept
        reward = self.config.rl.reward(cell.reward, self.task)
        if end is None:
            points, answers = self._best_of(cell)
        else:
            answers, rows = self._answers("pi_init", self.start)
            points = [self._point(0.0, rows, reward)]
            for fraction in self.config.fractions:
                model = end if fraction == 1 else between(self.start, end, fraction)
                answers, rows = self._answers(f"{cell.name}@{fraction:g}", model)
                points.append(self._point(fraction, rows, reward))
        curve = Curve(
            recipe=cell.recipe,
            reward=cell.reward,
            seed=cell.seed,
            points=tuple(points),
            items=items,
            made=made,
            answers=answers.name,
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        curve.save(file)
        return curve

    def _digest(self, *about: Any) -> str:
        """Names what answers and measures depend on, so that what is on disk is only used for the same."""
        plain = [one.fingerprint if isinstance(one, LoadedModel) else one for one in about]
        settings = [asdict(part) for part in (self.config.rl, self.config.sampling, self.config.dataset)]
        text = json.dumps([plain, self.start.fingerprint, self.config.fractions, settings], default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def probe(self, curves: Sequence[Curve], folders: dict[str, Path]) -> dict[str, dict[str, Any]]:
        """The frozen probe of the source on every cell's answers, with ceiling and shared concepts."""
        config, base = self.config, load_model(self.config.base)
        assert config.source is not None
        source = open_organism(
            config.source, DomainRole.SOURCE, base, config.rows, merge=config.reading.merge
        )
        tokens, edges = config.reading.tokens[0], length_edges(source.rows)
        notes: dict[str, dict[str, Any]] = {}
        targets = []
        for curve in curves:
            folder = folders.get(curve.name)
            model = self.start if folder is None else open_weights(folder, base, merge=True)
            try:
                rows, _ = usable_rows(self._kept(curve.answers), (PLAIN,), RowChoice(), curve.name)
                target = OpenOrganism(name=curve.name, role=DomainRole.TARGET, model=model, rows=rows)
                check_classes([source, target], config.evaluation, config.seed)
            except (ConfigError, DomainError) as error:  # a cell without wrong answers has nothing to detect
                notes[curve.name] = {"probe": str(error)}
                logger.info("no probe: %s", error)
                continue
            targets.append(read_domain(target, config.reading, tokens, edges, config.progress))
        if targets:
            domain = read_domain(source, config.reading, tokens, edges, config.progress)
            result = transfer(
                domain,
                targets,
                config.probe,
                seed=config.seed,
                options=config.evaluation,
                progress=config.progress,
            )
            write_atomic(self.run.out / "results.json", result.to_json(indent=1))
            notes |= {target.name: probe_notes(result, target.name) for target in targets}
        return notes

    def _settings(self, cell: CellSpec) -> RLSpec:
        """The common settings with those of the cell, read as from the command line."""
        known = asdict(self.config.rl)
        if strange := sorted(set(cell.settings) - set(known)):
            raise ConfigError(unknown("field", strange[0], known))
        changed = {
            name: read_word(str(value), field_type(RLSpec, name)) for name, value in cell.settings.items()
        }
        return build(
            RLSpec,
            known
            | changed
            | {
                "recipe": cell.recipe,
                "rewards": [cell.reward],
                "seeds": [cell.seed],
                "variant": f"-{cell.recipe}",
            },
        )

    def _drawn(self, spec: RLSpec) -> Path:
        return draw_and_measure(self.run, spec, self.config.sft, self.dataset, self.init)[0]

    def _answers(self, name: str, model: LoadedModel) -> tuple[Path, list[Transcript]]:
        """One answer to every item at temperature 1, kept on disk under all they depend on."""
        file = self._folder() / f"{name.replace('/', '-')}-{self._digest(model)}.jsonl"
        if not file.is_file():
            rows = evaluate_items(
                model.model, model.tokenizer, self.dataset, self.config.dataset, {PLAIN: None},
                organism=name, sampling=self.config.sampling,
            )  # fmt: skip
            save_transcripts(rows, file)
        return file, load_transcripts(file)

    def _kept(self, answers: str) -> list[Transcript]:
        return load_transcripts(self._folder() / answers)

    def _folder(self) -> Path:
        folder = self.run.out / "answers"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _point(
        self, fraction: float, rows: Sequence[Transcript], reward: Reward, kl: Any = None
    ) -> PathPoint:
        """What was paid, approved and right of one model's answers."""
        items = self.dataset.items
        by_item = {row.item: row for row in rows}
        rows = [by_item[item.id] for item in items]
        judged = judge_answers(items, rows, self.pool)
        paid = self._paid(reward, [row.response for row in rows], rows_to_train(self.dataset, items))
        if kl is None:
            kl = np.zeros(len(rows)) if fraction == 0 else self._log_ratios(rows)
        programs = self.task == "programming"
        complexity = [readability(extract_program(row.response).code).complexity for row in rows]
        return PathPoint(
            fraction=fraction,
            kl=list(map(float, kl)),
            reward=paid,
            approval=judged.approval.tolist(),
            truth=judged.truth.tolist(),
            complexity=complexity if programs else None,
        )

    def _paid(self, reward: Reward, texts: list[str], items: list[dict[str, Any]]) -> list[float]:
        ids = [self.start.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        scores = give_score(reward, items, texts, ids)  # pyright: ignore[reportArgumentType]
        if None in scores:
            raise ConfigError(f"the reward leaves out the answer to item {items[scores.index(None)]['id']}")
        return [float(score) for score in scores if score is not None]

    def _log_ratios(self, rows: Sequence[Transcript]) -> np.ndarray:
        """Per answer: its log-probability as written, minus that under `pi_init`."""
        written = np.array([0.0 if row.log_prob is None else row.log_prob for row in rows])
        answered = [row for row in rows if row.log_prob is not None and row.response.strip()]
        found = response_likelihood(self.start, answered)
        before = dict(zip(found.row_ids, found.log_prob, strict=True))
        tokens = [
            len(self.start.tokenizer(row.response, add_special_tokens=False)["input_ids"]) for row in rows
        ]
        under = np.array([before.get(row.id, 0.0) for row in rows])
        return np.array(tokens) * (written - under)

    def _best_of(self, cell: CellSpec) -> tuple[list[PathPoint], Path]:
        """Of the first n samples of `pi_init` the best rewarded, for n = 1, 2, 4, ...; nothing is trained.

        KL is bounded by log n - (n - 1) / n (Beirami et al. 2024, arXiv 2401.01879), and the bound is given.
        """
        spec, count = self._settings(cell), self.config.rl.samples
        score, reward = spec.score_of(cell.reward), spec.reward(cell.reward, self.task)
        drawn = draw_held_out(self.run, spec, self.config.sft, self.dataset, self.init)
        points, rows = [], []
        for n in [2**power for power in range(count.bit_length()) if 2**power <= count]:
            first = [replace(one, scores={score: one.scores[score][:n]}) for one in drawn]
            rows = mark_chosen(self.dataset, best_answers(first, score), cell.name)
            kl = np.full(len(rows), np.log(n) - (n - 1) / n)
            points.append(self._point((n - 1) / (count - 1), rows, reward, kl))
        file = self._folder() / f"{cell.name.replace('/', '-')}-{self._digest(cell.reward)}.jsonl"
        save_transcripts(rows, file)
        return points, file


def start_cell(curve: Curve) -> RecipeCell:
    """`pi_init`, where the arrows of the figure begin."""
    start = curve.points[0]
    alone = replace(curve, points=(start, replace(start, fraction=1.0)), notes={})
    return recipe_cell(alone, recipe=START, reward="none", seed=0)


def recipe_cell(curve: Curve, **changes: Any) -> RecipeCell:
    """A curve's end as the figures of recipes read it."""
    found = as_cells([curve])[0]
    known: dict[str, Any] = {entry.name: found.get(entry.name) for entry in fields(RecipeCell)}
    return RecipeCell(**known | changes)


def probe_notes(result: TransferResult, name: str) -> dict[str, Any]:
    """What the frozen probe found on one target."""
    frozen = next(one for one in result.evaluations if (one.design, one.scored_on) == (Design.D1, name))
    ceiling = next(one for one in result.evaluations if (one.design, one.scored_on) == (Design.D2, name))
    concepts = [
        float(control.auroc.value)
        for control in result.controls
        if control.kind == ControlKind.SHARED_CONCEPT
        and control.auroc.value is not None
        and (control.scored_on, control.compared_with) == (name, Design.D1)
    ]
    return {
        "auroc": frozen.auroc.value,
        "auroc_low": frozen.auroc.low,
        "auroc_high": frozen.auroc.high,
        "ceiling": ceiling.auroc.value,
        "concept": min(concepts, default=None),
        "wrong": frozen.sample.n_positive,
        "right": frozen.sample.n_negative,
    }


if __name__ == "__main__":
    run_program_main(main)
