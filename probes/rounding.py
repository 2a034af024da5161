"""What counts as no spread at all: differences that are rounding and not data.

A score is a sum of products, so its rounding error grows with the size of its terms and not with the score.
Whatever divides by a standard deviation, or ranks scores, asks here first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["constant_features", "histogram_edges", "is_flat", "term_size"]

EPS = float(np.finfo(np.float64).eps)


def constant_features(
    variance: Float[np.ndarray, "*fit d"], mean: Float[np.ndarray, "*fit d"], rows: Any
) -> Bool[np.ndarray, "*fit d"]:
    """Say which features are constant up to the rounding of their variance, by scikit-learn's rule.

    `variance <= n eps variance + (n mean eps)^2`, the error bound of the two-pass algorithm (Chan, Golub &
    LeVeque 1983) that `StandardScaler` uses.

    >>> constant_features(np.array([1e-30, 1e-12]), np.array([1e3, 1e3]), 100)
    array([ True, False])
    """
    return variance <= rows * EPS * variance + (rows * mean * EPS) ** 2


def term_size(X: Float[np.ndarray, "row d"], directions: Float[np.ndarray, "*cell d"], biases: Any) -> Any:
    """Return how large the terms of `X @ direction + bias` become, an upper bound over the rows.

    >>> term_size(np.array([[1.0, -2.0]]), np.array([3.0, 1.0]), -4.0)
    np.float64(9.0)
    """
    return np.abs(directions) @ np.abs(X).max(0) + np.abs(biases)


def is_flat(spread: Any, size: Any) -> Any:
    """Say whether a standard deviation is no more than the rounding of numbers of this size.

    >>> is_flat(np.array([1e-17, 1e-3]), 1.0)
    array([ True, False])
    """
    return np.asarray(spread) <= 16 * EPS * np.asarray(size)


def histogram_edges(values: Float[np.ndarray, " value"], bins: int) -> Float[np.ndarray, " edge"]:
    """Return the edges of equal bins; values that differ by rounding only share the middle one.

    >>> histogram_edges(np.array([1.0, 1.0 + 1e-16]), 2)
    array([0.5, 1. , 1.5])
    """
    low, high = float(np.min(values)), float(np.max(values))
    size = max(abs(low), abs(high), 1e-290)
    if high - low <= 16 * bins * EPS * size:
        half = max(0.5, 1e-3 * size)
        low, high = low - half, high + half
    return np.histogram_bin_edges(values, bins=bins, range=(low, high))
