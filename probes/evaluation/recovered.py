"""How much of its in-target ceiling a frozen probe reaches, from the same draws of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probes.evaluation.bootstrap import has_spread, interval_of_draws
from probes.evaluation.kinds import ControlKind, Design
from probes.evaluation.results import Estimate, Recovered

if TYPE_CHECKING:
    from probes.evaluation.designs import Scored, Setup
    from probes.evaluation.findings import Findings

__all__ = ["pgr_of", "run_recovered"]


def run_recovered(setup: Setup, scored: Scored, found: Findings) -> None:
    """Record how much of the ceiling D1 reaches, from the same draws; no ratio on a shaky denominator."""
    for target in setup.targets:
        assessor = setup.assessors[target.name]
        frozen = assessor.draws(scored.frozen[target.name])
        ceiling = assessor.draws(scored.ceiling[target.name])
        ours = assessor.auroc(scored.frozen[target.name], frozen)
        best = assessor.auroc(scored.ceiling[target.name], ceiling)
        floor_name, floor = _best_text(found, target.name)
        suppressed = not _clear_of(best, 0.5)
        gap_low, gap_high = assessor.difference(best, ours, (ceiling, frozen))
        found.recovered.append(
            Recovered(
                target=target.name,
                probe=setup.family.name,
                recovered=None if suppressed else _ratio(ours, best, 0.5, frozen, ceiling),
                pgr=pgr_of(ours, best, floor, frozen, ceiling),
                floor_name=floor_name,
                gap=Estimate(
                    value=(best.value or 0.0) - (ours.value or 0.0),
                    low=gap_low,
                    high=gap_high,
                    level=assessor.level,
                    method="paired cluster bootstrap",
                ),
                suppressed=suppressed,
            )
        )


def _best_text(found: Findings, target: str) -> tuple[str | None, float | None]:
    """Return the frozen text control with the highest AUROC on the target."""
    texts = [
        control
        for control in found.controls
        if control.kind == ControlKind.TEXT
        and control.scored_on == target
        and control.compared_with == Design.D1
    ]
    if not texts:
        return None, None
    best = max(texts, key=lambda control: control.auroc.value or 0.0)
    return best.name, best.auroc.value


def _clear_of(ceiling: Estimate, floor: float) -> bool:
    """Whether the ceiling's whole interval is above the floor by enough to divide by."""
    return ceiling.low is not None and ceiling.low - floor > 0.05


def pgr_of(
    ours: Estimate,
    best: Estimate,
    floor: float | None,
    frozen: Float[np.ndarray, " draw"],
    ceiling: Float[np.ndarray, " draw"],
) -> Estimate | None:
    """Return the performance gap recovered above a floor.

    None where the floor or the ceiling is below one half, since a gap below chance means nothing, and where
    the ceiling is not clear of the floor.
    """
    if floor is None or floor < 0.5 or (best.value or 0.0) < 0.5 or not _clear_of(best, floor):
        return None
    return _ratio(ours, best, floor, frozen, ceiling)


def _ratio(
    ours: Estimate,
    best: Estimate,
    floor: float,
    frozen: Float[np.ndarray, " draw"],
    ceiling: Float[np.ndarray, " draw"],
) -> Estimate:
    """Return (ours - floor) / (best - floor) with an interval from the same draws.

    Where one of the two is 0 or 1 its draws are all the same, and the ends of both intervals are divided.
    """
    assert None not in (ours.value, best.value, ours.low, ours.high, best.low, best.high)
    above, top = ours.value - floor, best.value - floor  # pyright: ignore[reportOptionalOperand]
    if has_spread(frozen) and has_spread(ceiling):
        low, high = interval_of_draws((frozen - floor) / (ceiling - floor), ours.level)
        method = "paired cluster bootstrap"
    else:
        lowest, highest = ours.low - floor, ours.high - floor  # pyright: ignore[reportOptionalOperand]
        least, most = best.low - floor, best.high - floor  # pyright: ignore[reportOptionalOperand]
        low, high = min(lowest / least, lowest / most), max(highest / least, highest / most)
        method = "newcombe"
    return Estimate(value=float(above / top), low=low, high=high, level=ours.level, method=method)
