"""How many labelled target answers it takes: a probe of the source with some of them added, or of them alone.

At zero the frozen probe stands; with all of them, and no source, what the same layer and setting could reach.
Layer and setting stay those that the source chose, so only the fit changes. Every count is drawn several
times, in whole groups, and scored on target groups that no fit has seen, whether of the source or the target.

Fits on a handful of answers have no common scale, so scores of different folds are never pooled: an AUROC
here is the mean over folds, weighted by pairs. Its interval resamples the groups inside each fold, and the
draws of examples with them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from probes.evaluation.arrays import Scores
from probes.evaluation.bootstrap import GroupBootstrap, has_spread, interval_of_draws
from probes.evaluation.crossfit import cross_fit
from probes.evaluation.families import Family, as_families
from probes.evaluation.folds import FoldPlan, deal_groups
from probes.evaluation.metrics import auroc_columns
from probes.evaluation.results import Estimate, Sample
from probes.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from probes.evaluation.domain import Domain

__all__ = ["LearningCurve", "LearningOptions", "LearningPoint", "TrainedWith", "learning_curve"]

_TRIES = 200  # draws of examples until both classes are among them


class TrainedWith(StrEnum):
    """What the target's examples are to the source."""

    ADDED = "added to the source"
    ALONE = "instead of the source"


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """Which counts of labelled target answers are tried, and how often each."""

    counts: tuple[int, ...] = (0, 8, 16, 32, 64, 128)
    """Labelled target answers; 0 is the frozen probe. Counts that four of five folds cannot give are left
    out. Empty: no learning curves."""
    repeats: int = 10
    """Times that the examples of each count are drawn anew."""

    def __post_init__(self) -> None:
        if any(count < 0 for count in self.counts) or list(self.counts) != sorted(set(self.counts)):
            raise ValueError(f"counts must rise from 0 or more, each once; got {self.counts}")
        if self.repeats < 2:
            raise ValueError(f"repeats={self.repeats}: the spread over draws needs at least 2")


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """One count of target examples."""

    training: TrainedWith
    count: int
    """Labelled target answers in every fit."""
    auroc: Estimate
    """Mean over draws, of the mean over folds."""
    lowest: float
    """Smallest AUROC of one draw."""
    highest: float


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """One probe of one source on one target."""

    source: str
    target: str
    probe: str
    layer: int
    setting: dict[str, float | int | str | bool | None]
    repeats: int
    seed: int
    sample: Sample
    """The target answers that are scored."""
    points: tuple[LearningPoint, ...]


def learning_curve(
    source: Domain,
    target: Domain,
    probe: str | Family = "logistic",
    options: LearningOptions | None = None,
    *,
    n_folds: int = 5,
    n_draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    chosen: tuple[int, Mapping[str, Any]] | None = None,
    progress: bool = False,
) -> LearningCurve:
    """Fit the source's chosen cell with more and more labelled target answers, and score the others.

    Args:
        source: where layer and setting are chosen.
        target: gives examples, and other groups of it are scored.
        probe: one family.
        options: counts and repeats.
        n_folds: folds of groups; each is scored by fits on the others.
        n_draws: resamples of the interval.
        level: its coverage.
        seed: of folds, draws and resamples.
        chosen: layer and setting, as a transfer result's `selection` names them; None chooses them on the
            source here.
        progress: show a bar.

    Raises ValueError when a fold lacks a class, or no draw of the smallest count holds both.

    >>> from probes import Domain
    >>> rng, y = np.random.default_rng(0), np.tile([0, 1], 60)
    >>> X = rng.normal(size=(2, 120, 3)); X[0, :, 0] += 2 * y; X[1, :, 1] += 2 * y
    >>> source = Domain("a", X[0], y, [f"a{i // 2}" for i in range(120)])
    >>> target = Domain("b", X[1], y, [f"b{i // 2}" for i in range(120)])
    >>> options = LearningOptions(counts=(0, 64), repeats=2)
    >>> curve = learning_curve(source, target, "mean-difference", options, n_draws=50)
    >>> [(point.training.value, point.count) for point in curve.points]
    [('added to the source', 0), ('added to the source', 64), ('instead of the source', 64)]
    >>> curve.points[0].auroc.value < 0.7 < curve.points[2].auroc.value
    True
    """
    options = options or LearningOptions()
    (family,) = as_families(probe)
    source, target = source.thinned(family.max_layers), target.thinned(family.max_layers)
    if chosen is None:
        chosen = _choice(family, source, target, n_folds, seed)
    layer, setting = source.layer_names.index(chosen[0]), dict(chosen[1])
    data = _Rows.read(source, target, layer, n_folds, seed)
    most = int(min(np.sum(data.fold != k) for k in range(n_folds)))
    counts = [count for count in options.counts if count <= most]
    points = []
    for training in TrainedWith:
        given = [count for count in counts if count > (0 if training == TrainedWith.ALONE else -1)]
        for count in track(given, f"{training}: {source.name} to {target.name}", progress):
            repeats = options.repeats if count else 1  # nothing is drawn at zero
            scores = np.stack(
                [_scores(family, setting, data, training, count, repeat) for repeat in range(repeats)]
            )
            points.append(_point(data, training, count, scores, n_draws, level))
    return LearningCurve(
        source=source.name,
        target=target.name,
        probe=family.name,
        layer=source.layer_names[layer],
        setting=setting,
        repeats=options.repeats,
        seed=seed,
        sample=target.sample,
        points=tuple(points),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Both domains at one layer, with the folds of their groups."""

    X: Float[np.ndarray, "source d"]
    y: Int[np.ndarray, " source"]
    source_groups: np.ndarray
    Z: Float[np.ndarray, "target d"]
    labels: Int[np.ndarray, " target"]
    fold: Int[np.ndarray, " target"]
    groups: np.ndarray
    seed: int

    @classmethod
    def read(cls, source: Domain, target: Domain, layer: int, n_folds: int, seed: int) -> _Rows:
        fold = FoldPlan.make(target.groups, deal_groups([target.groups], n_folds, seed), n_folds).fold
        for k in range(n_folds):
            if len(np.unique(target.y[fold == k])) < 2:
                raise ValueError(
                    f"{target.name}: fold {k} holds one class only; use fewer folds, another seed, or more "
                    "groups of the rare class"
                )
        return cls(
            X=source.layer(layer),
            y=source.y,
            source_groups=source.groups,
            Z=target.layer(layer),
            labels=target.y,
            fold=fold,
            groups=target.groups,
            seed=seed,
        )


def _choice(
    family: Family, source: Domain, target: Domain, n_folds: int, seed: int
) -> tuple[int, dict[str, Any]]:
    """Layer and setting that the source chooses by its own held-out answers."""
    fold_of = deal_groups([source.groups, target.groups], n_folds, seed)
    fit = cross_fit(family, source, FoldPlan.make(source.groups, fold_of, n_folds, nested=False))
    chosen = fit.select()
    return source.layer_names[chosen.layer_index], family.settings[chosen.setting_index]


def _scores(
    family: Family, setting: dict[str, Any], data: _Rows, training: TrainedWith, count: int, repeat: int
) -> Scores:
    """Score every target answer by a fit that saw neither its group nor others of its fold."""
    scores = np.empty(len(data.fold))
    for k in np.unique(data.fold):
        examples = _examples(data, int(k), count, repeat)
        X, y = data.Z[examples], data.labels[examples]
        if training == TrainedWith.ADDED:
            ours = ~np.isin(data.source_groups, data.groups[data.fold == k])
            X, y = np.concatenate([data.X[ours], X]), np.concatenate([data.y[ours], y])
        here = data.fold == k
        scores[here] = family.fit(setting, X, y).decision_function(data.Z[here])
    return scores


def _examples(data: _Rows, k: int, count: int, repeat: int) -> Int[np.ndarray, " example"]:
    """Draw `count` target answers outside fold k, group after group, with both classes among them."""
    if not count:
        return np.zeros(0, dtype=int)
    for rows in _orders(data, k, repeat):
        taken = rows[:count]
        if len(np.unique(data.labels[taken])) == 2:
            return np.sort(taken)
    raise ValueError(f"no draw of {count} target answers held both classes; start at a larger count")


def _orders(data: _Rows, k: int, repeat: int) -> Iterator[Int[np.ndarray, " row"]]:
    """Orders of the rows outside fold k, groups kept together; larger counts continue smaller ones."""
    usable = np.flatnonzero(data.fold != k)
    names = data.groups[usable]
    for attempt in range(_TRIES):
        word = f"learning curve:{data.seed}:{k}:{repeat}:{attempt}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big"))
        place = {name: at for at, name in enumerate(rng.permutation(np.unique(names)))}
        yield usable[np.argsort([place[name] for name in names], kind="stable")]


def _point(
    data: _Rows,
    training: TrainedWith,
    count: int,
    scores: Float[np.ndarray, "repeat row"],
    n_draws: int,
    level: float,
) -> LearningPoint:
    folds = [np.flatnonzero(data.fold == k) for k in np.unique(data.fold)]
    pairs = np.array([data.labels[f].sum() * (1 - data.labels[f]).sum() for f in folds], dtype=float)
    pairs /= pairs.sum()
    of_draws = sum(
        share * auroc_columns(data.labels[f], scores[:, f]) for share, f in zip(pairs, folds, strict=True)
    )
    assert isinstance(of_draws, np.ndarray)
    resampled = _resampled(data, scores, folds, pairs, n_draws)
    value = float(of_draws.mean())
    spread = has_spread(resampled)
    low, high = interval_of_draws(resampled, level) if spread else (None, None)
    return LearningPoint(
        training=training,
        count=count,
        auroc=Estimate(
            value=value, low=low, high=high, level=level, method="bootstrap of groups in folds and of draws"
        ),
        lowest=float(of_draws.min()),
        highest=float(of_draws.max()),
    )


def _resampled(
    data: _Rows,
    scores: Float[np.ndarray, "repeat row"],
    folds: Sequence[Int[np.ndarray, " _"]],
    pairs: Float[np.ndarray, " fold"],
    n_draws: int,
) -> Float[np.ndarray, " draw"]:
    """Resample groups inside every fold and, jointly, the draws of examples."""
    total = np.zeros((len(scores), n_draws))
    for share, rows in zip(pairs, folds, strict=True):
        resample = GroupBootstrap(data.labels[rows], data.groups[rows], n_draws=n_draws, seed=data.seed)
        total += share * resample.draws(scores[:, rows])
    rng = np.random.default_rng([data.seed, len(scores)])
    which = rng.integers(0, len(scores), size=(len(scores), n_draws))
    return np.take_along_axis(total, which, axis=0).mean(0)
