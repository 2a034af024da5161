"""The designs D1 to D4 of one family: which scores are made by whom, and what each is held against.

`Setup` is what a design may use; its records go to `Findings`. Frozen scores are computed and kept
before the assessor of a target, who alone holds its labels, is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probes.contrast import ContrastPairProbe
from probes.evaluation.arrays import Scores
from probes.evaluation.delong import delong_interval
from probes.evaluation.evaluate import ReadOut
from probes.evaluation.families import score_size
from probes.evaluation.folds import shared_groups
from probes.evaluation.kinds import Design
from probes.evaluation.metrics import auroc_columns
from probes.evaluation.results import LayerCurve, MatrixCell
from probes.evaluation.shuffled import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from probes.evaluation.crossfit import CrossFit, Selection
    from probes.evaluation.domain import Domain
    from probes.evaluation.evaluate import Assessor
    from probes.evaluation.families import Family
    from probes.evaluation.findings import CellRecord, Findings
    from probes.evaluation.options import TransferOptions

__all__ = ["Scored", "Setup", "run_contrast", "run_family"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """One family with its fits, and the assessors of all domains."""

    family: Family
    source: Domain
    targets: tuple[Domain, ...]
    controls: tuple[Domain, ...]
    fits: Mapping[str, CrossFit]
    assessors: Mapping[str, Assessor]
    fold_of: dict[str, int]
    options: TransferOptions
    seed: int
    headline: bool
    controlled: bool  # controls are scored beside this family

    def crossing(self, fitted_on: Domain, scored_on: Domain) -> dict[str, int] | None:
        """Return the folds to respect when the two domains share groups, else None."""
        return self.fold_of if shared_groups(fitted_on.groups, scored_on.groups) else None

    def frozen(self, other: Domain, layers: Sequence[int] | None = None) -> Float[np.ndarray, " other"]:
        """Return the source probe's frozen scores of another domain."""
        return self.fits[self.source.name].scores_on(
            other.unlabelled(), self.crossing(self.source, other), layers
        )

    @property
    def selection(self) -> Selection:
        """The source's choice of layer and setting."""
        return self.fits[self.source.name].select()

    def where(self, fit: CrossFit, selection: Selection) -> CellRecord:
        """Describe a cell for a record."""
        index = selection.layer_index
        return {
            "layer": self.source.layer_names[index],
            "depth": self.source.depths[index],
            "setting": fit.family.settings[selection.setting_index],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """The score vectors of one family that later comparisons need."""

    read_outs: Mapping[str, ReadOut]  # by scored domain; all learned on source rows
    source: Scores
    frozen: Mapping[str, Float[np.ndarray, " _"]]  # D1 by target and control
    ceiling: Mapping[str, Float[np.ndarray, " _"]]  # D2 by target


def run_family(setup: Setup, found: Findings) -> Scored:
    """Run D1, D2, D4 and the positive control of one family."""
    source, options, name = setup.source, setup.options, setup.family.name
    fit = setup.fits[source.name]
    selection = setup.selection
    positive, inner_choices = fit.nested_scores()
    # Thresholds come from the scores that the frozen scores are comparable with: cross-fitted ones where
    # groups are shared, those of the one chosen cell elsewhere.
    nested, chosen = (
        ReadOut.learn(source.name, source.y, scores, options.alphas)
        for scores in (positive, fit.oof[selection.cell])
    )
    others = (*setup.targets, *setup.controls)
    scored = Scored(
        read_outs={source.name: nested}
        | {other.name: nested if setup.crossing(source, other) else chosen for other in others},
        source=positive,
        frozen={other.name: setup.frozen(other) for other in others},
        ceiling={target.name: setup.fits[target.name].nested_scores()[0] for target in setup.targets},
    )
    where = setup.where(fit, selection)
    found.selection.append(
        {
            "probe": name,
            "selected_on": source.name,
            "rule": "highest out-of-fold AUROC; ties within .001 by Brier score, then nearest the middle",
            **where,
            "auroc": selection.auroc,
            "tied_cells": selection.tied,
            "thresholds": {str(a): fit.raw(t, selection) for a, t in chosen.thresholds.items()},
            "outer_folds": [setup.where(fit, choice) for choice in inner_choices],
        }
    )
    assessor = setup.assessors[source.name]
    common = {"probe": name, "keep_scores": options.keep_scores}
    found.evaluations.append(
        assessor.evaluate(
            positive,
            design=Design.SOURCE,
            fitted_on=source.name,
            read_out=nested,
            fitted_here=True,
            **common,
            **where,
        )
    )
    for target in setup.targets:
        _run_target(setup, scored, target, where, found)
    _curves(setup, found)
    if setup.headline:
        _matrix(setup, scored, found)
    return scored


def _run_target(setup: Setup, scored: Scored, target: Domain, where: CellRecord, found: Findings) -> None:
    source, fit, own = setup.source, setup.fits[setup.source.name], setup.fits[target.name]
    assessor = setup.assessors[target.name]
    common = {"probe": setup.family.name, "keep_scores": setup.options.keep_scores}
    found.evaluations.append(
        assessor.evaluate(
            scored.frozen[target.name],
            design=Design.D1,
            fitted_on=source.name,
            read_out=scored.read_outs[target.name],
            **common,
            **where,
        )
    )
    found.evaluations.append(
        assessor.evaluate(
            scored.ceiling[target.name],
            design=Design.D2,
            fitted_on=target.name,
            fitted_here=True,
            **common,
            **setup.where(own, own.select()),
        )
    )
    crossing = setup.crossing(source, target)
    grids = {
        Design.D4A: (source.name, fit, (fit.elsewhere_out if crossing else fit.elsewhere)[target.name]),
        Design.D4B: (target.name, own, own.oof),
    }
    for design, (fitted_on, chosen_from, grid) in grids.items():
        table = auroc_columns(target.y, grid)
        layer, setting = (int(i) for i in np.unravel_index(table.argmax(), table.shape))
        found.evaluations.append(
            assessor.evaluate(
                grid[layer, setting],
                design=design,
                fitted_on=fitted_on,
                grid_scores=grid,
                fitted_here=fitted_on == target.name,
                layer=source.layer_names[layer],
                depth=source.depths[layer],
                setting=chosen_from.family.settings[setting],
                **common,
            )
        )


def _curves(setup: Setup, found: Findings) -> None:
    source, name = setup.source, setup.family.name
    count = range(len(source.layer_names))
    if len(source.layer_names) < 2:
        return
    fit = setup.fits[source.name]
    chosen = source.layer_names[setup.selection.layer_index]

    def add(
        design: Design,
        fitted_on: str,
        scored_on: Domain,
        selected: int | None,
        make: Callable[[int], Scores],
    ):
        scores = [make(index) for index in count]
        found.layer_curves.append(
            layer_curve(design, name, fitted_on, scored_on, scores, selected, setup.options.level)
        )

    add(Design.SOURCE, source.name, source, chosen, lambda i: fit.nested_scores([i])[0])
    for target in setup.targets:
        own = setup.fits[target.name]
        best = source.layer_names[own.select().layer_index]
        add(Design.D1, source.name, target, chosen, lambda i, t=target: setup.frozen(t, [i]))
        add(Design.D2, target.name, target, best, lambda i, own=own: own.nested_scores([i])[0])
    for control in setup.controls:
        add(Design.D1, source.name, control, chosen, lambda i, c=control: setup.frozen(c, [i]))


def layer_curve(
    design: Design,
    probe: str,
    fitted_on: str,
    scored_on: Domain,
    scores: Sequence[Scores],
    selected: int | None,
    level: float,
) -> LayerCurve:
    """Return the AUROC of one score vector per layer, with clustered DeLong intervals."""
    points = [delong_interval(scored_on.y, vector, scored_on.groups, level=level) for vector in scores]
    return LayerCurve(
        design=design,
        probe=probe,
        fitted_on=fitted_on,
        scored_on=scored_on.name,
        layers=scored_on.layer_names,
        depth=scored_on.depths,
        auroc=tuple(point.value for point in points),
        low=tuple(point.low for point in points),
        high=tuple(point.high for point in points),
        level=level,
        selected=selected,
        sample=scored_on.sample,
    )


def _matrix(setup: Setup, scored: Scored, found: Findings) -> None:
    """Every domain with a fit against every other; the diagonal is cross-fitted."""
    domains = (setup.source, *setup.targets)
    for fitted_on in domains:
        fit = setup.fits[fitted_on.name]
        layer = setup.source.layer_names[fit.select().layer_index]
        for scored_on in domains:
            if fitted_on is scored_on:
                scores = scored.source if fitted_on is setup.source else scored.ceiling[fitted_on.name]
            else:
                scores = fit.scores_on(scored_on.unlabelled(), setup.crossing(fitted_on, scored_on))
            auroc = setup.assessors[scored_on.name].auroc(scores)
            found.matrix.append(
                MatrixCell(
                    fitted_on=fitted_on.name,
                    scored_on=scored_on.name,
                    probe=setup.family.name,
                    layer=layer,
                    auroc=auroc,
                    sample=scored_on.sample,
                    inverted=auroc.high is not None and auroc.high < 0.5,
                )
            )


def run_contrast(
    domains: Sequence[Domain], assessors: Mapping[str, Assessor], options: TransferOptions, found: Findings
) -> None:
    """Run D3: the contrast-pair direction of each domain's own model, at the preset middle layer."""
    for domain in domains:
        if domain.pairs is None:
            continue
        scores = []
        for index in range(len(domain.layer_names)):
            sides = domain.pair_layer(index)
            assert sides is not None
            probe, X = ContrastPairProbe().fit_pairs(*sides), domain.layer(index)
            own = probe.decision_function(X)[None]
            scores.append(settle(own, [score_size(probe, X, own)])[0])
        preset = int(np.argmin(np.abs(np.array(domain.depths) - options.contrast_depth)))
        layer = domain.layer_names[preset]
        found.evaluations.append(
            assessors[domain.name].evaluate(
                scores[preset],
                design=Design.D3,
                probe="contrast-pair",
                fitted_on=domain.name,
                layer=layer,
                depth=domain.depths[preset],
                setting={"pairs": len(domain.pair_layer(preset)[0])},  # pyright: ignore[reportOptionalSubscript]
                keep_scores=options.keep_scores,
            )
        )
        if len(scores) > 1:
            found.layer_curves.append(
                layer_curve(Design.D3, "contrast-pair", domain.name, domain, scores, layer, options.level)
            )
