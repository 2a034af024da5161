"""Controls beside a probe on the same rows: what else scores as well.

Differences are paired: probe and control are scored on the same bootstrap draws of groups. On a target a
control frozen on the source stands against D1, and one fitted in the target against D2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probes.evaluation import controls
from probes.evaluation.arrays import Scores
from probes.evaluation.bootstrap import interval_of_draws
from probes.evaluation.crossfit import cross_fit
from probes.evaluation.delong import delong_test
from probes.evaluation.evaluate import make_roc
from probes.evaluation.folds import FoldPlan
from probes.evaluation.kinds import ControlKind, Design
from probes.evaluation.metrics import auroc_columns
from probes.evaluation.nulls import permuted_labels
from probes.evaluation.results import ControlScore, Estimate, NullSummary
from probes.evaluation.shuffled import linear_in_labels, shuffled_scores
from probes.rounding import histogram_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.evaluation.designs import Scored, Setup
    from probes.evaluation.domain import Domain
    from probes.evaluation.evaluate import Assessor
    from probes.evaluation.findings import Findings

__all__ = ["cheap_cues", "run_controls"]

N_SHUFFLES = 10  # of probes that must be fitted one by one


def run_controls(setup: Setup, scored: Scored, found: Findings) -> None:
    """Score every control on the source and on each target, beside the probe of this family."""
    beside: list[ControlScore] = []
    _text_and_columns(setup, scored, beside)
    _trigger_alone(setup, scored, beside)
    _organisms(setup, scored, beside, found)
    _know_nothing(setup, scored, beside)
    named = [replace(control, probe=setup.family.name) for control in beside]
    (found.controls if setup.headline else found.family_controls).extend(named)


def _text_and_columns(setup: Setup, scored: Scored, beside: list[ControlScore]) -> None:
    source = setup.source
    fold = setup.fits[source.name].plan.fold
    for name in _shared_controls(setup):
        read = controls.BASELINES[_kind(name)]
        ours = read.pick(source, name)
        own = controls.in_domain_scores(read, ours, source.y, fold)
        home = setup.assessors[source.name]
        beside.append(_against(home, own, scored.source, name, read.kind, source.name, Design.SOURCE))
        for target in setup.targets:
            if name not in _known_controls(setup, target):
                continue
            assessor = setup.assessors[target.name]
            theirs = read.pick(target, name)
            crossing = setup.crossing(source, target)
            folds = None if crossing is None else (fold, setup.fits[target.name].plan.fold)
            frozen = controls.frozen_scores(read, ours, source.y, theirs, folds)
            beside.append(
                _against(
                    assessor, frozen, scored.frozen[target.name], name, read.kind, source.name, Design.D1
                )
            )
            there = controls.in_domain_scores(read, theirs, target.y, setup.fits[target.name].plan.fold)
            beside.append(
                _against(
                    assessor, there, scored.ceiling[target.name], name, read.kind, target.name, Design.D2
                )
            )


def _trigger_alone(setup: Setup, scored: Scored, beside: list[ControlScore]) -> None:
    """Score a mere trigger detector on the source and on every control organism that is asked behind it."""
    for domain in (setup.source, *setup.controls):
        scores = controls.trigger_scores(domain)
        if len(np.unique(scores)) == 2:
            probe = scored.source if domain is setup.source else scored.frozen[domain.name]
            assessor = setup.assessors[domain.name]
            design = Design.SOURCE if domain is setup.source else Design.D1
            beside.append(_against(assessor, scores, probe, "trigger", ControlKind.PROMPT, None, design))


def _shared_controls(setup: Setup) -> list[str]:
    """Controls for which the source and at least one target have what is needed."""
    anywhere = {name for target in setup.targets for name in _known_controls(setup, target)}
    return [name for name in _known_controls(setup, setup.source) if name in anywhere]


def _known_controls(setup: Setup, domain: Domain) -> list[str]:
    """Controls for which a domain has what is needed: a program has no answer letter."""
    names = ["tf-idf", "length"] if setup.options.text_controls and domain.texts is not None else []
    names += [key for key in ("answer letter", "answer_letter") if key in (domain.strata or {})]
    return names + [f"column: {name}" for name in sorted(domain.columns or {})]


def _kind(name: str) -> str:
    return "column" if name.startswith("column: ") else name.replace("_", " ")


def _against(
    assessor: Assessor,
    scores: Scores,
    probe_scores: Scores,
    name: str,
    kind: ControlKind,
    fitted_on: str | None,
    design: Design,
) -> ControlScore:
    """Record a control beside the probe on the same rows."""
    draws, probe_draws = assessor.draws(scores), assessor.draws(probe_scores)
    auroc = assessor.auroc(scores, draws)
    test = delong_test(assessor.y, probe_scores, scores, assessor.groups, level=assessor.level)
    low, high = assessor.difference(assessor.auroc(probe_scores, probe_draws), auroc, (probe_draws, draws))
    delta = Estimate(
        value=test.difference, low=low, high=high, level=assessor.level, method="paired cluster bootstrap"
    )
    return ControlScore(
        name=name.replace("_", " "),
        kind=kind,
        fitted_on=fitted_on,
        scored_on=assessor.domain.name,
        compared_with=design,
        auroc=auroc,
        sample=assessor.domain.sample,
        delta=delta,
        delta_p_value=test.p_value,
        inverted=auroc.high is not None and auroc.high < 0.5,
        roc=make_roc(assessor.y, scores),
    )


def _organisms(setup: Setup, scored: Scored, beside: list[ControlScore], found: Findings) -> None:
    """Score the frozen probe on clean, decoy, base or untrained organisms, where it ought to fail.

    The same probe is also fitted in each of them: untrained weights or a clean model that give the labels
    away as well as the source say that the text, or the base model, does.
    """
    for control in setup.controls:
        beside.append(
            _against_source(
                setup,
                control,
                scored.frozen[control.name],
                scored.source,
                kind=ControlKind.ORGANISM,
                note="the frozen probe on another organism; as high as on the source means that it does not "
                "read what the source was trained to do",
            )
        )
        refitted = _refit(setup, control)
        if refitted is None:
            found.warnings.append(
                f"{control.name} has too few rows of one class to fit a probe in; it is only scored by the "
                "frozen one"
            )
            continue
        beside.append(
            _against_source(
                setup,
                control,
                refitted,
                scored.source,
                kind=ControlKind.REFITTED,
                note="the probe of the selected layer and setting, fitted in the control organism and "
                "cross-fitted by group",
            )
        )


def _refit(setup: Setup, control: Domain) -> Scores | None:
    """Return cross-fitted scores of the selected cell in a control organism; None where it lacks a class."""
    selection = setup.selection
    plan = FoldPlan.make(control.groups, setup.fold_of, setup.options.n_folds, nested=False)
    if any(len(np.unique(control.y[mask])) < 2 for mask in plan.masks):
        return None
    setting = setup.family.settings[selection.setting_index]
    family = replace(setup.family, grid={name: (value,) for name, value in setting.items()})
    fit = cross_fit(family, control.at([selection.layer_index]), plan, device=setup.options.device)
    return fit.oof[0, 0]


def _against_source(
    setup: Setup,
    control: Domain,
    scores: Scores,
    source_scores: Float[np.ndarray, " source_row"],
    *,
    kind: ControlKind,
    note: str,
) -> ControlScore:
    """Record scores of a control organism beside the probe's on its source.

    Both assessors draw with one seed, so the draws are paired wherever the control reads the source's rows.
    """
    assessor = setup.assessors[control.name]
    home = setup.assessors[setup.source.name]
    draws, source_draws = assessor.draws(scores), home.draws(source_scores)
    auroc, at_home = assessor.auroc(scores, draws), home.auroc(source_scores, source_draws)
    low, high = assessor.difference(at_home, auroc, (source_draws, draws))
    difference = (at_home.value or 0.0) - (auroc.value or 0.0)
    return ControlScore(
        name=f"{kind}: {control.name}",
        kind=kind,
        fitted_on=setup.source.name if kind == ControlKind.ORGANISM else control.name,
        scored_on=control.name,
        compared_with=Design.SOURCE,
        auroc=auroc,
        sample=control.sample,
        delta=Estimate(
            value=difference, low=low, high=high, level=assessor.level, method="cluster bootstraps"
        ),
        delta_p_value=None,
        inverted=auroc.high is not None and auroc.high < 0.5,
        roc=make_roc(assessor.y, scores),
        note=note,
    )


def _know_nothing(setup: Setup, scored: Scored, beside: list[ControlScore]) -> None:
    """Random directions, and the same probe trained on shuffled labels, at the selected cell."""
    selection, options = setup.selection, setup.options
    source, index = setup.source, selection.layer_index
    X = source.layer(index)
    probe = setup.family.make(setup.family.settings[selection.setting_index])
    count = options.n_permutations if linear_in_labels(probe) else N_SHUFFLES
    # rows and not groups: where each group holds one row of each class, whole groups cannot be shuffled apart
    shuffled, _ = permuted_labels(source.y, None, count, unit="rows", seed=setup.seed)
    for domain in (source, *setup.targets):
        assessor = setup.assessors[domain.name]
        rows = X if domain is source else domain.layer(index)
        ways = controls.random_direction_scores(rows, options.n_random_directions, setup.seed)
        best = scored.source if domain is source else scored.frozen[domain.name]
        beside.append(_spread_control("random directions", assessor, ways, best, domain))
        if domain is not source:
            mislead = shuffled_scores(probe, X, shuffled, rows)
            beside.append(_spread_control("shuffled labels", assessor, mislead, best, domain))


def _spread_control(
    name: str, assessor: Assessor, scores: Float[np.ndarray, "way row"], probe_scores: Scores, domain: Domain
) -> ControlScore:
    """Record many know-nothing scores as a distribution: the mean AUROC and its central 95 %.

    A handful of fits has no tails: then it is their range, and no p-value.
    """
    values = auroc_columns(assessor.y, scores)
    observed = assessor.auroc(probe_scores).value or 0.0
    few = len(values) < 1 / (1 - assessor.level)
    low, high = (values.min(), values.max()) if few else interval_of_draws(values, assessor.level)
    edges = histogram_edges(np.r_[values, observed], 40)
    counts = np.histogram(values, bins=edges)[0]
    return ControlScore(
        name=name,
        kind=ControlKind.PROBE,
        fitted_on=None,
        scored_on=domain.name,
        compared_with=None,
        auroc=Estimate(
            value=float(values.mean()),
            low=float(low),
            high=float(high),
            level=assessor.level,
            method=f"range of {len(values)}" if few else f"spread of {len(values)}",
        ),
        sample=domain.sample,
        delta=None,
        delta_p_value=None,
        inverted=False,
        null=NullSummary(
            name=f"{len(values)} {name}",
            unit="directions" if name.startswith("random") else "fits",
            n_draws=len(values),
            observed=observed,
            p_value=None if few else float((1 + np.sum(values >= observed)) / (len(values) + 1)),
            mean=float(values.mean()),
            quantile95=float(np.quantile(values, 0.95)),
            maximum=float(values.max()),
            edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        ),
        note=f"best of {len(values)}: {values.max():.3f}",
    )


def cheap_cues(found: Findings, target: str, probe: str) -> Sequence[ControlScore]:
    """Return the frozen text and column controls that the probe does not clearly beat."""
    return [
        control
        for control in found.controls_of(probe)
        if control.scored_on == target
        and control.compared_with == Design.D1
        and control.auroc.low is not None
        and control.auroc.low > 0.5
        and control.delta is not None
        and control.delta.low is not None
        and control.delta.low <= 0
    ]
