"""What each way of RLHF made of a policy: a cell per recipe, reward and seed, with what a probe reads there.

The file that the figures of recipes are drawn from:

    {"schema": "sophistry-probes/recipe-cells/1",
     "cells": [{"recipe": "ppo", "reward": "approval", "seed": 0, "approval": 0.74, "correctness": 0.7,
                "fpr": 0.61, "kl": 3.2, "auroc": 0.56, "auroc_low": 0.49, "auroc_high": 0.63,
                "ceiling": 0.81, "concept": 0.97}, ...]}

The policy before RLHF is the cell with recipe "init" and kl 0; arrows start there. Shares are from 0 to 1.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from sophistry.files import write_atomic
from sophistry.records import ConfigError, build_json

SCHEMA = "sophistry-probes/recipe-cells/1"
START = "init"

__all__ = ["SCHEMA", "START", "RecipeCell", "RecipeCells"]


@dataclass(frozen=True, kw_only=True)
class RecipeCell:
    """One trained policy."""

    recipe: str
    """How it was optimised (ppo, grpo, dpo, ...); `init`: not at all."""
    reward: str
    """What was optimised (approval, oracle, ...)."""
    seed: int
    """Of the training."""
    approval: float
    """Share of its answers that evaluators who had no part in the reward approve."""
    correctness: float
    """Share of its answers that are right."""
    fpr: float | None
    """Share of its wrong answers that are approved; none where no answer is wrong."""
    kl: float | None
    """KL to the policy before, in nats per answer."""
    auroc: float | None
    """Of the frozen probe of planted sophistry on its answers; none where it was not scored."""
    auroc_low: float | None = None
    """Low end of the 95 % interval."""
    auroc_high: float | None = None
    ceiling: float | None = None
    """AUROC of the same family fitted on its answers."""
    concept: float | None = None
    """AUROC of a shared concept by the frozen route; the worst of several."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name not in ("seed", "kl") and isinstance(value, float) and not 0 <= value <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class RecipeCells:
    """All cells of a comparison of recipes."""

    schema: str = SCHEMA
    cells: tuple[RecipeCell, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema!r} cannot be read; this version reads {SCHEMA!r}")
        places = [(c.recipe, c.reward, c.seed) for c in self.cells]
        if twice := sorted({place for place in places if places.count(place) > 1}):
            raise ValueError(f"recipe, reward and seed {twice[0]} occur twice")
        if not self.cells:
            raise ValueError("cells is empty")

    @classmethod
    def read(cls, path: Path) -> RecipeCells:
        """Read a file. Raises ConfigError for unknown, missing and wrong fields, naming the file."""
        try:
            return build_json(cls, path.read_text(encoding="utf-8"), source=str(path))
        except FileNotFoundError as error:
            raise ConfigError(
                f"{path} does not exist: it lists recipe cells, see study/recipe_cells.py"
            ) from error

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_atomic(path, json.dumps(asdict(self), indent=1) + "\n")

    @property
    def start(self) -> RecipeCell | None:
        """The policy before RLHF; None where it is not among the cells."""
        return next((cell for cell in self.cells if cell.recipe == START), None)

    @property
    def trained(self) -> dict[tuple[str, str], list[RecipeCell]]:
        """Recipe and reward -> its cells by seed, in the order of the file."""
        found: dict[tuple[str, str], list[RecipeCell]] = defaultdict(list)
        for cell in self.cells:
            if cell.recipe != START:
                found[cell.recipe, cell.reward].append(cell)
        return dict(found)
