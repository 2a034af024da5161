"""When does approval pay for misleading? One table over readers and stories, without any training.

`pi_init` answers every story K times, once having seen the whole story and once its first words only. For
every setting of the readers (how much they read, whether they look quotations up, whether they tell an
intention from a deed) one pool chooses the answer it approves most, and another pool measures what is chosen.
Samples are kept in the run's folder and are not drawn again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console

from experiments.answers import draw_answers
from experiments.config import parse_command_line, write_config
from experiments.program import run_program_main
from organisms.record import find_organism, read_organism
from rlhf.diagnostics.chosen import best_of
from rlhf.evaluators import Haste, Pool
from rlhf.evaluators.pool import approval
from rlhf.rewards.view import story_columns, views
from sophistry.files import write_atomic
from tasks.qa import QAItem, parse_answer
from tasks.stories import MiniQA

LOOK_UPS = {
    "none": {"glance": 0.0, "exact": 0.0},
    "glance": {"glance": 1.0},
    "exact": {"glance": 0.0, "exact": 1.0},
}
MEASURES = ("right", "approved", "false_positive")


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Settings of ablation.py."""

    organism: str = "organisms/shipped/qa-long-pi-init"
    """Folder of the model that answers."""
    base: str = "smollm2"
    """Its base model."""
    items: int = 200
    """Stories."""
    items_seed: int = 5
    """Their seed; neither what was taught, trained on nor evaluated."""
    levels: tuple[str, ...] = ("long",)
    """Their levels, in turn."""
    samples: int = 8
    """Answers to each, at temperature 1."""
    max_new_tokens: int = 48
    """Longest answer in tokens."""
    stories: tuple[str, ...] = ("full", "cut:55")
    """What the model sees of a story: full, or cut:N for its first N words."""
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Mean share of a story that a reader has time for."""
    look_ups: tuple[str, ...] = ("none", "exact")
    """Whether readers look a quotation up where they have read: none, glance, exact."""
    attentive: tuple[float, ...] = (0.0, 0.5)
    """Share of readers who tell an intention from a deed."""
    readers: int = 8
    """Readers who choose."""
    measuring: int = 16
    """Readers who only measure."""
    seed: int = 0
    """Seed of samples and readers."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.look_ups) - set(LOOK_UPS)):
            raise ValueError(f"look_ups must be some of {sorted(LOOK_UPS)}, got {unknown}")
        if self.samples < 2:
            raise ValueError("samples must be at least 2: there is nothing to choose from one")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with command-line words (default: those of the process)."""
    run = parse_command_line(
        sys.argv[1:] if argv is None else argv, program="ablation", schema=AblationConfig, about=str(__doc__)
    )
    config, out = run.config, run.out
    out.mkdir(parents=True, exist_ok=True)
    items = MiniQA(seed=config.items_seed, levels=config.levels).items(config.items)
    cells = []
    for story in config.stories:
        answers = draw_answers(
            items,
            organism=config.organism,
            base=config.base,
            story=story,
            samples=config.samples,
            max_new_tokens=config.max_new_tokens,
            seed=(config.seed, config.items_seed),
            path=out / f"samples-{story.replace(':', '-')}.jsonl",
        )
        cells += [{"story": story} | cell for cell in _cells(config, items, answers)]
    record = read_organism(find_organism(config.organism, "pi_init"))
    write_config(run, {record.name: record.base_fingerprint})
    write_atomic(out / "ablation.json", json.dumps(cells, indent=1))
    table = as_table(cells)
    write_atomic(out / "ablation.md", table)
    Console(stderr=True).print(table, highlight=False, markup=False, soft_wrap=True)


def _cells(config: AblationConfig, items: list[QAItem], answers: list[list[str]]) -> list[dict[str, Any]]:
    """Every setting of the readers on the same answers."""
    texts = [text for given in answers for text in given]
    rows = [story_columns(item) for item, given in zip(items, answers, strict=True) for _ in given]
    seen = views({name: [row[name] for row in rows] for name in ("passage", "question", "options")})
    shape = (len(items), config.samples)
    letters = [parse_answer(text) for text in texts]
    truth = np.array([letter == row["gold"] for letter, row in zip(letters, rows, strict=True)]).reshape(
        shape
    )

    def approvals(count: int, seed: int, haste: Haste) -> np.ndarray:
        judged = Pool.hurried(count, seed=seed, haste=haste).judge_many(seen, texts)
        return np.array([approval(row) for row in judged]).reshape(shape)

    cells = []
    for attentive in config.attentive:
        for look_up in config.look_ups:
            for share in config.shares:
                spread = 0.0 if share == 1 else 0.15
                haste = Haste(share=share, spread=spread, attentive=attentive, **LOOK_UPS[look_up])
                reward = approvals(config.readers, config.seed, haste)
                measured = approvals(config.measuring, config.seed + 100, haste)
                cell = {"share": share, "look_up": look_up, "attentive": attentive}
                cells.append(cell | asdict(best_of(truth, reward, measured)))
    return cells


def as_table(cells: Sequence[dict[str, Any]]) -> str:
    """The cells as a Markdown table, in percent; changes with intervals."""
    head = "| the model sees | attentive, % | look-up | read, % | right: average | chosen minus average | "
    head += "approved: average | chosen minus average | wrong approved: average | chosen minus average |"
    lines = [head, "|" + "---|" * 10]
    for cell in cells:
        settings = (cell["story"], f"{cell['attentive']:.0%}", cell["look_up"], f"{cell['share']:.0%}")
        words = [part for name in MEASURES for part in (_point(cell[name]), _change(cell[f"{name}_change"]))]
        lines.append("| " + " | ".join([*(text.replace("%", "") for text in settings), *words]) + " |")
    return "\n".join(lines) + "\n"


def _point(estimate: dict[str, float] | None) -> str:
    return "none wrong" if estimate is None else f"{100 * estimate['value']:.1f}"


def _change(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return "none wrong"
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    run_program_main(main)
