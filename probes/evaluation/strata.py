"""The AUROC of D1 and D2 inside subsets of a target's rows: answer letter, length, evidence visible, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from probes.evaluation.arrays import Mask, Scores
from probes.evaluation.bootstrap import bootstrap_auroc
from probes.evaluation.domain import sample_of
from probes.evaluation.kinds import Design
from probes.evaluation.results import Estimate, StratumScore

if TYPE_CHECKING:
    from probes.evaluation.designs import Scored, Setup
    from probes.evaluation.domain import Domain
    from probes.evaluation.findings import Findings

__all__ = ["run_strata"]


def run_strata(setup: Setup, scored: Scored, found: Findings) -> None:
    """Score D1 and D2 inside every level of every stratum variable of each target."""
    for target in setup.targets:
        for variable, values in _variables(target).items():
            for level in np.unique(values):
                rows = values == level
                for design, scores in (
                    (Design.D1, scored.frozen[target.name]),
                    (Design.D2, scored.ceiling[target.name]),
                ):
                    found.strata.append(_stratum(setup, target, variable, str(level), design, scores, rows))


def _variables(domain: Domain) -> dict[str, Shaped[np.ndarray, " row"]]:
    variables = {name: values.astype(str) for name, values in (domain.strata or {}).items()}
    if domain.texts is not None and "length" not in variables:
        lengths = np.array([len(text.split()) for text in domain.texts])
        edges = np.quantile(lengths, [1 / 3, 2 / 3])
        names = np.array(["short", "middle", "long"])
        variables["length"] = names[np.searchsorted(edges, lengths, side="left")]
    return variables


def _stratum(
    setup: Setup,
    target: Domain,
    variable: str,
    level: str,
    design: Design,
    scores: Scores,
    rows: Mask,
) -> StratumScore:
    y, groups = target.y[rows], target.groups[rows]
    sample = sample_of(y, groups)
    smallest = min(sample.n_positive, sample.n_negative)
    common = {"variable": variable, "level": level, "design": design, "probe": setup.family.name}
    if smallest < setup.options.min_stratum or sample.n_groups < 2:
        empty = Estimate(value=None, method="too few rows")
        note = f"fewer than {setup.options.min_stratum} rows of a class"
        return StratumScore(**common, scored_on=target.name, auroc=empty, sample=sample, note=note)
    found = bootstrap_auroc(
        y, scores[rows], groups, level=setup.options.level, n_draws=setup.options.n_draws, seed=setup.seed
    )
    auroc = Estimate(
        value=found.value, low=found.low, high=found.high, level=found.level, method=found.method
    )
    return StratumScore(**common, scored_on=target.name, auroc=auroc, sample=sample)
