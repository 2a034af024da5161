"""How long the fits of a study take, measured beforehand on random numbers of the same shape."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from probes.evaluation.families import FAMILIES, Family, fit_cells
from probes.evaluation.folds import FoldPlan, deal_groups
from probes.evaluation.kinds import DomainRole
from probes.evaluation.options import TransferOptions
from study.cells import CellPlace
from study.domains import Reading
from study.opening import OpenOrganism

__all__ = ["FitPlan", "measure_fit", "plan_fits", "show_fits"]


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """What is left to fit."""

    cells: int
    """Rows of the matrix that are not on disk."""
    seconds: float
    """Estimate for the fits alone; nulls, controls and intervals come on top."""


def plan_fits(
    organisms: Sequence[OpenOrganism], left: Sequence[CellPlace], reading: Reading, options: TransferOptions
) -> FitPlan:
    """Estimate the fits of the cells `left`: each source and target once per family, site, tokens, seed."""
    if not left:
        return FitPlan(cells=0, seconds=0.0)
    config = organisms[0].model.config
    layers = config.num_hidden_layers if reading.layers == "all" else len(reading.layers)
    fitted = [organism for organism in organisms if organism.role != DomainRole.CONTROL]
    rows = int(np.median([len(organism.rows) for organism in fitted]))
    groups: dict[str, set[tuple[int, str, str]]] = defaultdict(set)
    for place in left:
        groups[place.probe].add((place.seed, place.site, place.tokens))
    seconds = 0.0
    for probe, times in groups.items():
        family = FAMILIES[probe]
        one = measure_fit(family, rows, config.hidden_size, options.n_folds)
        seconds += one * min(layers, family.max_layers or layers) * len(fitted) * len(times)
    return FitPlan(cells=len(left), seconds=seconds)


def measure_fit(family: Family, rows: int, width: int, n_folds: int) -> float:
    """Seconds that all nested fits of one layer take, on normal numbers, half of the rows in each class."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, width)), np.arange(rows) % 2
    names = np.array([f"{row // 2}" for row in range(rows)])
    plan = FoldPlan.make(names, deal_groups([names], n_folds, 0), n_folds)
    started = time.perf_counter()
    fit_cells(family, X, y, plan.masks, names)
    return time.perf_counter() - started


def show_fits(plan: FitPlan, cells: int, console: Console) -> None:
    """Print what is left to fit."""
    there = cells - plan.cells
    words = f"{cells} {'row' if cells == 1 else 'rows'} of the matrix to compute" if not there else (
        f"{plan.cells} of {cells} rows of the matrix to compute, {there} are on disk"
    )  # fmt: skip
    if plan.cells:
        words += f": fits take about {plan.seconds / 60:.1f} minutes; nulls, controls and intervals on top"
    console.print(words + ".", highlight=False)
