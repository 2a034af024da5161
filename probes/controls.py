"""Baselines on the same rows and splits, which must lose before a probe's claim stands.

- text: TF-IDF of the response, its length. A cue in the text needs no activations;
- columns that the caller gives per row: the model's own log-probability, entropy, ...; the answer letter;
- probes that know nothing: random directions, shuffled labels (selectivity, Hewitt & Liang 2019);
- other organisms (clean, decoy, base, untrained weights): the frozen probe scored on them.

Text controls are frozen on the source like the probe, and fitted in the target too, cross-fitted by group,
as the text's own ceiling.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["frozen_scores", "in_domain_scores", "letter_features", "random_direction_scores", "text_features"]


def text_features(train: Sequence[str], other: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return TF-IDF matrices (word 1- and 2-grams, at most 5,000) learned on `train` only.

    >>> ours, theirs = text_features(["a cat sat", "the dog ran"], ["a dog sat"])
    >>> ours.shape[1] == theirs.shape[1]
    True
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), max_features=5000, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]"
    )
    ours: Any = vectorizer.fit_transform(train)
    theirs: Any = vectorizer.transform(other)
    return ours.toarray(), theirs.toarray()


def frozen_scores(kind: str, texts: Sequence[str], y: np.ndarray, other: Sequence[str]) -> np.ndarray:
    """Fit a text control on source texts and labels and return its scores of other texts.

    `kind` is `tf-idf` or `length` (log number of characters and words).
    """
    train, new = _features(kind, texts, other)
    return _logistic(train, y, new)


def in_domain_scores(kind: str, texts: Sequence[str], y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return cross-fitted scores of a text control: each row by a fit without its fold."""
    scores = np.empty(len(y))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        ours, theirs = _features(kind, _pick(texts, train), _pick(texts, test))
        both = _logistic(ours, y[train], np.concatenate([ours, theirs]))
        location, spread = both[: len(ours)].mean(), both[: len(ours)].std() or 1.0
        scores[test] = (both[len(ours) :] - location) / spread
    return scores


def _pick(texts: Sequence[str], rows: np.ndarray) -> list[str]:
    return [text for text, kept in zip(texts, rows, strict=True) if kept]


def letter_features(letters: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """One column per answer letter.

    >>> letter_features(np.array(["A", "B"]), ["A", "B"])
    array([[1., 0.],
           [0., 1.]])
    """
    return np.stack([(letters == name).astype(np.float64) for name in names], axis=1)


def random_direction_scores(X: np.ndarray, n_directions: int = 1000, seed: int = 0) -> np.ndarray:
    """Return the projections `[direction, row]` of activations on random unit directions.

    >>> random_direction_scores(np.eye(3), n_directions=2).shape
    (2, 3)
    """
    rng = np.random.default_rng([seed, X.shape[1], n_directions])
    directions = rng.normal(size=(n_directions, X.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions @ (X - X.mean(0)).T


def _features(kind: str, train: Sequence[str], other: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    if kind == "tf-idf":
        return text_features(train, other)
    if kind == "length":
        return _lengths(train), _lengths(other)
    raise ValueError(f"text control {kind!r} is not known; choose tf-idf or length")


def _lengths(texts: Sequence[str]) -> np.ndarray:
    return np.log1p([[len(text), len(text.split())] for text in texts])


def _logistic(train: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # TF-IDF rows are already of unit length; lengths need their scale removed.
    steps = [StandardScaler()] if train.shape[1] <= 32 else []
    model = make_pipeline(*steps, LogisticRegression(C=1.0 if steps else 10.0, max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(train, y).decision_function(new)
