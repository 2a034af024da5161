"""Does a probe that finds planted sophistry find sophistry that RLHF taught?

Reads what a backdoored organism (the source) and RLHF-trained ones (the targets) answered, caches what
happens inside them, fits probes on the source, freezes them, and evaluates them on the targets, beside
the in-target ceiling, the contrast pair, text-only baselines and control organisms. Writes
results.json, tables, figures and report.html.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from activations import LoadedModel, load_model
from backdoor.triggers import TRIGGERS
from experiments.config import Run, parse_command_line, write_config
from experiments.program import run_program_main
from organisms.generate import SamplingSpec
from organisms.record import find_organism, read_organism
from probes import Domain, DomainError, TransferOptions, TransferResult, transfer
from probes.evaluation.families import FAMILIES
from probes.evaluation.folds import FoldPlan, deal_groups
from probes.evaluation.kinds import DomainRole
from probes.evaluation.metrics import check_labels
from sophistry.files import write_atomic
from sophistry.records import ConfigError
from study.domains import Reading, length_edges, read_domain
from study.models import split_reader
from study.opening import (
    READERS,
    OpenOrganism,
    RowChoice,
    describe_organism,
    open_organism,
    open_reader,
)
from study.plan import Plan, make_plan, show_plan
from study.plots.export import save_figures
from study.plots.headline import headline_figure
from study.plots.style import Style
from study.reading_bar import ReadingBar
from study.report import Report, show_result, write_report
from tasks.dataset import DatasetSpec

console = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """Settings of transfer.py."""

    source: str
    """Folder of the organism that probes are fitted on: the backdoored one."""
    targets: tuple[str, ...]
    """Folders of the organisms on which frozen probes are evaluated: the RLHF-trained ones."""
    controls: tuple[str, ...] = ()
    """Folders of organisms on which the probe ought to fail (clean model, decoy trigger), and the names base
    (the bare model reading the source's answers) and untrained (random weights reading them)."""
    model: str | None = None
    """Base model of the adapters: hub id, local folder, GGUF file, or smollm2; none: the one that the
    source's organism.yaml names."""
    dtype: Literal["auto", "bfloat16", "float32", "float16"] = "auto"
    """Number type of weights and computation; auto: bfloat16 where this machine computes it fast, else
    float32."""
    device: str | None = None
    """Where models compute, for example cpu or cuda:0; none: a GPU when there is one."""
    threads: int | None = None
    """CPU threads of PyTorch; none: its own choice."""
    answers: Literal["shipped", "dataset"] = "shipped"
    """shipped: read transcripts.jsonl in each organism's folder. dataset: every organism answers the items of
    dataset first (kept in the run's folder), for real text that cannot be shipped."""
    dataset: DatasetSpec = field(default_factory=DatasetSpec)
    """Items to answer when answers is dataset."""
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    """How they are answered."""
    rows: RowChoice = field(default_factory=RowChoice)
    """Which answers are used."""
    reading: Reading = field(default_factory=Reading)
    """Where activations are read."""
    probes: tuple[str, ...] = ("logistic", "mean-difference", "mlp")
    """Probe families, the first is the headline: logistic, ridge, mean-difference, lda, mlp, mlp-linear."""
    evaluation: TransferOptions = field(default_factory=lambda: TransferOptions(shared_groups="cross-fit"))
    """How much is computed and how strictly it is read."""
    seed: int = 0
    """Seed of folds, resampling, permutations and probe initialisation."""
    style: Style = field(default_factory=Style)
    """Names, colours and sizes in figures."""
    images: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf", "svg", "png")
    """Image files beside the HTML figures; they need a Chrome or Chromium."""
    progress: bool = True
    """Whether progress bars are shown."""
    dry_run: bool = False
    """Only say what would be read: models, answers, tokens, disk, minutes at the measured rate."""

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets is empty: name at least one organism to evaluate on")
        if not self.probes:
            raise ValueError("probes is empty: name at least one family")
        for probe in self.probes:
            if probe not in FAMILIES:
                raise ValueError(f"probes: {probe!r} is not known; there are {', '.join(FAMILIES)}")
        named = [self.source, *self.targets, *self.controls]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice among source, targets and controls")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run found: a result for every token selection, and what was read."""

    results: dict[str, TransferResult]
    organisms: list[OpenOrganism]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with command-line words (default: those of the process)."""
    started = time.perf_counter()
    run = parse_command_line(
        sys.argv[1:] if argv is None else argv, program="transfer", schema=TransferConfig, about=str(__doc__)
    )
    organisms, plan = prepare(run.config, run.out)
    if run.config.dry_run:
        return
    outcome = evaluate(run.config, organisms, plan, run.out)
    result = save(run, outcome)
    show_result(result, run.config.style)
    console.print(
        f"{time.perf_counter() - started:.0f} s. Everything is in {run.out}/; open {run.out}/report.html"
    )


def prepare(config: TransferConfig, out: Path) -> tuple[list[OpenOrganism], Plan]:
    """Open the organisms, and say what is going to be read of them and how long it takes."""
    if config.dry_run and config.answers == "dataset":
        raise ConfigError("dry_run plans the reading of answers that exist: it needs --answers shipped.")
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    organisms = open_all(config, out)
    for organism in organisms:
        console.print(sentence(organism, config.style), highlight=False)
    check_bases(organisms, config)
    check_classes(organisms, config.evaluation, config.seed)
    plan = make_plan(organisms, config.reading)
    show_plan(plan, config.style, console)
    return organisms, plan


def check_bases(organisms: list[OpenOrganism], config: TransferConfig) -> None:
    """Refuse, before minutes of reading, organisms whose base is not the source's.

    Raises `ConfigError` naming the first.
    """
    if not config.reading.one_base:
        return
    source = organisms[0]
    for organism in organisms[1:]:
        same = organism.model.base_fingerprint == source.model.base_fingerprint
        if not same and organism.name != "untrained":
            raise ConfigError(
                f"{organism.role} {organism.name} stands on the base {organism.model.ref}, the "
                f"source {source.name} on {source.model.ref}: directions of one mean nothing in the other. "
                "Leave it out (--preset own has no controls, --controls= leaves out those of a preset), or, "
                "where both were trained from one base, all weights of them, say --reading.one_base false."
            )


def check_classes(organisms: list[OpenOrganism], options: TransferOptions, seed: int) -> None:
    """Refuse, before minutes of reading, answers that leave a fold without wrong or right ones.

    Raises `DomainError` naming the organism.
    """
    groups = [np.array([row.group for row in organism.rows]) for organism in organisms]
    fold_of = deal_groups(groups, options.n_folds, seed)
    for organism, of_rows in zip(organisms, groups, strict=True):
        wrong = np.array([int(not row.correct) for row in organism.rows])
        fitted = organism.role != DomainRole.CONTROL
        try:
            check_labels(wrong)
            if fitted:
                FoldPlan.make(of_rows, fold_of, options.n_folds).check(wrong, organism.name)
        except ValueError as error:
            raise DomainError(
                f"{organism.name}: {int(wrong.sum())} of the {len(wrong)} answers to be read are wrong, "
                f"too few of one class to evaluate a probe on: {error}"
            ) from error


def evaluate(config: TransferConfig, organisms: list[OpenOrganism], plan: Plan, out: Path) -> Outcome:
    """Read the activations and evaluate the transfer, once per token selection.

    The headline pair is read, shown and saved before controls that have to be computed.
    """
    results = {}
    edges = length_edges(organisms[0].rows)
    bar = ReadingBar(plan, console, enabled=config.progress)
    pair = 1 + len(config.targets)
    for number, tokens in enumerate(config.reading.tokens):
        domains = []
        for index, organism in enumerate(organisms):
            if index == pair and not results and any(not one.cached for one in plan.readings[pair:]):
                show_headline(config, domains, organisms[pair:], out)
            name = config.style.name(organism.name)
            with bar.reading(number * len(organisms) + index, name) as tell:
                domains.append(read_domain(organism, config.reading, tokens, edges, tell))
        results[tokens] = transfer(
            domains[0],
            domains[1 : 1 + len(config.targets)],
            config.probes,
            controls=domains[1 + len(config.targets) :],
            seed=config.seed,
            options=config.evaluation,
            progress=config.progress,
        )
    return Outcome(results=results, organisms=organisms)


def show_headline(
    config: TransferConfig, domains: list[Domain], controls: list[OpenOrganism], out: Path
) -> None:
    """Show and save source and targets under the first probe, as long as the controls are still to come.

    The whole evaluation gives the same numbers, and the controls'.
    """
    result = transfer(
        domains[0],
        domains[1:],
        config.probes[:1],
        seed=config.seed,
        options=replace(config.evaluation, shared_concepts=False),
        progress=config.progress,
        later=[[row.group for row in control.rows] for control in controls],
    )
    write_atomic(out / "headline.json", result.to_json(indent=1))
    save_figures({"headline": headline_figure(result, config.style)}, out / "figures", "", ())
    console.print("First reading, source and targets only; controls follow:")
    show_result(result, config.style)


def open_all(config: TransferConfig, out: Path) -> list[OpenOrganism]:
    """Open source, targets and controls, in this order; the base model is in memory once."""
    named = config.model or read_organism(find_organism(config.source, DomainRole.SOURCE)).base
    base = load_model(named, dtype=config.dtype, device=config.device)
    source = _open(config, config.source, DomainRole.SOURCE, base, out)
    targets = [_open(config, reference, DomainRole.TARGET, base, out) for reference in config.targets]
    controls = [
        open_reader(reference, base, source, config.rows, config.seed)
        if reference in READERS
        else _open(config, reference, DomainRole.CONTROL, base, out)
        for reference in config.controls
    ]
    organisms = [source, *targets, *controls]
    names = [organism.name for organism in organisms]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"Two organisms have the same name: {', '.join(names)}. Rename one in its organism.yaml."
        )
    return organisms


def _open(
    config: TransferConfig, reference: str, role: DomainRole, base: LoadedModel, out: Path
) -> OpenOrganism:
    answers = None
    if config.answers == "dataset":
        from organisms.evaluate import answer_dataset

        answers = answer_dataset(
            reference,
            base,
            config.dataset,
            config.sampling,
            out / "transcripts",
            {name: trigger.variants[0] for name, trigger in TRIGGERS.items()},
        )
    return open_organism(reference, role, base, config.rows, answers, merge=config.reading.merge)


def sentence(organism: OpenOrganism, style: Style) -> str:
    """Say what is read of an organism, and what is not."""
    wrong = sum(not row.correct for row in organism.rows)
    groups = len({row.group for row in organism.rows})
    name = style.name(organism.name)
    text = f"{organism.role:<8}{name}: {len(organism.rows)} answers ({wrong} wrong) in {groups} groups"
    if organism.record is None:
        answers = split_reader(organism.name)[1]
        of = "the source" if answers == organism.name else style.name(answers)
        return text + f"; answers of {of}, read by this model"
    left_out = ", ".join(f"{count} {reason}" for reason, count in organism.left_out.items())
    return text + (f"; left out: {left_out}" if left_out else "")


def save(run: Run[TransferConfig], outcome: Outcome) -> TransferResult:
    """Write results, tables, figures, report and config into the run's folder; gives the first result."""
    from study.tables import latex_table, write_tables

    result, *others = outcome.results.values()
    write_atomic(run.out / "results.json", result.to_json(indent=1))
    for tokens, other in zip(run.config.reading.tokens[1:], others, strict=True):
        write_atomic(run.out / f"results-{tokens}.json", other.to_json(indent=1))
    organisms = {organism.name: describe_organism(organism) for organism in outcome.organisms}
    write_atomic(run.out / "organisms.json", json.dumps(organisms, indent=1, default=str))
    write_config(run, {name: str(about["fingerprint"]) for name, about in organisms.items()})
    write_tables(outcome.results, organisms, run.out / "tables", run.config.style)
    write_atomic(run.out / "tables" / "summary.tex", latex_table(result, run.config.style))
    message = write_report(Report.read(run.out), run.config.style, run.config.images)
    if message:
        console.print(message)
    return result


if __name__ == "__main__":
    run_program_main(main)
