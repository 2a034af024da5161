"""Any study in one file: probes of every source on every model, with ceilings, controls and learning curves.

Rows are the models that probes are fitted on, columns all models they are scored on. `A reads B` names the
model A at the answers of B, which parts what the text changes from what the weights change. Every model is
read once; every cell is kept on disk, so a run that was stopped goes on. Writes results.json, tables,
figures and report.html.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import track

from activations import load_model
from experiments.config import Run, parse_command_line, write_config
from experiments.program import run_program_main
from experiments.transfer import check_classes, sentence
from probes import Domain, TransferOptions, transfer
from probes.evaluation.crossfit import FitMemo
from probes.evaluation.families import FAMILIES
from probes.evaluation.learning import LearningCurve, LearningOptions, learning_curve
from probes.persistence import probe_versions
from sophistry.files import write_atomic
from sophistry.records import to_plain
from study.cells import CellPlace, learning_key, load_or_make, matrix_places, read_cell, read_learning
from study.domains import Reading, length_edges, read_domain
from study.fit_plan import FitPlan, plan_fits, show_fits
from study.matrix import MatrixResult, ReadCell, Row, cells_of, with_seeds
from study.matrix_report import MatrixReport, describe_models, show_matrix, write_matrix_report
from study.models import Roles, open_models, split_reader
from study.opening import OpenOrganism, RowChoice, describe_organism
from study.plan import Plan, make_plan, show_plan
from study.plots.style import Style
from study.reading_bar import ReadingBar

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class MatrixConfig:
    """Settings of matrix.py."""

    models: dict[str, str]
    """Name -> folder of an organism. Names are used below and in figures; `base` and `untrained` need no
    folder."""
    sources: tuple[str, ...]
    """Models that probes are fitted on: the rows."""
    targets: tuple[str, ...] = ()
    """Models on which they are scored, beside the probe fitted there. `A reads B` is the model A at B's
    answers."""
    controls: tuple[str, ...] = ()
    """Models on which they ought to fail (clean, decoy, `base reads A`)."""
    model: str = "smollm2"
    """Base model of the adapters: hub id, local folder, GGUF file, or smollm2."""
    dtype: Literal["auto", "bfloat16", "float32", "float16"] = "auto"
    """Number type of weights and computation; auto: bfloat16 where this machine computes it fast, else
    float32."""
    device: str | None = None
    """Where models compute, for example cpu or cuda:0; none: a GPU when there is one."""
    threads: int | None = None
    """CPU threads of PyTorch; none: its own choice."""
    rows: RowChoice = field(default_factory=RowChoice)
    """Which answers are used; every model answers under the conditions of rows.source."""
    reading: Reading = field(default_factory=Reading)
    """Where activations are read; reading.site is replaced by each of sites."""
    sites: tuple[str, ...] = ("resid_post",)
    """Places in a block, each with a matrix: resid_pre, resid_mid, resid_post, attn_out or mlp_out."""
    probes: tuple[str, ...] = ("logistic", "mean-difference")
    """Probe families, each with a matrix of its own; the first is the headline: logistic, ridge,
    mean-difference, lda, pca, mlp, mlp-linear."""
    evaluation: TransferOptions = field(default_factory=lambda: TransferOptions(shared_groups="cross-fit"))
    """How much is computed and how strictly it is read."""
    learning: LearningOptions = field(default_factory=LearningOptions)
    """Learning curves over labelled target answers: the headline probe, every source to every target."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of folds, resampling, permutations and probe initialisation. The first is reported; others say
    whether a verdict depends on it."""
    style: Style = field(default_factory=Style)
    """Names, colours and sizes in figures."""
    images: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf", "svg", "png")
    """Image files beside the HTML figures; they need a Chrome or Chromium."""
    progress: bool = True
    """Whether progress bars are shown."""
    dry_run: bool = False
    """Only say what would be read and fitted: models, answers, tokens, disk, cells, minutes."""

    def __post_init__(self) -> None:
        self.roles.check(self.models)
        for what, values in (("probes", self.probes), ("sites", self.sites), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{what} needs at least one value, each once; got {list(values)}")
        for probe in self.probes:
            if probe not in FAMILIES:
                raise ValueError(f"probes: {probe!r} is not known; there are {', '.join(FAMILIES)}")
        if self.evaluation.shared_groups != "cross-fit":
            raise ValueError("evaluation.shared_groups must be cross-fit: models of a matrix share questions")

    @property
    def roles(self) -> Roles:
        """Who is what."""
        return Roles(sources=self.sources, targets=self.targets, controls=self.controls)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that is planned: who is read, what it costs, which cells there are to be."""

    organisms: list[OpenOrganism]
    plans: dict[str, Plan]
    """By site."""
    places: list[CellPlace]
    fits: FitPlan


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with command-line words (default: those of the process)."""
    started = time.perf_counter()
    run = parse_command_line(
        sys.argv[1:] if argv is None else argv, program="matrix", schema=MatrixConfig, about=str(__doc__)
    )
    study = prepare_study(run.config, run.out)
    if run.config.dry_run:
        return
    result = evaluate_study(run.config, study, run.out)
    save_study(run, study, result)
    show_matrix(result, run.config.style)
    console.print(
        f"{time.perf_counter() - started:.0f} s. Everything is in {run.out}/; open {run.out}/report.html"
    )


def prepare_study(config: MatrixConfig, out: Path) -> Study:
    """Open the models, and say what is going to be read and fitted and how long it takes."""
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    base = load_model(config.model, dtype=config.dtype, device=config.device)
    organisms = open_models(
        config.models, config.roles, base, config.rows, merge=config.reading.merge, seed=config.seeds[0]
    )
    for organism in organisms:
        console.print(sentence(organism, config.style), highlight=False)
    for seed in config.seeds:
        check_classes(organisms, config.evaluation, seed)
    plans = {site: make_plan(organisms, replace(config.reading, site=site)) for site in config.sites}
    for site, plan in plans.items():
        if len(plans) > 1:
            console.print(f"[bold]{site}[/bold]")
        show_plan(plan, config.style, console)
    places = matrix_places(
        organisms, config.sources, config.reading, sites=config.sites, probes=config.probes,
        seeds=config.seeds, options=config.evaluation,
    )  # fmt: skip
    left = [place for place in places if not (out / place.file).is_file()]
    fits = plan_fits(organisms, left, config.reading, config.evaluation)
    show_fits(fits, len(places), console)
    return Study(organisms=organisms, plans=plans, places=places, fits=fits)


def evaluate_study(config: MatrixConfig, study: Study, out: Path) -> MatrixResult:
    """Compute the cells that are not on disk, and gather all of them."""
    domains = _Domains(config, study)
    texts: dict[CellPlace, str] = {}
    made: FitMemo = {}
    group = None
    for place in track(study.places, "Cells", console=console, transient=True, disable=not config.progress):
        if group != (place.seed, place.site, place.tokens, place.probe):  # fits are shared within a group
            group, made = (place.seed, place.site, place.tokens, place.probe), {}
        texts[place] = load_or_make(out / place.file, partial(_one_row, config, domains, place, made))
    cells: dict[int, list[ReadCell]] = {seed: [] for seed in config.seeds}
    warnings: dict[str, None] = {}
    learning: list[LearningCurve] = []
    for place, text in texts.items():
        row = read_cell(text)
        cells[place.seed] += cells_of(row, place.site, place.tokens)
        warnings |= dict.fromkeys(row.warnings)
        first = (config.seeds[0], config.sites[0], config.reading.tokens[0], config.probes[0])
        if (place.seed, place.site, place.tokens, place.probe) == first:
            learning += _learning(config, domains, place, row.selection[0], out)
    headline, *others = config.seeds
    return MatrixResult(
        models=describe_models(study.organisms, config.roles),
        cells=tuple(with_seeds(cells[headline], {seed: cells[seed] for seed in others})),
        rows=tuple(
            Row(source=p.source, probe=p.probe, site=p.site, tokens=p.tokens, seed=p.seed, file=p.file)
            for p in study.places
        ),
        learning=tuple(learning),
        warnings=tuple(warnings),
        provenance={
            "seeds": list(config.seeds),
            "options": to_plain(config.evaluation),
            "learning": to_plain(config.learning),
            "rule": "layer, setting, threshold and sign are chosen on the model a probe is fitted on, by the "
            "highest out-of-fold AUROC (ties within .001 by Brier score, then nearest the middle)",
            "versions": probe_versions(),
        },
    )


class _Domains:
    """The activations of every model, read when a cell first needs them."""

    def __init__(self, config: MatrixConfig, study: Study):
        self.config, self.study = config, study
        self._read: dict[tuple[str, str], dict[str, Domain]] = {}

    def of(self, site: str, tokens: str) -> dict[str, Domain]:
        """Read, or find in the cache, all models at one site under one token selection."""
        if (site, tokens) not in self._read:
            config, organisms = self.config, self.study.organisms
            reading = replace(config.reading, site=site)
            edges = length_edges(organisms[0].rows)
            bar = ReadingBar(self.study.plans[site], console, enabled=config.progress)
            first = reading.tokens.index(tokens) * len(organisms)
            found = {}
            for index, organism in enumerate(organisms):
                with bar.reading(first + index, config.style.name(organism.name)) as tell:
                    found[organism.name] = read_domain(organism, reading, tokens, edges, tell)
            self._read[site, tokens] = found
        return self._read[site, tokens]


def _one_row(config: MatrixConfig, domains: _Domains, place: CellPlace, made: FitMemo) -> str:
    here, roles = domains.of(place.site, place.tokens), config.roles
    others = [name for name in roles.names if name != place.source]
    result = transfer(
        here[place.source],
        [here[name] for name in others if name not in roles.controls],
        place.probe,
        controls=[here[name] for name in others if name in roles.controls],
        seed=place.seed,
        options=config.evaluation,
        made=made,
    )
    return result.to_json()


def _learning(
    config: MatrixConfig, domains: _Domains, place: CellPlace, selection: dict, out: Path
) -> list[LearningCurve]:
    """Learning curves of one source on every target that answers itself."""
    curves = []
    for target in (*config.targets, *config.sources) if config.learning.counts else ():
        reader, answers = split_reader(target)
        if reader != answers or target == place.source or target in {c.target for c in curves}:
            continue
        file = learning_key(place, target, config.learning)

        def make(target: str = target) -> str:
            here = domains.of(place.site, place.tokens)
            curve = learning_curve(
                here[place.source],
                here[target],
                place.probe,
                config.learning,
                n_folds=config.evaluation.n_folds,
                n_draws=config.evaluation.n_draws,
                level=config.evaluation.level,
                seed=place.seed,
                chosen=(selection["layer"], selection["setting"]),
                progress=config.progress,
            )
            return json.dumps(to_plain(curve))

        curves.append(read_learning(load_or_make(out / file, make), file))
    return curves


def save_study(run: Run[MatrixConfig], study: Study, result: MatrixResult) -> None:
    """Write results, tables, figures, report and config into the run's folder."""
    from study.matrix_tables import write_matrix_tables

    write_atomic(run.out / "results.json", result.to_json(indent=1))
    organisms = {organism.name: describe_organism(organism) for organism in study.organisms}
    write_atomic(run.out / "organisms.json", json.dumps(organisms, indent=1, default=str))
    write_config(run, {name: str(about["fingerprint"]) for name, about in organisms.items()})
    write_matrix_tables(result, run.out / "tables", run.config.style)
    message = write_matrix_report(MatrixReport.read(run.out), run.config.style, run.config.images)
    if message:
        console.print(message)


if __name__ == "__main__":
    run_program_main(main)
