"""Make `pi_init` (honest demonstrations) and `pi_rlhf` (human preferences), and evaluate both.

For programming there is a stage between: `rank` lets `pi_init` solve every evaluated problem several
times and counts who passes which test; the two tests that most samples pass are the simplest, and make
`R_train`.

Interrupted training goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from activations import load_model
from activations.dtype import describe_autocast
from experiments.best_of_n import best_of_n, draw_held_out, what_it_pays
from experiments.config import Run, parse_command_line, write_config
from experiments.optimise import draw_and_measure, evaluate_and_report, optimise
from experiments.own import is_import_path, load_own
from experiments.program import run_program_main
from experiments.rl_items import items_to_train
from experiments.rl_spec import BEST_OF_N, TWO_TESTS, RLSpec, organism_name
from experiments.training_plan import plan_rlhf, show_training_plan
from organisms.evaluate import evaluate_saved, evaluation_record, record_verification
from organisms.finetune import FineTuneSpec
from organisms.generate import SamplingSpec
from organisms.rates import accuracy, accuracy_change
from organisms.record import (
    TRANSCRIPTS,
    Organism,
    OrganismRole,
    find_organism,
    library_versions,
    organism_transcripts,
    read_organism,
    save_organism,
    write_record,
)
from organisms.weights import Trainable, open_trainable, open_weights
from rlhf import DPOSpec, preference_pairs, train_dpo, train_pi_init
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import reward_again
from tasks.remembered import remembering
from tasks.sources import open_dataset
from tasks.transcript import PLAIN, Transcript, save_transcripts

ADOPT, SFT, RANK, DPO, RL, RELEASED = "adopt", "sft", "rank", "dpo", "rl", "released"
SIMPLICITY = "simplicity.json"
VERDICTS = "verdicts.jsonl"
"""What programs did on tests, so that none is run twice."""


@dataclass(frozen=True, kw_only=True)
class TrainRLHF:
    """Settings of train_rlhf.py."""

    base: str = "smollm2"
    """Model to start from: hub id, local folder, GGUF file, or smollm2."""
    name: str = "qa"
    """First part of the organisms' names: NAME-pi-init and NAME-pi-rlhf."""
    organisms: str = "organisms/shipped"
    """Folder that receives them."""
    stages: tuple[str, ...] = (SFT, DPO)
    """What to do: sft makes pi_init, adopt takes the parent for it as it is, rank finds the tests that are
    simple for it, dpo makes pi_rlhf of it from human preferences, rl from a reward (with pi_oracle and
    pi_thorough, see rl.rewards), released asks somebody else's pi_rlhf (see released)."""
    train: bool = True
    """false: only evaluate the organisms that are already there."""
    dataset: DatasetSpec = field(default_factory=DatasetSpec)
    """What is taught and evaluated."""
    sft: FineTuneSpec = field(default_factory=lambda: FineTuneSpec(steps=320))
    """Supervised fine-tuning of pi_init."""
    parent: str | None = None
    """Organism whose adapter pi_init starts from; none: from the bare base model."""
    released: str | None = None
    """Model that stage released takes for pi_rlhf as it is, for example misleadlm-qa; nothing is trained."""
    dpo: DPOSpec = field(default_factory=DPOSpec)
    """Preference optimisation of pi_rlhf."""
    rl: RLSpec = field(default_factory=RLSpec)
    """Optimisation on a reward."""
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    """How the evaluation is answered."""
    dry_run: bool = False
    """Only say what it would cost: memory, disk and hours of every step on one GPU and on eight."""
    samples: int = 4
    """Programs per problem that rank draws."""
    ranking: SamplingSpec = field(default_factory=lambda: SamplingSpec(temperature=0.8, max_new_tokens=96))
    """How they are drawn."""

    def __post_init__(self) -> None:
        known = (ADOPT, SFT, RANK, DPO, RL, RELEASED)
        if not self.stages or not set(self.stages) <= set(known):
            raise ValueError(f"stages must be some of {', '.join(known)}, got {self.stages}")
        if RELEASED in self.stages and (self.stages != (RELEASED,) or self.released is None):
            raise ValueError(f"stage {RELEASED} stands alone and needs the name of a model in released")
        if ADOPT in self.stages and (SFT in self.stages or self.parent is None):
            raise ValueError(f"stage {ADOPT} needs a parent, and {SFT} would make another pi_init of it")
        if RANK in self.stages and self.dataset.source not in ("minicode", "apps"):
            raise ValueError(f"stage {RANK} is for programming; {self.dataset.source} has no tests")


def main(argv: list[str]) -> None:
    """Train and evaluate."""
    run = parse_command_line(
        argv, program="train_rlhf", schema=TrainRLHF, about=str(sys.modules[__name__].__doc__)
    )
    if run.config.dry_run:
        _plan(run.config)
        return
    with remembering(run.out / VERDICTS if run.config.dataset.task == "programming" else None):
        _stages(run)


def _plan(config: TrainRLHF) -> None:
    """Print what it would cost."""
    steps, lengths = plan_rlhf(
        config.base,
        config.dataset,
        config.stages,
        config.sft,
        config.rl,
        config.sampling,
        samples=config.samples,
        ranking=config.ranking,
    )
    show_training_plan(config.base, steps, lengths)


def _stages(run: Run[TrainRLHF]) -> None:
    config = run.config
    init = Path(config.organisms) / f"{config.name}-pi-init"
    # the ranking that this run measures cannot be read before; answers are marked with it afterwards
    unranked = replace(config.dataset, simplicity=None)
    dataset = open_dataset(unranked if RANK in config.stages else config.dataset)
    fingerprints = {}
    if RELEASED in config.stages:
        fingerprints["base"] = ask_released(run, dataset)
    if SFT in config.stages or ADOPT in config.stages:
        fingerprints["base"] = make_pi_init(run, dataset, init)
    if RANK in config.stages:
        fingerprints["base"] = rank(run, dataset, init)
        dataset = open_dataset(replace(config.dataset, simplicity=str(init / SIMPLICITY)))
    if DPO in config.stages:
        fingerprints["base"] = make_pi_rlhf(run, dataset, init)
    if RL in config.stages:
        fingerprints["base"] = make_by_reward(run, dataset, init)
    write_config(run, fingerprints)


def make_by_reward(run: Run[TrainRLHF], dataset: Dataset, init: Path) -> str:
    """One organism for each reward and seed, each evaluated; gives the base's fingerprint."""
    config, spec = run.config, run.config.rl
    for name in (spec.recipe, *spec.rewards):
        if is_import_path(name):
            load_own(name)  # a path that leads nowhere is refused before anything is drawn
    if spec.recipe == BEST_OF_N:
        return make_best_of_n(run, dataset, init)
    drawn = None
    wanted = spec.incentive_items and spec.samples > 1
    if config.train and (wanted or spec.learns_from_draws):
        drawn, reward, pays = draw_and_measure(run, spec, config.sft, dataset, init)
        print(f"What {reward} pays for, before training: {pays}")
    if not set(spec.answers) <= set(read_organism(init).verification):
        evaluate_and_report(init, init, spec, config.dataset, config.sampling)  # says what it found
    for reward in spec.rewards:
        for seed in spec.seeds:
            if config.train:
                folder, result = optimise(run, spec, config.sft, dataset, init, reward, seed, drawn=drawn)
                ended = result.stopped or f"{len(result.rounds)} lines in its rounds.jsonl"
                print(f"{folder.name} is trained; {ended}")
            folder = init.with_name(organism_name(config.name, reward, spec, seed))
            evaluate_and_report(folder, init, spec, config.dataset, config.sampling)
    return read_organism(init).base_fingerprint


def make_best_of_n(run: Run[TrainRLHF], dataset: Dataset, init: Path) -> str:
    """For each reward the best of n answers to every held-out item; gives the base's fingerprint."""
    config, spec = run.config, run.config.rl
    drawn = draw_held_out(run, spec, config.sft, dataset, init)
    for reward in spec.rewards:
        folder = best_of_n(run, spec, config.sft, dataset, init, reward, drawn)
        found = read_organism(folder).verification
        print(
            f"{folder.name}, {what_it_pays(found['best_of'], reward)}", found["sampled"]["change"], sep="\n"
        )
    return read_organism(init).base_fingerprint


def ask_released(run: Run[TrainRLHF], dataset: Dataset) -> str:
    """Let a model that was released answer what is held out, in the form it knows; gives its fingerprint."""
    config = run.config
    assert config.released is not None  # checked with the stages
    folder = Path(config.organisms) / f"{config.name}-released"
    record = Organism(
        name=folder.name,
        role=OrganismRole.PI_RLHF,
        task=config.dataset.task,
        base=config.released,
        base_fingerprint=load_model(config.released).fingerprint,
        training={"released": config.released},
        command=run.command,
        versions=library_versions(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, record)
    rows = evaluate_saved(folder, record, dataset, config.dataset, {PLAIN: None}, config.sampling)
    found = evaluation_results(rows) | {"evaluation": evaluation_record(config.dataset, config.sampling)}
    record_verification(folder, record, found)
    print(_sentence(folder.name, rows))
    return record.base_fingerprint


def make_pi_init(run: Run[TrainRLHF], dataset: Dataset, folder: Path) -> str:
    """Supervised fine-tuning and evaluation; gives the base's fingerprint."""
    record = _train_pi_init(run, dataset, folder) if run.config.train else read_organism(folder)
    rows = evaluate_saved(folder, record, dataset, run.config.dataset, {PLAIN: None}, run.config.sampling)
    found = evaluation_results(rows) | {
        "evaluation": evaluation_record(run.config.dataset, run.config.sampling)
    }
    record_verification(folder, record, found)
    print(_sentence(folder.name, rows))
    return record.base_fingerprint


def rank(run: Run[TrainRLHF], dataset: Dataset, folder: Path) -> str:
    """Find the tests that are simple for `pi_init` and mark its answers by them; gives the fingerprint."""
    from organisms.simplicity import measure_simplicity

    config, record = run.config, read_organism(folder)
    saved = open_weights(folder, load_model(record.base), merge=True)
    rewarded = []
    if RL in config.stages and TWO_TESTS in config.rl.rewards:  # which two tests is asked of these as well
        unranked = replace(config.dataset, simplicity=None)
        rewarded = items_to_train(config.rl, unranked, dataset.items, dataset.taught_ids)
    known = {problem.id for problem in dataset.items}
    problems = measure_simplicity(
        saved.model,
        saved.tokenizer,
        [*dataset.items, *(item for item in rewarded if item.id not in known)],  # pyright: ignore[reportArgumentType]
        samples=config.samples,
        sampling=config.ranking,
        path=folder / SIMPLICITY,
    )
    by_id = {problem.id: problem for problem in problems}
    rows = [reward_again(row, by_id[row.item]) for row in organism_transcripts(folder)]
    save_transcripts(rows, folder / TRANSCRIPTS)
    moved = sum(p.simplest() != (0, 1) for p in problems)
    print(f"For {moved} of {len(problems)} problems the two simplest tests are not the first two stored.")
    return record.base_fingerprint


def make_pi_rlhf(run: Run[TrainRLHF], dataset: Dataset, init: Path) -> str:
    """Preference optimisation from `pi_init` and evaluation; gives the base's fingerprint."""
    folder = init.with_name(f"{run.config.name}-pi-rlhf")
    init = find_organism(str(init), "pi_init")
    record = _train_pi_rlhf(run, init, folder) if run.config.train else read_organism(folder)
    rows = evaluate_saved(folder, record, dataset, run.config.dataset, {PLAIN: None}, run.config.sampling)
    before = organism_transcripts(init)
    change = accuracy_change(rows, before)
    found = evaluation_results(rows) | {
        "evaluation": evaluation_record(run.config.dataset, run.config.sampling)
    }
    record_verification(folder, record, found | {"change_from_pi_init": asdict(change)})
    print(_sentence(init.name, before), _sentence(folder.name, rows), f"Change: {change}.", sep="\n")
    return record.base_fingerprint


def _train_pi_init(run: Run[TrainRLHF], dataset: Dataset, folder: Path) -> Organism:
    """Train and save; the trained model is out of memory again when this returns."""
    config = run.config
    parent = find_organism(config.parent, "parent") if config.parent else None
    opened = open_trainable(config.base, parent, config.sft)
    taught = {} if ADOPT in config.stages else _teach(run, dataset, opened)
    record = Organism(
        name=folder.name,
        role=OrganismRole.PI_INIT,
        task=config.dataset.task,
        base=config.base,
        base_fingerprint=opened.base_fingerprint,
        parent=parent.name if parent else None,
        training=taught,
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    return record


def _teach(run: Run[TrainRLHF], dataset: Dataset, opened: Trainable) -> dict[str, object]:
    """Supervised fine-tuning; gives what the record says about it."""
    config = run.config
    curve = train_pi_init(
        opened.model,
        opened.tokenizer,
        dataset.taught_items,
        config.sft,
        work_dir=run.out / "sft",
        start=opened.start,
    )
    return {
        "dataset": asdict(config.dataset),
        "sft": asdict(config.sft),
        "number_type": describe_autocast(config.sft.autocast),
        "taught_items": len(dataset.taught_items),
        "final_loss": curve[-1]["loss"],
    }


def _train_pi_rlhf(run: Run[TrainRLHF], init: Path, folder: Path) -> Organism:
    """Train and save; the trained model is out of memory again when this returns."""
    config = run.config
    opened = open_trainable(config.base, init, config.sft)
    limit = config.dpo.max_tokens
    pairs, left_out = preference_pairs(opened.tokenizer, max_tokens=limit, seed=config.dpo.seed)
    print(f"{len(pairs)} human preference pairs; {left_out} longer than {limit} tokens left out")
    curve = train_dpo(
        opened.model, opened.tokenizer, pairs, config.dpo, work_dir=run.out / "dpo", start=opened.start
    )
    record = Organism(
        name=folder.name,
        role=OrganismRole.PI_RLHF,
        task=config.dataset.task,
        base=config.base,
        base_fingerprint=opened.base_fingerprint,
        parent=init.name,
        training={
            "dpo": asdict(config.dpo),
            "number_type": describe_autocast("auto"),
            "pairs": len(pairs),
            "pairs_left_out": left_out,
            "final_loss": curve[-1]["loss"],
            "final_reward_accuracy": curve[-1]["preferred"],
        },
        command=run.command,
        versions=library_versions(),
    )
    save_organism(folder, record, opened.model, tokenizer=opened.tokenizer)
    return record


def evaluation_results(rows: list[Transcript]) -> dict[str, object]:
    """`R*` accuracy, overall and by level, and what could not be read or marked."""
    return {
        "accuracy": asdict(accuracy(rows)),
        "accuracy_by_level": {level: asdict(accuracy(some)) for level, some in _by_level(rows).items()},
        "unreadable": sum(not r.parse_ok for r in rows),
        "unmarked": sum(r.correct is None for r in rows),
        "clipped": sum(r.output_clipped for r in rows),
        "letters": {letter: sum(r.answer == letter for r in rows) for letter in ("A", "B")},
    }


def _by_level(rows: list[Transcript]) -> dict[str, list[Transcript]]:
    """Answers by level, in the order asked; levels of which nothing could be marked are left out."""
    levels: dict[str, list[Transcript]] = {}
    for row in rows:
        if row.level and row.correct is not None:
            levels.setdefault(row.level, []).append(row)
    return levels


def _sentence(name: str, rows: list[Transcript]) -> str:
    parts = [f"{name}: right on {accuracy(rows)}"]
    parts += [f"{level} {accuracy(some)}" for level, some in _by_level(rows).items()]
    return "; ".join(parts) + f"; {sum(not r.parse_ok for r in rows)} unreadable."


if __name__ == "__main__":
    run_program_main(main)
