"""How much an AUROC depends on how groups were dealt to folds, and on training seeds.

One split is one draw. With `TransferOptions(n_splits=...)` every design of a family runs again under other
group splits (and other seeds, for probes that have one), and the standard deviation over all runs is written
beside each estimate. Seeds are replicates, never a grid to take the best of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.evaluation.crossfit import fit_domains
from probes.evaluation.folds import deal_groups
from probes.evaluation.kinds import Design
from probes.evaluation.metrics import auroc

if TYPE_CHECKING:
    from probes.evaluation.designs import Setup
    from probes.evaluation.families import Family
    from probes.evaluation.findings import CellRecord, Findings

__all__ = ["run_repeats"]

SEEDS_APART = 1000  # more than any probe averages over, so that no repeat shares a training seed


@dataclass(frozen=True, kw_only=True)
class _Repeat:
    """What one other split found."""

    aurocs: dict[tuple[Design, str], float]
    """By design and domain scored on."""
    chosen: CellRecord


def run_repeats(setup: Setup, found: Findings, **how: Any) -> None:
    """Repeat fits, selection and scoring under other splits; set `seed_sd` of source, D1 and D2.

    `how` goes to `cross_fit`. Nothing happens with `n_splits` of 1.
    """
    runs = [_once(setup, repeat, how) for repeat in range(1, setup.options.n_splits)]
    if not runs:
        return
    for place, evaluation in enumerate(found.evaluations):
        key = evaluation.design, evaluation.scored_on
        if evaluation.probe == setup.family.name and key in runs[0].aurocs:
            values = [evaluation.auroc.value, *(run.aurocs[key] for run in runs)]
            found.evaluations[place] = replace(evaluation, seed_sd=float(np.std(values, ddof=1)))
    found.selection_of(setup.family.name)["other_splits"] = [run.chosen for run in runs]


def _once(setup: Setup, repeat: int, how: dict[str, Any]) -> _Repeat:
    """Return the AUROC of each design, and the choice on the source, under another split."""
    source, targets, n_folds = setup.source, setup.targets, setup.options.n_folds
    everyone = (source, *targets, *setup.controls)
    fold_of = deal_groups([domain.groups for domain in everyone], n_folds, setup.seed + repeat)
    family = _reseeded(setup.family, repeat)
    fits = fit_domains(family, source, targets, (), fold_of, n_folds, **how)
    again = replace(setup, family=family, fits=fits, fold_of=fold_of)
    aurocs = {(Design.SOURCE, source.name): auroc(source.y, fits[source.name].nested_scores()[0])}
    for target in targets:
        aurocs[Design.D1, target.name] = auroc(target.y, again.frozen(target))
        aurocs[Design.D2, target.name] = auroc(target.y, fits[target.name].nested_scores()[0])
    return _Repeat(aurocs=aurocs, chosen=again.where(fits[source.name], again.selection))


def _reseeded(family: Family, repeat: int) -> Family:
    params = family.probe.get_params()
    if "random_state" not in params:
        return family
    return replace(family, probe=family.make({"random_state": params["random_state"] + SEEDS_APART * repeat}))
