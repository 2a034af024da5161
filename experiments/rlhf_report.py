"""Measure every organism that a reward has made of `pi_init`: one JSON each, figures, ten transcripts.

    python experiments/rlhf_report.py --preset mini-long --organisms organisms/shipped

Reads the preset's train_rlhf section and the organisms' saved answers; no model is opened. Every organism
NAME-* whose parent is NAME-pi-init is measured by readers who had no part in any reward. Results go to
`OUT/report/`: NAME.json, `figures/`, `transcripts.md`, and `mismatch.md` on what was optimised and what came
of it, round by round. `figures.py OUT/report` draws the figures again.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from experiments.config import parse_command_line
from experiments.optimise import ROUNDS
from experiments.program import run_program_main
from experiments.train_rlhf import TrainRLHF
from organisms.record import RECORD, Organism, organism_transcripts, read_organism
from rlhf.diagnostics.measures import measure
from rlhf.diagnostics.mismatch import Mismatch, mismatch, mismatch_page
from rlhf.diagnostics.over_optimisation import over_optimisation
from rlhf.diagnostics.side_by_side import side_by_side
from rlhf.diagnostics.trend import FEWEST
from sophistry.files import write_atomic
from study.rlhf_figures import draw_report
from tasks.sources import open_dataset

logger = logging.getLogger(__name__)

MISMATCH = "mismatch"
"""Page, and folder of what it is made from."""
SHOWN = 10
"""Transcripts shown before and after."""
SHOWN_SEED = 0
"""Draws them among all items, whatever was answered."""


def main(argv: list[str]) -> None:
    """Measure, save, draw."""
    run = parse_command_line(
        argv, program="train_rlhf", schema=TrainRLHF, about=str(sys.modules[__name__].__doc__)
    )
    config, out = run.config, run.out / "report"
    dataset, init = open_dataset(config.dataset), Path(config.organisms) / f"{config.name}-pi-init"
    found = {init: read_organism(init)} | _made_of(init)
    before = organism_transcripts(init)
    compared: list[Mismatch] = []
    for folder, record in found.items():
        logger.info("measuring %s", folder)
        reward = record.training.get("reward")
        rounds = folder / ROUNDS
        measure(
            dataset.items,
            organism_transcripts(folder),
            config.rl.measuring_pool(config.dataset.task),
            role=record.role,
            reward=reward,
            seed=record.training.get("seed"),
            before=None if folder == init else before,
            curve=over_optimisation(rounds, oracle=reward == "oracle") if rounds.is_file() else (),
        ).save(out / f"{record.name}.json")
        if rounds.is_file() and sum(1 for _ in rounds.open(encoding="utf-8")) >= FEWEST:
            compared.append(mismatch(rounds, run=record.name, oracle=reward == "oracle"))
            compared[-1].save(out / MISMATCH / f"{record.name}.json")
    if compared:
        write_atomic(out / f"{MISMATCH}.md", mismatch_page(compared))
    after = next((folder for folder, record in found.items() if record.role == "pi_rlhf"), None)
    if after is not None:
        text = side_by_side(
            dataset.items, before, organism_transcripts(after), n=min(SHOWN, len(before)), seed=SHOWN_SEED
        )
        write_atomic(out / "transcripts.md", text)
    print(draw_report(out) or f"Wrote {out}.")


def _made_of(init: Path) -> dict[Path, Organism]:
    """Organisms beside `init` that were made of it, by name."""
    folders = sorted(path.parent for path in init.parent.glob(f"*/{RECORD}"))
    records = {folder: read_organism(folder) for folder in folders}
    return {folder: record for folder, record in records.items() if record.parent == init.name}


if __name__ == "__main__":
    run_program_main(main)
