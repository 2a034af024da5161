"""Fits a family of probes on one domain, out of fold and nested, and scores other domains with it.

Everything here sees the labels of exactly one domain. Other domains arrive as `Unlabelled` and leave as
scores. Layers are read one at a time, so memory holds one layer of activations plus scores.

Scores of different folds come from different fits. Before they are pooled, each fit's scores are put on one
scale by the mean and standard deviation of its own *training* rows. That removes the intercept, which
otherwise carries the class balance of the training folds into the scores and pushes cross-validated AUROCs
below one half when there is nothing to find.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.special import expit
from threadpoolctl import threadpool_limits

from probes.device import solver_device
from probes.evaluation.arrays import Labels, Scores
from probes.evaluation.families import Family, fit_cells
from probes.evaluation.folds import FoldPlan
from probes.evaluation.metrics import auroc_columns, platt_columns
from probes.progress import track
from probes.rounding import is_flat
from sophistry.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.evaluation.domain import Domain, Unlabelled

__all__ = ["CrossFit", "FitMemo", "Selection", "choose_cell", "cross_fit", "fit_domains"]

MOST_AT_ONCE = 8  # layers in memory, each with all its fits


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """A chosen cell of the grid and how it was chosen."""

    layer_index: int
    setting_index: int
    auroc: float
    tied: int  # cells within the tie tolerance of the best

    @property
    def cell(self) -> tuple[int, int]:
        """Index of layer and setting."""
        return self.layer_index, self.setting_index


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossFit:
    """Scores of every layer and setting of one family fitted on one domain."""

    family: Family
    domain: str
    y: Labels
    plan: FoldPlan
    oof: Float[np.ndarray, "layer setting row"]  # each row scored without its fold
    inner: Float[np.ndarray, "fold layer setting row"] | None  # without the outer fold and the row's own
    location: Float[np.ndarray, "layer setting"]  # mean training score of the final fit
    spread: Float[np.ndarray, "layer setting"]  # its standard deviation
    elsewhere: dict[str, Float[np.ndarray, "layer setting _"]]  # domain -> scores of the final fit
    elsewhere_out: dict[
        str, Float[np.ndarray, "layer setting _"]
    ]  # the same by the fit that leaves out the row's fold
    directions: Float[np.ndarray, "layer setting d"] | None  # of the final fit, raw coordinates
    kept: Bool[np.ndarray, "layer fit setting"]  # settings that may be chosen by what that fit saw
    work: Shaped[np.ndarray, "layer 2"]  # epochs x networks trained, and without halving

    def select(self, layers: Sequence[int] | None = None) -> Selection:
        """Choose layer and setting by the out-of-fold scores of this domain."""
        return choose_cell(self.oof, self.y, layers, allowed=self.kept[:, 0])

    def select_without(self, k: int, layers: Sequence[int] | None = None) -> Selection:
        """Choose as if fold k did not exist (for nested cross-validation)."""
        assert self.inner is not None, "this cross-fit was made without nested folds"
        kept = self.plan.fold != k
        return choose_cell(self.inner[k][:, :, kept], self.y[kept], layers, allowed=self.kept[:, 1 + k])

    def nested_scores(self, layers: Sequence[int] | None = None) -> tuple[Scores, list[Selection]]:
        """Return one score per row whose fit and selection never saw the row's fold."""
        scores, chosen = np.empty(len(self.y)), []
        for k in range(self.plan.n_folds):
            selection = self.select_without(k, layers)
            rows = self.plan.fold == k
            scores[rows] = self.oof[selection.layer_index, selection.setting_index, rows]
            chosen.append(selection)
        return scores, chosen

    def scores_on(
        self, other: Unlabelled, fold_of: dict[str, int] | None = None, layers: Sequence[int] | None = None
    ) -> Float[np.ndarray, " other"]:
        """Return the frozen score of every row of another domain.

        With `fold_of` each row is scored by a fit and selection that never saw its fold, for domains that
        share groups with this one.
        """
        if fold_of is None:
            cell = self.select(layers).cell
            return self.elsewhere[other.name][cell].astype(np.float64)
        fold = np.array([fold_of[str(group)] for group in other.groups])
        scores = np.empty(len(fold))
        for k in range(self.plan.n_folds):
            rows = fold == k
            scores[rows] = self.elsewhere_out[other.name][self.select_without(k, layers).cell][rows]
        return scores

    def raw(self, score: float, selection: Selection) -> float:
        """Turn a pooled-scale score, such as a threshold, into the final probe's own units."""
        return float(score * self.spread[selection.cell] + self.location[selection.cell])


FitMemo = dict[tuple[str, str, str], CrossFit]
"""Family, domain, hash of its data -> its fits, to be shared by transfers among the same domains."""


def choose_cell(
    scores: Float[np.ndarray, "layer setting row"],
    y: Labels,
    layers: Sequence[int] | None = None,
    tolerance: float = 1e-3,
    allowed: Bool[np.ndarray, "layer setting"] | None = None,
) -> Selection:
    """Choose the cell of `scores` `[layer, setting, row]` with the highest AUROC.

    Cells within `tolerance` of the best count as tied. Ties go to the lowest Brier score after Platt scaling
    (else saturated AUROCs drag the choice to the first layers), and equal Brier scores to the layer nearest
    the middle. `allowed` `[layer, setting]` leaves out cells that a halving search dropped.

    >>> choose_cell(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), np.array([0, 1])).layer_index
    0
    """
    among = np.arange(len(scores)) if layers is None else np.asarray(layers)
    table = auroc_columns(y, scores[among])
    if allowed is not None:
        table = np.where(allowed[among], table, -np.inf)
    tied = [(int(among[i]), int(j)) for i, j in np.argwhere(table >= table.max() - tolerance)]
    middle = (len(scores) - 1) / 2
    brier = np.round(_platt_brier(y, scores[tuple(np.transpose(tied))]), 4) if len(tied) > 1 else [0.0]
    ranks = [(b, abs(layer - middle), setting) for b, (layer, setting) in zip(brier, tied, strict=True)]
    best = tied[ranks.index(min(ranks))]
    value = float(auroc_columns(y, scores[best][None])[0])
    return Selection(layer_index=best[0], setting_index=best[1], auroc=value, tied=len(tied))


def cross_fit(
    family: Family,
    domain: Domain,
    plan: FoldPlan,
    others: Sequence[Unlabelled] = (),
    fold_of: dict[str, int] | None = None,
    n_jobs: int | None = 1,
    progress: bool = False,
    device: str | None = None,
) -> CrossFit:
    """Fit `family` on every layer of `domain` by `plan` and score the rows of `others`.

    `n_jobs` layers are worked on at once, each with one thread of linear algebra; None is one per core.

    `device` is where logistic grids are solved; None is where it is faster (`solver_device`). With `fold_of`
    (group -> fold), rows of `others` are also scored by the fit that leaves out their fold.
    """
    plan.check(domain.y, domain.name)

    def one(index: int) -> dict[str, Any]:
        return _fit_layer(family, domain, plan, others, fold_of, index, device)

    count = len(domain.layer_names)
    label = f"{family.name} on {domain.name}"
    workers = n_jobs or min(usable_cores(), MOST_AT_ONCE)
    if workers == 1:
        layers = [one(index) for index in track(range(count), label, progress)]
    else:  # many small systems: threads of BLAS get into each other's way
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            layers = list(track(pool.map(one, range(count)), label, progress, total=count))
    stacked = {key: _stack([layer[key] for layer in layers]) for key in layers[0]}
    inner = stacked.pop("inner")
    return CrossFit(
        family=family,
        domain=domain.name,
        y=domain.y,
        plan=plan,
        inner=None if inner is None else inner.swapaxes(0, 1),
        **stacked,
    )


def fit_domains(
    family: Family,
    source: Domain,
    targets: Sequence[Domain],
    controls: Sequence[Domain],
    fold_of: dict[str, int],
    n_folds: int,
    made: FitMemo | None = None,
    **how: Any,
) -> dict[str, CrossFit]:
    """Fit the family in the source and in each target; each fit sees the labels of its own domain only.

    With `made`, fits of an earlier call that cover this one are taken from it, and new ones are kept there;
    they then score the controls too, since one may be the target of a later call. `how` goes to `cross_fit`.
    """
    fits = {}
    for domain in (source, *targets):
        seen = (source, *targets, *(controls if domain is source or made is not None else ()))
        others = [other.unlabelled() for other in seen if other is not domain]
        plan = FoldPlan.make(domain.groups, fold_of, n_folds)
        key = (family.name, domain.name, domain.data_hash)
        known = None if made is None else made.get(key)
        if known is None or not _covers(known, plan, others):
            known = cross_fit(family, domain, plan, others, fold_of, **how)
        if made is not None:
            made[key] = known
        fits[domain.name] = known
    return fits


def _covers(fit: CrossFit, plan: FoldPlan, others: Sequence[Unlabelled]) -> bool:
    """Say whether a fit was made with these folds and scored all these domains, with as many rows."""
    scored = all(
        other.name in fit.elsewhere and fit.elsewhere[other.name].shape[-1] == len(other) for other in others
    )
    return scored and np.array_equal(fit.plan.fold, plan.fold)


def _stack(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], dict):
        return {key: np.stack([part[key] for part in parts]) for key in parts[0]}
    return np.stack(parts)


def _fit_layer(
    family: Family,
    domain: Domain,
    plan: FoldPlan,
    others: Sequence[Unlabelled],
    fold_of: dict[str, int] | None,
    index: int,
    device: str | None,
) -> dict[str, Any]:
    X, masks = domain.layer(index), plan.masks
    cells = fit_cells(family, X, domain.y, masks, domain.groups, solver_device(device, X.size))
    own = cells.scores(X)  # [fit, setting, row]
    weight = masks / masks.sum(1, keepdims=True)
    location = np.einsum("fsn,fn->fs", own, weight)
    spread = np.sqrt(np.einsum("fsn,fn->fs", (own - location[..., None]) ** 2, weight))
    # A fit whose scores do not vary on its own training rows has learned nothing: all its scores are equal.
    flat = is_flat(spread, cells.score_sizes(X, own))
    spread = np.where(flat, 1.0, spread)

    def rescale(scores: Float[np.ndarray, "fit setting _"]) -> Float[np.ndarray, "fit setting _"]:
        return np.where(flat[..., None], 0.0, (scores - location[..., None]) / spread[..., None])

    scaled = rescale(own)
    rows = np.arange(len(X))
    oof = scaled[1 + plan.fold, :, rows].T
    inner = _inner_scores(scaled, plan) if plan.nested else None
    elsewhere, elsewhere_out = {}, {}
    for other in others:
        scores = rescale(cells.scores(other.layer(index)))
        elsewhere[other.name] = scores[0].astype(np.float32)
        if fold_of is not None:
            fits = np.array([1 + fold_of[str(group)] for group in other.groups])
            elsewhere_out[other.name] = scores[fits, :, np.arange(len(fits))].T.astype(np.float32)
    return {
        "oof": oof,
        "inner": inner,
        "location": location[0],
        "spread": spread[0],
        "elsewhere": elsewhere,
        "elsewhere_out": elsewhere_out,
        "kept": np.ones(own.shape[:2], dtype=bool) if cells.kept is None else cells.kept,
        "work": cells.work,
        "directions": None if cells.directions is None else cells.directions[0].astype(np.float32),
    }


def _inner_scores(
    scaled: Float[np.ndarray, "fit setting row"], plan: FoldPlan
) -> Float[np.ndarray, "fold setting row"]:
    """Return `[outer fold, setting, row]`; rows of the outer fold itself stay zero and are never read."""
    inner = np.zeros((plan.n_folds, scaled.shape[1], scaled.shape[2]))
    for k in range(plan.n_folds):
        for j in range(plan.n_folds):
            if j != k:
                rows = plan.fold == j
                inner[k][:, rows] = scaled[plan.inner(j, k)][:, rows]
    return inner


def _platt_brier(y: Labels, scores: Float[np.ndarray, "cell row"]) -> Float[np.ndarray, " cell"]:
    slope, intercept = platt_columns(y, scores)
    p = expit(slope[:, None] * scores + intercept[:, None])
    return np.mean((p - y) ** 2, axis=1)
