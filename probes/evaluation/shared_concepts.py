"""The positive control of transfer itself: does a concept that both models surely have pass the same way?

A frozen probe at chance may mean that the target has no such direction, or that no direction whatever
survives the way from one model to the other: other weights, another distribution of texts, scores that have
moved. So a concept that both models must represent (which letter they answer, whether the question asks who)
goes through the same door: the same family and settings, at six layers, chosen and fitted on the source with
the concept as label, scored once on the target. Where the concept does not arrive, nothing follows from a
probe that does not arrive either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from probes.evaluation.crossfit import cross_fit
from probes.evaluation.evaluate import Assessor, make_roc
from probes.evaluation.folds import FoldPlan
from probes.evaluation.kinds import ControlKind, Design
from probes.evaluation.results import ControlScore, Evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from probes.evaluation.designs import Setup
    from probes.evaluation.domain import Domain
    from probes.evaluation.findings import Findings

__all__ = ["arrives", "run_shared_concepts"]

LAYERS = 6  # read of a concept, evenly spread: what every model represents stands in more than one place
READABLE = 0.6  # an AUROC whose whole interval lies above counts as "works"


def run_shared_concepts(setup: Setup, found: Findings, **how: Any) -> None:
    """Send every concept that source and target know through the frozen route of the headline family.

    A concept with fewer rows of a class than there are folds is left out with a warning. `how` goes to
    `cross_fit`.
    """
    for name in setup.source.concepts or {}:
        targets = [target for target in setup.targets if name in (target.concepts or {})]
        domains = [domain.thinned(LAYERS).about(name) for domain in (setup.source, *targets)]
        thin = [domain.name for domain in domains if not _enough(domain, setup)]
        if thin:
            found.warnings.append(
                f"shared concept {name!r}: too few rows of one class in {', '.join(thin)}; it was left out"
            )
        there = [domain for domain in domains[1:] if domain.name not in thin]
        if there and domains[0].name not in thin:
            _run(setup, found, name, domains[0], there, how)


def arrives(record: ControlScore | Evaluation) -> bool:
    """Return whether the whole interval of an AUROC is readable."""
    return record.auroc.low is not None and record.auroc.low > READABLE


def _enough(domain: Domain, setup: Setup) -> bool:
    plan = FoldPlan.make(domain.groups, setup.fold_of, setup.options.n_folds)
    return all(0 < domain.y[mask].sum() < mask.sum() for mask in plan.masks)


def _run(
    setup: Setup, found: Findings, name: str, source: Domain, targets: Sequence[Domain], how: dict[str, Any]
) -> None:
    crossing = any(setup.crossing(source, target) for target in targets)
    # Nested folds cost three times the fits. They keep a choice of cells honest, which a concept that any
    # layer shows hardly needs; targets that share groups with the source need them to be scored fold by fold.
    plan = FoldPlan.make(source.groups, setup.fold_of, setup.options.n_folds, nested=crossing)
    others = [target.unlabelled() for target in targets]
    fit = cross_fit(setup.family, source, plan, others, setup.fold_of if crossing else None, **how)
    selection = fit.select()
    layer = source.layer_names[selection.layer_index]

    def record(domain: Domain, scores: np.ndarray, design: Design) -> None:
        auroc = _assessor(setup, domain).auroc(scores)
        found.controls.append(
            ControlScore(
                name=f"shared concept: {name}",
                kind=ControlKind.SHARED_CONCEPT,
                fitted_on=source.name,
                scored_on=domain.name,
                compared_with=design,
                auroc=auroc,
                sample=domain.sample,
                delta=None,
                delta_p_value=None,
                inverted=auroc.high is not None and auroc.high < 0.5,
                roc=make_roc(domain.y, scores),
                probe=setup.family.name,
                note=f"layer {layer}; a direction that both models must have, by the same route",
            )
        )

    record(source, fit.oof[selection.cell], Design.SOURCE)
    for target in targets:
        record(target, fit.scores_on(target.unlabelled(), setup.crossing(source, target)), Design.D1)


def _assessor(setup: Setup, domain: Domain) -> Assessor:
    options = setup.options
    return Assessor(
        domain,
        n_draws=options.n_draws,
        n_permutations=options.n_permutations,
        level=options.level,
        margin=options.margin,
        seed=setup.seed,
    )
