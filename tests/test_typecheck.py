"""The suite checks the array shapes that our functions promise."""

import inspect

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from typecheck import modules_with_shapes, writes_shapes

from probes.evaluation import groups, metrics
from probes.solvers import solve_logistic


def test_a_wrong_shape_is_refused():
    X, y = np.eye(3), np.array([0, 1, 1])
    solve_logistic(X, y, np.ones(3), C=1.0)
    with pytest.raises(TypeCheckError, match="weight"):
        solve_logistic(X, y, np.ones(4), C=1.0)


def test_every_module_that_writes_shapes_is_checked():
    assert {"probes.solvers", "activations.capture", "rlhf.recipes.ppo_math"} <= set(modules_with_shapes())


def test_functions_that_write_shapes_are_checked_and_others_run_bare():
    checked = [metrics.auroc_columns, groups.group_members]  # the first by an alias, the second returns one
    plain = [metrics.within_group_auroc, groups._name]
    for function in [*checked, *plain]:
        assert writes_shapes(inspect.unwrap(function)) == hasattr(function, "__wrapped__")
        assert hasattr(function, "__wrapped__") == (function in checked)
