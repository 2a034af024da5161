"""Does a probe fitted in one domain work in another? The evaluation, with selection on the source only.

`transfer(source, targets)` runs four labelled designs and everything needed to read them:

- D1 `frozen`: fit, layer, regularisation, threshold and sign on the source, scored once on the target;
- D2 `in-target ceiling`: the same family fitted and selected in the target, nested and cross-fitted by group;
- D3 `contrast pair`: a direction from generic texts on each model, no labels, preset middle layer;
- D4 `best on target`: the best cell of the whole grid on the evaluation rows themselves, as in the paper;
  always marked optimistic and shown with its max-statistic null.

What fits or selects sees one labelled domain; all others reach it as `Unlabelled` (see `crossfit.py`). The
records that make up the result, and so its JSON schema, are in `results.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.evaluation import designs
from probes.evaluation.cautions import cautions
from probes.evaluation.compatibility import check_compatible
from probes.evaluation.control_scores import run_controls
from probes.evaluation.crossfit import fit_domains
from probes.evaluation.domain import Domain
from probes.evaluation.evaluate import Assessor
from probes.evaluation.families import as_families
from probes.evaluation.findings import Findings
from probes.evaluation.folds import GroupLeakError, deal_groups, shared_groups
from probes.evaluation.geometry import run_geometry
from probes.evaluation.kinds import DomainRole
from probes.evaluation.options import TransferOptions
from probes.evaluation.recovered import run_recovered
from probes.evaluation.repairs import run_repairs
from probes.evaluation.repeats import run_repeats
from probes.evaluation.results import SCHEMA, DomainSummary, TransferResult
from probes.evaluation.shared_concepts import run_shared_concepts
from probes.evaluation.strata import run_strata
from probes.evaluation.verdicts import run_verdicts
from probes.persistence import probe_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from probes.evaluation.crossfit import FitMemo
    from probes.evaluation.families import Family

__all__ = ["SCHEMA", "TransferOptions", "TransferResult", "transfer"]


def transfer(
    source: Domain,
    targets: Domain | Sequence[Domain],
    probes: Any = "logistic",
    *,
    controls: Sequence[Domain] = (),
    seed: int = 0,
    options: TransferOptions | None = None,
    progress: bool = False,
    made: FitMemo | None = None,
    later: Sequence[ArrayLike] = (),
) -> TransferResult:
    """Evaluate probes of `source` on every target, with ceilings, controls and what the sample can show.

    Args:
        source: the domain where probes are fitted and everything is chosen.
        targets: domains on which they are only evaluated.
        probes: family names (`logistic`, `mean-difference`, `lda`, `ridge`, `mlp`, `mlp-linear`), probes, or
            families; the first one is the headline.
        controls: other organisms (clean, decoy, base, untrained) on which the frozen probe must fail.
        seed: seed of folds, resampling and permutations.
        options: see `TransferOptions`.
        progress: show bars.
        made: fits to share with other calls on the same domains (another of them as the source), an empty
            dict at first; each domain is then fitted once per family.
        later: groups of each control that a later call adds. Folds are dealt over all domains; with these it
            repeats this call's numbers of source and targets.

    Raises DomainError for domains that do not fit together or share rows, GroupLeakError for shared groups.

    >>> import numpy as np
    >>> rng, y = np.random.default_rng(0), np.tile([0, 1], 40)
    >>> X = rng.normal(size=(2, 80, 4)) + 2 * y[:, None]
    >>> source = Domain("a", X[0], y, [f"a{i // 2}" for i in range(80)])
    >>> target = Domain("b", X[1], y, [f"b{i // 2}" for i in range(80)])
    >>> result = transfer(source, target, "mean-difference", options=TransferOptions(n_draws=50))
    >>> result.evaluations[1].design.value, result.evaluations[1].auroc.value > 0.9
    ('D1', True)
    """
    options = options or TransferOptions()
    targets = [targets] if isinstance(targets, Domain) else list(targets)
    if not targets:
        raise ValueError("no targets: give at least one domain to evaluate on")
    families = as_families(probes)
    domains = [source, *targets, *controls]
    check_compatible(source, domains[1:], crossed=options.shared_groups == "cross-fit")
    shared = _check_groups(source, domains[1:], options)
    dealt = [*(domain.groups for domain in domains), *map(np.asarray, later)]
    fold_of = deal_groups(dealt, options.n_folds, seed)
    assessors = {
        domain.name: Assessor(
            domain,
            n_draws=options.n_draws,
            n_permutations=options.n_permutations,
            level=options.level,
            margin=options.margin,
            seed=seed,
        )
        for domain in domains
    }
    found = Findings(warnings=list(cautions(domains, assessors, families)))
    how = {"n_jobs": options.n_jobs, "progress": progress, "device": options.device}
    for family in families:
        thin = [domain.thinned(family.max_layers) for domain in domains]
        seen_source, seen_targets = thin[0], tuple(thin[1 : 1 + len(targets)])
        seen_controls = tuple(thin[1 + len(targets) :])
        seen = (seen_source, seen_targets, seen_controls)
        fits = fit_domains(family, *seen, fold_of, options.n_folds, made, **how)
        setup = designs.Setup(
            family=family,
            source=seen_source,
            targets=seen_targets,
            controls=seen_controls,
            fits=fits,
            assessors=assessors,
            fold_of=fold_of,
            options=options,
            seed=seed,
            headline=family is families[0],
            controlled=family is families[0] or options.every_control,
        )
        scored = designs.run_family(setup, found)
        if setup.controlled:
            run_controls(setup, scored, found)
        if setup.headline and options.shared_concepts:
            run_shared_concepts(setup, found, **how)
        run_recovered(setup, scored, found)
        if setup.headline:
            run_strata(setup, scored, found)
        run_repairs(setup, scored, found)
        run_geometry(setup, found)
        run_verdicts(setup, found)
        run_repeats(setup, found, **how)
    designs.run_contrast(domains, assessors, options, found)
    found.warnings.extend(warning for assessor in assessors.values() for warning in assessor.warnings)
    return TransferResult(
        source=source.name,
        headline_probe=families[0].name,
        domains=(
            _summary(source, DomainRole.SOURCE),
            *(_summary(domain, DomainRole.TARGET) for domain in targets),
            *(_summary(domain, DomainRole.CONTROL) for domain in controls),
        ),
        **found.as_tuples(),
        provenance={
            "seed": seed,
            "options": asdict(options),
            "families": {family.name: _describe(family) for family in families},
            "groups_shared_with_source": {name: len(groups) for name, groups in shared.items()},
            "versions": probe_versions(),
        },
    )


def _check_groups(source: Domain, others: Sequence[Domain], options: TransferOptions) -> dict[str, list[str]]:
    shared = {}
    for other in others:
        common = shared_groups(source.groups, other.groups)
        if common and options.shared_groups == "refuse":
            names = ", ".join(common[:3]) + (", ..." if len(common) > 3 else "")
            raise GroupLeakError(
                f"leaked groups: {source.name} and {other.name} share {len(common)} groups ({names}), so the "
                "probe would be tested on questions it was fitted on; split by group, or set "
                "shared_groups='cross-fit' to score each shared group by fits that never saw it"
            )
        if common:
            shared[other.name] = common
    return shared


def _summary(domain: Domain, role: DomainRole) -> DomainSummary:
    return DomainSummary(
        name=domain.name,
        role=role,
        sample=domain.sample,
        layers=domain.layer_names,
        width=domain.width,
        data_hash=domain.data_hash,
        policy_accuracy=float(1 - domain.y.mean()),
        meta=dict(domain.meta),
    )


def _describe(family: Family) -> dict[str, Any]:
    return {
        "probe": type(family.probe).__name__,
        "params": family.probe.get_params(),
        "grid": {key: list(values) for key, values in family.grid.items()},
    }
