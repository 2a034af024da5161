r"""Does a curve rise, fall, or rise to a peak and then fall? Told from noise by monotone regression.

With :math:`S_\uparrow`, :math:`S_\downarrow` and :math:`S_\wedge` the squared residuals of the best rising,
falling and one-peaked step function (scipy's isotonic regression; one-peaked: rising up to a checkpoint,
falling after it), a curve falls after its peak when :math:`(S_\uparrow - S_\wedge) / \hat\sigma^2` is larger
than in all but 5 % of curves of pure noise, and rises to it when
:math:`(S_\downarrow - S_\wedge) / \hat\sigma^2` is. :math:`\hat\sigma^2` is the mean squared difference of
neighbours over two (Rice 1984), which a trend makes larger, never smaller: a steep curve is called too rarely
rather than too often.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

PEAK, RISES, FALLS, NO_TREND = "peaks, then falls", "rises", "falls", "no trend"
FEWEST = 6
"""Checkpoints, below which no trend can be told from noise."""
_SIMULATED = 500

Curve = Float[np.ndarray, " checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The shape of a curve along training."""

    verdict: str
    """`peaks, then falls`, `rises`, `falls` or `no trend`."""
    peak: int
    """Which checkpoint is the peak of the one-peaked fit (of equals the first)."""
    rise: float
    """From the first checkpoint to the peak, of the fit."""
    rise_p: float
    """How often noise alone looks as much like a rise."""
    fall: float
    """From the peak to the last checkpoint, of the fit."""
    fall_p: float
    """How often noise alone looks as much like a fall."""


def trend(values: ArrayLike, *, alpha: float = 0.05) -> Trend:
    """Tell the shape of a curve.

    Args:
        values: one per checkpoint, in order.
        alpha: how rarely noise may be called a rise, or a fall.

    Raises:
        ValueError: fewer than six checkpoints, or a value that is not finite.

    >>> trend([0.1, 0.3, 0.5, 0.7, 0.8, 0.7, 0.5, 0.4, 0.2, 0.1]).verdict
    'peaks, then falls'
    >>> trend([0.5] * 8).verdict
    'no trend'
    """
    curve = np.asarray(values, dtype=float)
    if curve.ndim != 1 or len(curve) < FEWEST:
        raise ValueError(f"need at least {FEWEST} checkpoints to tell a trend from noise, got {curve.size}")
    if not np.isfinite(curve).all():
        raise ValueError("a checkpoint has no finite value; leave it out")
    falling, rising = _statistics(curve)
    noise = _noise(len(curve))
    fall_p, rise_p = (
        float((1 + (noise[:, column] >= found - 1e-9).sum()) / (1 + len(noise)))
        for column, found in enumerate((falling, rising))
    )
    fitted = _one_peak(curve)
    peak = int(fitted.argmax())
    verdicts = {(True, True): PEAK, (True, False): RISES, (False, True): FALLS, (False, False): NO_TREND}
    return Trend(
        verdict=verdicts[rise_p < alpha, fall_p < alpha],
        peak=peak,
        rise=float(fitted[peak] - fitted[0]),
        rise_p=rise_p,
        fall=float(fitted[peak] - fitted[-1]),
        fall_p=fall_p,
    )


def _statistics(curve: Curve) -> tuple[float, float]:
    """How much better one peak fits than a rise, and than a fall, in units of the noise."""
    variance = float((np.diff(curve) ** 2).mean() / 2)
    if variance <= 1e-24 * max(1e-12, float((curve**2).max())):  # constant up to rounding
        return 0.0, 0.0
    up, down = rising_squares(curve), rising_squares(curve[::-1])[::-1]
    one_peak = min(up[-1], down[0], float((up[:-1] + down[1:]).min()))
    return (float(up[-1]) - one_peak) / variance, (float(down[0]) - one_peak) / variance


def rising_squares(curve: Curve) -> Curve:
    """Squared residuals of the best rising step function on the first 1, 2, ... points.

    Pool adjacent violators, once for all beginnings (scipy's isotonic regression gives the whole curve's).

    >>> rising_squares(np.array([1.0, 3.0, 1.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    blocks: list[tuple[float, int, float]] = []  # mean, size, squares within
    found, total = [], 0.0
    for value in curve.tolist():
        mean, size, squares = value, 1, 0.0
        while blocks and blocks[-1][0] > mean:
            other, count, within = blocks.pop()
            total -= within
            between = (mean - other) ** 2 * size * count / (size + count)
            mean, size = (mean * size + other * count) / (size + count), size + count
            squares += within + between
        blocks.append((mean, size, squares))
        total += squares
        found.append(max(0.0, total))
    return np.array(found)


def _one_peak(curve: Curve) -> Curve:
    """Best step function that rises up to some checkpoint and falls after it."""
    up, down = rising_squares(curve), rising_squares(curve[::-1])[::-1]
    after = int(np.argmin(up + np.append(down[1:], 0.0))) + 1
    return np.concatenate([_monotone(curve[:after], rising=True), _monotone(curve[after:], rising=False)])


def _monotone(curve: Curve, *, rising: bool) -> Curve:
    if not len(curve):
        return curve
    return isotonic_regression(curve, increasing=rising).x


@lru_cache(maxsize=32)
def _noise(n: int) -> Float[np.ndarray, "simulated statistic"]:
    """Both statistics of curves of `n` independent normal numbers."""
    rng = np.random.default_rng(n)
    return np.array([_statistics(curve) for curve in rng.standard_normal((_SIMULATED, n))])
