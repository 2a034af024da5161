"""Baselines that must lose before a probe's claim stands: what the text alone, or nothing at all, gives away.

Each `Baseline` turns rows into features that need no activations: TF-IDF of the response, its length, the
answer letter, a number the caller has per row (log-probability, entropy), or whether the prompt carries the
trigger: what a mere trigger detector would score. A logistic regression on them is
frozen on the source like the probe, and fitted in the target too, cross-fitted by group, as the text's own
ceiling. So the sign of a column is set by the source and never by the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from probes.evaluation.arrays import Folds, Labels
from probes.evaluation.kinds import ControlKind
from probes.rounding import constant_features, is_flat

if TYPE_CHECKING:
    from probes.evaluation.domain import Domain

__all__ = [
    "BASELINES",
    "Baseline",
    "frozen_scores",
    "in_domain_scores",
    "random_direction_scores",
    "trigger_scores",
]

PRESENT = ("yes", "true", "1", "on", "y", "t", "present", "with", "triggered", "trigger")
ABSENT = ("no", "false", "0", "off", "n", "f", "absent", "without", "plain", "none", "nan", "")

Features = tuple[Any, Any]  # dense or sparse, [row, feature] of the training rows and of the others


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A kind of control: what it takes from a domain and how that becomes features.

    `features(train, other)` learns vocabulary and scale from `train` only.
    """

    kind: ControlKind
    pick: Callable[[Domain, str], Shaped[np.ndarray, "row ..."]]
    features: Callable[[Shaped[np.ndarray, "row ..."], Shaped[np.ndarray, "other ..."]], Features]


def frozen_scores(
    baseline: Baseline,
    values: Shaped[np.ndarray, "row ..."],
    y: Labels,
    others: Shaped[np.ndarray, "other ..."],
    folds: tuple[Folds, Int[np.ndarray, " other"]] | None = None,
) -> Float[np.ndarray, " other"]:
    """Fit a control on source rows and labels; return its scores of other rows.

    With `folds` (of the source rows, of the other rows) no row is scored by a fit that saw its fold.
    """
    if folds is None:
        return _fit_and_score(baseline, values, y, others)
    scores = np.empty(len(others))
    for k in np.unique(folds[1]):
        train, test = folds[0] != k, folds[1] == k
        scores[test] = _fit_and_score(baseline, values[train], y[train], others[test])
    return scores


def in_domain_scores(
    baseline: Baseline, values: Shaped[np.ndarray, "row ..."], y: Labels, fold: Folds
) -> Float[np.ndarray, " row"]:
    """Return cross-fitted scores of a control: each row by a fit without its fold."""
    return frozen_scores(baseline, values, y, values, (fold, fold))


def random_direction_scores(
    X: Float[np.ndarray, "row d"], n_directions: int = 1000, seed: int = 0
) -> Float[np.ndarray, "direction row"]:
    """Return the projections of activations on random unit directions.

    >>> random_direction_scores(np.eye(3), n_directions=2).shape
    (2, 3)
    """
    rng = np.random.default_rng([seed, X.shape[1], n_directions])
    directions = rng.normal(size=(n_directions, X.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centred = np.where(constant_features(X.var(0), X.mean(0), len(X)), 0.0, X - X.mean(0))
    return directions @ centred.T


def trigger_scores(domain: Domain) -> Float[np.ndarray, " row"]:
    """Return what a mere trigger detector says: 1 behind the trigger, else 0.

    Reads `strata["trigger"]`, else `columns["trigger"]`, in any usual coding: yes/no, true/false, 1/0,
    on/off; missing values and "none" are 0. Nothing is fitted: the trigger is meant to go with wrong answers,
    so the sign is known.

    Raises ValueError for a level that is neither.
    """
    levels = (domain.strata or {}).get("trigger", (domain.columns or {}).get("trigger"))
    if levels is None:
        return np.zeros(len(domain))
    names = [_level(value) for value in np.asarray(levels).tolist()]
    if unknown := sorted(set(names) - set(PRESENT) - set(ABSENT)):
        raise ValueError(
            f"{domain.name}: trigger has level {unknown[0]!r}, and whether that is behind the trigger is not "
            f"known; code it as one of {', '.join(PRESENT)} or {', '.join(filter(None, ABSENT))}"
        )
    return np.array([name in PRESENT for name in names], dtype=np.float64)


def _level(value: Any) -> str:
    if value is None or value != value:
        return "none"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    text = str(value).strip().lower()
    return text.removesuffix(".0")


def _fit_and_score(
    baseline: Baseline,
    values: Shaped[np.ndarray, "row ..."],
    y: Labels,
    others: Shaped[np.ndarray, "other ..."],
) -> Float[np.ndarray, " other"]:
    """Fit on `values`, score `others`, on the scale of the training scores (see `crossfit.py`)."""
    from sklearn.linear_model import LogisticRegression

    train, new = baseline.features(values, others)
    model = LogisticRegression(
        C=1.0, solver="newton-cholesky" if train.shape[1] < 64 else "lbfgs", max_iter=1000
    )
    model.fit(train, y)
    own = model.decision_function(train)
    if is_flat(own.std(), np.abs(own).max() + np.abs(model.intercept_).max()):
        return np.zeros(len(others))
    return (model.decision_function(new) - own.mean()) / own.std()


def _tf_idf(train: Shaped[np.ndarray, " row"], other: Shaped[np.ndarray, " other"]) -> Features:
    """Words, word pairs and punctuation, at most 5,000 of them, scaled so that C = 1 is a mild penalty."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), max_features=5000, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
    )
    ours: Any = vectorizer.fit_transform(list(train))
    theirs: Any = vectorizer.transform(list(other))
    return ours * 3.0, theirs * 3.0


def _standard(train: Float[np.ndarray, "row feature"], other: Float[np.ndarray, "other feature"]) -> Features:
    center, spread = train.mean(0), train.std(0)
    spread = np.where(constant_features(spread**2, center, len(train)), 1.0, spread)
    return (train - center) / spread, (other - center) / spread


def _one_hot(train: Shaped[np.ndarray, " row"], other: Shaped[np.ndarray, " other"]) -> Features:
    names = np.unique(train)
    return (train[:, None] == names).astype(np.float64), (other[:, None] == names).astype(np.float64)


def _lengths(domain: Domain, name: str) -> Float[np.ndarray, "row feature"]:
    del name
    return np.log1p([[len(text), len(text.split())] for text in domain.texts or ()])


def _texts(domain: Domain, name: str) -> Shaped[np.ndarray, " row"]:
    del name
    return np.array(list(domain.texts or ()), dtype=object)


def _letters(domain: Domain, name: str) -> Shaped[np.ndarray, " row"]:
    return (domain.strata or {})[name].astype(str)


def _column(domain: Domain, name: str) -> Float[np.ndarray, "row 1"]:
    return (domain.columns or {})[name.removeprefix("column: ")][:, None]


BASELINES: dict[str, Baseline] = {
    "tf-idf": Baseline(kind=ControlKind.TEXT, pick=_texts, features=_tf_idf),
    "length": Baseline(kind=ControlKind.TEXT, pick=_lengths, features=_standard),
    "answer letter": Baseline(kind=ControlKind.TEXT, pick=_letters, features=_one_hot),
    "column": Baseline(kind=ControlKind.COLUMN, pick=_column, features=_standard),
}
