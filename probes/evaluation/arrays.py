"""Arrays with one entry per row of a domain, as the evaluation passes them around.

Shapes are checked in tests; `row` is the same number wherever it occurs in one signature.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

__all__ = ["Activations", "Folds", "Groups", "Labels", "Mask", "Scores"]

Activations = Float[np.ndarray, "row d"]
Labels = Int[np.ndarray, " row"]
"""0 or 1; 1 = misleading."""
Scores = Float[np.ndarray, " row"]
"""Higher = more likely misleading."""
Groups = Shaped[np.ndarray, " row"]
"""Name of each row's question or problem."""
Folds = Int[np.ndarray, " row"]
Mask = Bool[np.ndarray, " row"]
