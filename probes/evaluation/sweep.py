"""All layers x settings of one probe family on one domain, cross-validated by group; one cell is chosen.

The solver works on all settings, folds and (for MLPs) seeds of a layer together and streams over layers, so
memory holds one layer. The same cells and the same choice are what `transfer` uses on its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from probes.evaluation.arrays import Scores
from probes.evaluation.crossfit import CrossFit, cross_fit
from probes.evaluation.delong import delong_covariance
from probes.evaluation.families import as_families
from probes.evaluation.folds import FoldPlan, deal_groups
from probes.evaluation.metrics import auroc_columns
from probes.persistence import Provenance
from sophistry.notebook import counted, value_table

if TYPE_CHECKING:
    import pandas as pd

    from probes.base import Probe
    from probes.evaluation.domain import Domain

__all__ = ["SweepResult", "sweep"]


_SHOWN = 6  # layers that a notebook shows


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepResult:
    """Out-of-fold AUROC of every cell, the chosen cell, and the probe refitted there on all rows."""

    family: str
    domain: str
    layers: tuple[int, ...]
    settings: tuple[dict[str, Any], ...]
    auroc: Float[np.ndarray, "layer setting"]  # out of fold
    standard_error: Float[np.ndarray, "layer setting"]  # DeLong, clustered by group
    layer: int  # chosen
    setting: dict[str, Any]
    probe: Probe  # fitted on all rows at the chosen cell; `.provenance_` says how it was chosen
    out_of_fold: Scores  # scores of the chosen cell
    kept: Bool[
        np.ndarray, "layer setting"
    ]  # False: a halving search dropped it; the numbers are a stand-in's
    work: tuple[float, float]  # epochs x networks trained for MLPs, and without halving

    def _repr_html_(self) -> str:
        """What a notebook shows: the chosen cell first, then the best setting of the best layers."""
        best = self.auroc.argmax(1)
        order = sorted(
            range(len(self.layers)), key=lambda i: (self.layers[i] != self.layer, -self.auroc[i, best[i]])
        )
        rows = []
        for i in order[:_SHOWN]:
            j = self.settings.index(self.setting) if self.layers[i] == self.layer else best[i]
            error = float(self.standard_error[i, j])
            mark = "chosen" if self.layers[i] == self.layer else ""
            rows.append([self.layers[i], _words(self.settings[j]), float(self.auroc[i, j]), error, mark])
        left = len(self.layers) - len(rows)
        notes = ["Out of fold, folds by group; cells within .001 are tied and decided by their Brier score."]
        notes += [f"{counted(left, 'layer')} more in to_frame()."] if left else []
        header = ("layer", "setting", "AUROC", "standard error", "")
        return value_table(f"{self.family} sweep on {self.domain}", header, rows, notes)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell."""
        import pandas as pd

        rows = []
        for i, layer in enumerate(self.layers):
            for j, setting in enumerate(self.settings):
                cell = {"auroc": self.auroc[i, j], "standard_error": self.standard_error[i, j]}
                chosen = {"chosen": layer == self.layer and setting == self.setting}
                rows.append({"layer": layer, **setting, **cell, **chosen, "kept": bool(self.kept[i, j])})
        return pd.DataFrame(rows)


def _words(setting: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in setting.items()
    )


def sweep(
    domain: Domain,
    probe: Any = "logistic",
    *,
    n_folds: int = 5,
    seed: int = 0,
    n_jobs: int = 1,
    progress: bool = False,
    device: str | None = None,
) -> SweepResult:
    """Fit every layer and setting of a family on `domain`, choose a cell out of fold, refit it on all rows.

    Args:
        domain: activations with labels and groups.
        probe: a family name, a probe, or a `Family` with its own grid.
        n_folds: group folds.
        seed: seed of the folds.
        n_jobs: layers worked on at once (threads).
        progress: show a bar.
        device: where logistic grids are solved; None is a GPU when there is one and the layers are large
            enough to gain by it (from 2 million numbers), else the CPU.

    >>> from probes import Domain
    >>> rng, y = np.random.default_rng(0), np.tile([0, 1], 30)
    >>> X = rng.normal(size=(3, 60, 4))
    >>> X[1] += 3 * y[:, None]
    >>> sweep(Domain("toy", X, y, [f"q{i // 2}" for i in range(60)]), "mean-difference").layer
    1
    """
    (family,) = as_families(probe)
    domain = domain.thinned(family.max_layers)
    fold_of = deal_groups([domain.groups], n_folds, seed)
    plan = FoldPlan.make(domain.groups, fold_of, n_folds, nested=False)
    fit: CrossFit = cross_fit(family, domain, plan, n_jobs=n_jobs, progress=progress, device=device)
    chosen = fit.select()
    index, setting = chosen.layer_index, family.settings[chosen.setting_index]
    fitted: Any = family.make(setting)
    fitted.fit(domain.layer(index), domain.y)
    fitted.provenance_ = Provenance(
        model=domain.meta.get("organism"),
        model_fingerprint=domain.meta.get("model_fingerprint", domain.meta.get("fingerprint")),
        site=domain.site,
        layer=domain.layer_names[index],
        tokens=domain.meta.get("tokens"),
        data_hash=domain.data_hash,
        source=domain.name,
        split_ids={str(k): sorted(g for g, fold in fold_of.items() if fold == k) for k in range(n_folds)},
        selection={"auroc": chosen.auroc, "tied": chosen.tied, "setting": setting, "n_folds": n_folds},
        seed=seed,
    )
    errors = [np.sqrt(np.diag(delong_covariance(domain.y, cells, domain.groups)[1])) for cells in fit.oof]
    return SweepResult(
        family=family.name,
        domain=domain.name,
        layers=domain.layer_names,
        settings=family.settings,
        auroc=auroc_columns(domain.y, fit.oof),
        standard_error=np.stack(errors),
        layer=domain.layer_names[index],
        setting=setting,
        probe=fitted,
        out_of_fold=fit.oof[chosen.cell],
        kept=fit.kept[:, 0],
        work=(float(fit.work[:, 0].sum()), float(fit.work[:, 1].sum())),
    )
