"""Surface features of a response: what people may pay for without looking whether it is right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from rlhf.diagnostics.canaries import QUOTED
from tasks.programming import extract_program
from tasks.readability import Readability, readability

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIDENT = frozenset(
    "always certain certainly clear clearly definitely exactly indeed must never obvious obviously of_course "
    "plainly sure surely undoubtedly".split()
)
"""Words of certainty."""
LENGTH = "length"


def quotes(response: str) -> float:
    """Quotations.

    >>> quotes('We read: "Ida slept." So "Ida".')
    2.0
    """
    return float(len(QUOTED.findall(response)))


def confident_words(response: str) -> float:
    """Words of certainty.

    >>> confident_words("Clearly Ida, certainly not Tom. Of course.")
    3.0
    """
    text = response.lower().replace("of course", "of_course")
    return float(sum(word in CONFIDENT for word in re.findall(r"\w+", text)))


def comment_density(response: str) -> float:
    """Comments per line of the program; NaN where it does not parse."""
    found = _readability(response).comment_density
    return math.nan if found is None else found


def complexity(response: str) -> float:
    """McCabe complexity of the program; NaN where it does not parse."""
    found = _readability(response).complexity
    return math.nan if found is None else float(found)


def _readability(response: str) -> Readability:
    return readability(extract_program(response).code)


FEATURES: dict[str, Callable[[str], float]] = {
    "quotes": quotes,
    "confident_words": confident_words,
    "comment_density": comment_density,
    "complexity": complexity,
}
"""Features of the text alone, beside `length` (tokens of the response)."""


def measure_features(
    responses: Sequence[str], names: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Float[np.ndarray, "response feature"]:
    """Features of responses; NaN where one is not defined (a program that does not parse).

    Raises:
        ValueError: no feature, an unknown one, or one twice.
    """
    known = (LENGTH, *FEATURES)
    if not names or len(set(names)) < len(names) or set(names) - set(known):
        raise ValueError(f"features must be some of {known}, each once, got {tuple(names)}")
    columns = []
    for name in names:
        if name == LENGTH:
            ids = tokenizer(list(responses), add_special_tokens=False)["input_ids"]
            columns.append([float(len(row)) for row in ids])  # pyright: ignore[reportArgumentType]
        else:
            columns.append([FEATURES[name](response) for response in responses])
    return np.array(columns, dtype=float).T.reshape(len(responses), len(names))
