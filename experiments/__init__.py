"""Programs a person runs, and the machinery they share: presets, figures, reports."""

import sys

from experiments.moved import MovedModule

_OLD = f"{__name__}.organisms"
sys.modules[_OLD] = MovedModule(_OLD, "study.opening", {"untrained_twin": "untrained_copy"})
