"""Equivalence tests and detectable effects have the promised size and power."""

import numpy as np
import pytest
from scipy.stats import norm
from simulate import independent_scores

from probes.evaluation.metrics import auroc
from probes.evaluation.power import (
    equivalence_test,
    minimum_detectable_auroc,
    null_standard_error,
    rows_for_equivalence,
)


def test_minimum_detectable_auroc_has_the_promised_power() -> None:
    rng = np.random.default_rng(0)
    target = minimum_detectable_auroc(100, 100)
    found = 0
    for _ in range(600):
        y, scores = independent_scores(rng, 100, target)
        value = auroc(y, scores[0])
        found += abs(value - 0.5) > norm.ppf(0.975) * null_standard_error(100, 100)
    assert found / 600 == pytest.approx(0.80, abs=0.05)


def test_equivalence_has_its_size_at_the_margin_and_its_power_at_one_half() -> None:
    rng = np.random.default_rng(0)
    n = rows_for_equivalence(0.1)
    assert n == 144
    verdicts = {0.5: [], 0.6: [], 0.4: [], 0.75: [], 0.25: []}
    for run in range(250):
        for truth, seen in verdicts.items():
            if truth in (0.75, 0.25) and run >= 30:
                continue
            y, scores = independent_scores(rng, n, truth)
            seen.append(equivalence_test(y, scores[0], margin=0.1, n_draws=300, seed=run).verdict)
    assert np.mean([v == "equivalent" for v in verdicts[0.5]]) == pytest.approx(0.80, abs=0.08)
    for edge in (0.6, 0.4):
        assert np.mean([v == "equivalent" for v in verdicts[edge]]) <= 0.09
    assert set(verdicts[0.75]) == {"above"}
    assert set(verdicts[0.25]) == {"inverted"}


def test_small_samples_are_inconclusive_not_equivalent() -> None:
    y, scores = independent_scores(np.random.default_rng(0), 30, 0.5)
    assert equivalence_test(y, scores[0], margin=0.05, n_draws=300).verdict == "inconclusive"
