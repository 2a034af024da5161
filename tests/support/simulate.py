"""Clustered scores with a known AUROC, for simulations of coverage, size and power."""

import numpy as np
from scipy.stats import norm


def binormal_shift(auroc: float) -> float:
    """Distance of two unit normals whose AUROC is as given."""
    return float(np.sqrt(2) * norm.ppf(auroc))


def clustered_scores(
    rng: np.random.Generator, n_groups: int, auroc: float = 0.5, icc: float = 0.3, label_spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and groups: 1 to 6 rows per group, shared offsets in the score and in the label rate.

    Scores are standard normal within a class, positives shifted, so the population AUROC over rows of
    different groups is the given one.
    """
    sizes = rng.integers(1, 7, n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    offset = np.sqrt(icc) * rng.normal(size=n_groups)
    rate = norm.cdf(label_spread * rng.normal(size=n_groups))
    y = (rng.uniform(size=len(groups)) < rate[groups]).astype(int)
    noise = np.sqrt(1 - icc) * rng.normal(size=len(groups))
    return y, offset[groups] + noise + binormal_shift(auroc) * y, groups


def independent_scores(
    rng: np.random.Generator, n: int, auroc: float, n_scores: int = 1, shared: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels [2 n] and scores [score, 2 n] of independent rows; `shared` is the correlation of the scores."""
    y = np.repeat([0, 1], n)
    noise = np.sqrt(shared) * rng.normal(size=2 * n) + np.sqrt(1 - shared) * rng.normal(
        size=(n_scores, 2 * n)
    )
    return y, noise + binormal_shift(auroc) * y
