"""The suite checks the array shapes that our functions promise."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from typecheck import modules_with_shapes

from probes.solvers import solve_logistic


def test_a_wrong_shape_is_refused():
    X, y = np.eye(3), np.array([0, 1, 1])
    solve_logistic(X, y, np.ones(3), C=1.0)
    with pytest.raises(TypeCheckError, match="weight"):
        solve_logistic(X, y, np.ones(4), C=1.0)


def test_every_module_that_writes_shapes_is_checked():
    assert {"probes.solvers", "activations.capture", "rlhf.recipes.ppo_math"} <= set(modules_with_shapes())
