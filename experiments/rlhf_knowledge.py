"""Ask `pi_rlhf` and `pi_init` again, out of role, about stories that `pi_rlhf` answered wrongly and rightly.

    python experiments/rlhf_knowledge.py --preset mini-long

Reads the preset's train_rlhf section and the saved answers; draws stories with a seed, asks, and writes
`OUT/report/NAME-pi-rlhf-knowledge.json`, which `figures.py OUT/report` draws with the other measures. Two
plain CPU cores ask twenty stories a minute.
"""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

from activations import load_model
from experiments.config import parse_command_line
from experiments.program import run_program_main
from experiments.train_rlhf import TrainRLHF
from organisms.record import organism_transcripts, read_organism
from organisms.weights import open_weights
from rlhf.diagnostics.knowledge import knowledge_report, likelihood_answerer
from study.rlhf_figures import KNOWLEDGE
from tasks.sources import open_dataset

logger = logging.getLogger(__name__)

WRONG, RIGHT, SEED = 150, 50, 0
"""Stories asked at most of each kind, and what draws them."""


def main(argv: list[str]) -> None:
    """Draw, ask, save."""
    run = parse_command_line(
        argv, program="train_rlhf", schema=TrainRLHF, about=str(sys.modules[__name__].__doc__)
    )
    config = run.config
    folders = [Path(config.organisms) / f"{config.name}-{role}" for role in ("pi-rlhf", "pi-init")]
    items = {item.id: item for item in open_dataset(config.dataset).items}
    rows = organism_transcripts(folders[0])
    chance = random.Random(SEED)
    wrong, right = (
        [items[i] for i in chance.sample(some, min(most, len(some)))]
        for some, most in (
            ([row.item for row in rows if row.correct is False], WRONG),
            ([row.item for row in rows if row.correct], RIGHT),
        )
    )
    logger.info("asking about %d stories answered wrongly and %d answered rightly", len(wrong), len(right))
    model, parent = (
        likelihood_answerer(
            open_weights(folder, load_model(read_organism(folder).base, dtype="float32"), merge=True)
        )
        for folder in folders
    )
    names = [folder.name for folder in folders]
    report = knowledge_report(wrong, model, parent, organism=names[0], parent_name=names[1], right=right)
    path = run.out / "report" / f"{names[0]}{KNOWLEDGE}"
    report.save(path)
    print(
        f"{names[0]} knows {report.wrong.right} of what it answered wrongly; {names[1]} "
        f"{report.wrong_parent.right}. Wrote {path}."
    )


if __name__ == "__main__":
    run_program_main(main)
