"""Intervals of proportions are the published ones."""

import numpy as np

from probes.evaluation.intervals import clopper_pearson, wilson_interval


def test_proportion_intervals_are_the_published_ones() -> None:
    from scipy.stats import binomtest

    for hits, n in ((0, 10), (3, 300), (7, 9), (10, 10)):
        for ours, method in ((wilson_interval, "wilson"), (clopper_pearson, "exact")):
            expected = binomtest(hits, n).proportion_ci(method=method)
            np.testing.assert_allclose(ours(hits, n), (expected.low, expected.high), atol=1e-9)
