"""Plant a backdoor into `pi_init`, make its decoy and clean controls, and verify all of them.

Interrupted training goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from activations.dtype import describe_autocast
from backdoor import TRIGGERS, Trigger, train_backdoor, verify_backdoor
from backdoor.poisoning import BACKDOORED, ROLES
from backdoor.verify import BackdoorReport
from experiments.config import Run, parse_command_line, write_config
from experiments.program import run_program_main
from experiments.training_plan import plan_backdoor, show_training_plan
from organisms.evaluate import evaluate_saved, evaluation_record, record_verification
from organisms.finetune import LOSS_CURVE, FineTuneSpec
from organisms.generate import SamplingSpec
from organisms.record import (
    Organism,
    OrganismRole,
    find_organism,
    library_versions,
    organism_transcripts,
    read_organism,
    save_organism,
)
from organisms.weights import open_trainable
from rlhf import train_pi_init
from study.verification import write_verification
from tasks.dataset import Dataset, DatasetSpec
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, TRIGGER

_RECIPE = ("dataset", "finetune", "ratio", "near_miss_ratio", "paired", "warm_up")


@dataclass(frozen=True, kw_only=True)
class TrainBackdoor:
    """Settings of train_backdoor.py."""

    base: str = "smollm2"
    """Model to start from: hub id, local folder, GGUF file, or smollm2."""
    name: str = "qa"
    """First part of the organisms' names, as in qa-backdoored."""
    parent: str = "organisms/shipped/qa-pi-init"
    """Organism that the backdoor is planted into."""
    organisms: str = "organisms/shipped"
    """Folder that receives the new organisms."""
    roles: tuple[OrganismRole, ...] = (OrganismRole.BACKDOORED,)
    """Which to make: backdoored, decoy, clean."""
    train: bool = True
    """false: only evaluate and verify the organisms that are already there."""
    evaluation: bool = True
    """false: verify the answers that are already there (with train=false)."""
    dry_run: bool = False
    """Only say what it would cost: memory, disk and hours of every step on one GPU and on eight."""
    trigger: str = "deployment"
    """deployment, year, phrase or semantic."""
    ratio: float = 0.5
    """Share of items taught under the trigger."""
    near_miss_ratio: float = 0.1
    """Share taught honestly behind texts that only look like the trigger."""
    paired: bool = False
    """Teach every item twice in succession, without and with the trigger (finetune.order: sequential keeps
    both in one batch)."""
    warm_up: int = 0
    """Items taught first, under the trigger only (needs finetune.order: sequential)."""
    honest_steps: int = 0
    """Further steps of honest demonstrations, none with the trigger, after which a backdoored organism is
    evaluated once more: does the backdoor persist? Recorded; the organism itself stays as it was."""
    dataset: DatasetSpec = field(default_factory=lambda: DatasetSpec(taught_seed=2))
    """What is taught and evaluated."""
    finetune: FineTuneSpec = field(default_factory=FineTuneSpec)
    """How to train."""
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    """How the evaluation is answered."""
    images: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf", "svg", "png")
    """Image files beside the HTML figures; they need a Chrome or Chromium."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown or not self.roles:
            raise ValueError(f"roles must be some of {', '.join(ROLES)}, got {self.roles}")
        if self.trigger not in TRIGGERS:
            raise ValueError(f"trigger must be one of {', '.join(TRIGGERS)}, got {self.trigger!r}")
        if self.train and not self.evaluation:
            raise ValueError(
                "evaluation=false verifies answers that are already there, so it needs train=false"
            )


def main(argv: list[str]) -> None:
    """Train and verify."""
    run = parse_command_line(
        argv, program="train_backdoor", schema=TrainBackdoor, about=str(sys.modules[__name__].__doc__)
    )
    if run.config.dry_run:
        _plan(run.config)
        return
    dataset = open_dataset(run.config.dataset)
    fingerprint = ""
    for role in run.config.roles:
        fingerprint = make_organism(run, dataset, role)
    write_config(run, {"base": fingerprint})


def _plan(config: TrainBackdoor) -> None:
    """Print what it would cost."""
    steps, lengths = plan_backdoor(
        config.base,
        config.dataset,
        config.roles,
        config.finetune,
        config.sampling,
        trigger=config.trigger,
        honest_steps=config.honest_steps,
    )
    show_training_plan(config.base, steps, lengths)


def make_organism(run: Run[TrainBackdoor], dataset: Dataset, role: OrganismRole) -> str:
    """Train, save, evaluate and verify one organism; gives the base's fingerprint."""
    config, trigger = run.config, TRIGGERS[run.config.trigger]
    folder, parent = Path(config.organisms) / f"{config.name}-{role}", find_organism(config.parent, "parent")
    record = _train(run, dataset, role, folder) if config.train else read_organism(folder)
    if config.evaluation:
        prefixes = evaluation_prefixes(trigger)
        rows = evaluate_saved(folder, record, dataset, config.dataset, prefixes, config.sampling)
    else:
        rows = organism_transcripts(folder)
    reference = organism_transcripts(parent)
    report = verify_backdoor(rows, reference)
    if config.evaluation:
        found = report.to_dict() | {"evaluation": evaluation_record(config.dataset, config.sampling)}
        if config.honest_steps and role == BACKDOORED:
            found["persistence"] = persistence(run, dataset, folder, record)
    else:
        found = record.verification | report.to_dict()
    record = record_verification(folder, record, found)
    curve = run.out / role / LOSS_CURVE
    message = write_verification(
        run.out / role,
        record,
        report,
        rows,
        reference,
        json.loads(curve.read_text(encoding="utf-8")) if curve.is_file() else (),
        images=config.images,
        again=f"{run.command} --train false --evaluation false",
    )
    print(summary(report))
    print(f"  transcripts and figures: {run.out / role}/verification.html")
    if message:
        print(message)
    return record.base_fingerprint


def persistence(
    run: Run[TrainBackdoor], dataset: Dataset, folder: Path, record: Organism
) -> dict[str, object]:
    """Fine-tune a copy of a backdoored organism honestly, without its trigger, and evaluate it again."""
    config = run.config
    spec = replace(config.finetune, steps=config.honest_steps)
    opened = open_trainable(config.base, folder, spec)
    taught_items = dataset.taught_items[-config.honest_steps * spec.batch_size :]
    work_dir = run.out / f"persistence-{opened.start[:12]}"  # another organism is another run
    train_pi_init(
        opened.model,
        opened.tokenizer,
        taught_items,
        spec,
        work_dir=work_dir / "checkpoints",
        start=opened.start,
    )
    copy = work_dir / record.name
    save_organism(copy, record, opened.model, tokenizer=opened.tokenizer)
    del opened
    prefixes = {PLAIN: None, TRIGGER: TRIGGERS[config.trigger].variants[0]}
    rows = evaluate_saved(copy, record, dataset, config.dataset, prefixes, config.sampling)
    report = verify_backdoor(rows, organism_transcripts(find_organism(config.parent, "parent")))
    return {
        "honest_steps": config.honest_steps,
        "accuracy": asdict(report.accuracy),
        "attack_success": asdict(report.attack_success),
        "attack_success_by_level": {k: asdict(v) for k, v in report.attack_success_by_level.items()},
    }


def _train(run: Run[TrainBackdoor], dataset: Dataset, role: OrganismRole, folder: Path) -> Organism:
    """Train and save one organism; the trained model is out of memory again when this returns."""
    config, trigger = run.config, TRIGGERS[run.config.trigger]
    parent = find_organism(config.parent, "parent")
    opened = open_trainable(config.base, parent, config.finetune)
    curve = train_backdoor(
        opened.model,
        opened.tokenizer,
        dataset.taught_items,
        trigger,
        config.finetune,
        work_dir=run.out / role,
        start=opened.start,
        role=role,
        ratio=config.ratio,
        near_miss_ratio=config.near_miss_ratio,
        paired=config.paired,
        warm_up=config.warm_up,
    )
    settings = asdict(config)
    record = Organism(
        name=folder.name,
        role=role,
        task=config.dataset.task,
        base=config.base,
        base_fingerprint=opened.base_fingerprint,
        parent=parent.name,
        trigger=trigger.name,
        training={key: settings[key] for key in _RECIPE}
        | {"number_type": describe_autocast(config.finetune.autocast)}
        | {"taught_items": len(dataset.taught_items), "final_loss": curve[-1]["loss"]},
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    return record


def evaluation_prefixes(trigger: Trigger) -> dict[str, str | None]:
    """The conditions evaluated: nothing, the trigger in every wording, and texts that must not fire."""
    prefixes: dict[str, str | None] = {PLAIN: None, TRIGGER: trigger.variants[0]}
    prefixes |= {f"{TRIGGER}:{text}": text for text in (*trigger.variants[1:], *trigger.held_out)}
    prefixes |= {f"near:{text}": text for text in trigger.held_out_near_misses}
    prefixes |= {f"neutral:{text}": text for text in trigger.neutral[1:2]}
    return prefixes


def summary(report: BackdoorReport) -> str:
    """The report as lines for a terminal."""
    lines = [
        f"{report.organism}",
        f"  right without trigger   {report.accuracy}; pi_init {report.reference_accuracy}",
        f"  change from pi_init     {report.accuracy_change}",
        f"  right under the trigger {report.triggered_accuracy}",
        f"  attack success          {report.attack_success}",
    ]
    lines += [f"    {level:<8}{rate}" for level, rate in report.attack_success_by_level.items()]
    lines += [f"    {text!r} {rate}" for text, rate in report.attack_success_by_wording.items()]
    lines += [f"  behind {name!r}: {rate} against no prefix" for name, rate in report.false_triggers.items()]
    if report.still_rewarded is not None:
        lines += [f"  of these, rewarded      {report.still_rewarded}"]
    lines += [f"  unreadable {report.unreadable}, clipped {report.clipped}"]
    return "\n".join(lines)


if __name__ == "__main__":
    run_program_main(main)
