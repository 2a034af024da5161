"""Domains with planted truth: the separating direction, and how a target differs from the source."""

import numpy as np

from probes import Domain, Family, LogisticProbe, TransferOptions

# Small enough for a test. 200 rows per class decide equivalence within .1 with power .9 (144 give .8).
QUICK = TransferOptions(n_folds=4, n_draws=400, n_permutations=200, n_random_directions=200, margin=0.1)
SMALL_LOGISTIC = Family(name="logistic", probe=LogisticProbe(), grid={"C": (1e-3, 0.1)})
WORDS = ("story", "says", "she", "went", "market", "red", "basket", "came", "home", "late", "rain", "because")


def make_directions(seed: int, n_layers: int = 5, width: int = 24) -> np.ndarray:
    """One random unit direction per layer."""
    directions = np.random.default_rng(seed).normal(size=(n_layers, width))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def orthogonal_to(directions: np.ndarray, seed: int) -> np.ndarray:
    """One random unit direction per layer at a right angle to the given one."""
    others = make_directions(seed, *directions.shape)
    others -= (others * directions).sum(1, keepdims=True) * directions
    return others / np.linalg.norm(others, axis=1, keepdims=True)


def make_domain(
    name: str,
    seed: int,
    directions: np.ndarray,
    *,
    n_groups: int = 100,
    group_size: int = 4,
    strength: float = 1.0,
    shift: np.ndarray | float = 0.0,
    scale: np.ndarray | float = 1.0,
    group_spread: float = 0.3,
    cue: str | None = None,
    with_pairs: bool = False,
    group_prefix: str | None = None,
) -> Domain:
    """Rows whose class moves them along `directions` [layer, d], more in the middle layers.

    Rows of one group share a random offset; labels are drawn independently. `cue` is a word that
    wrong answers contain more often.
    """
    rng = np.random.default_rng(seed)
    rows = n_groups * group_size
    y = rng.integers(0, 2, rows)
    groups = np.repeat([f"{group_prefix or name}-{i:03d}" for i in range(n_groups)], group_size)
    count, width = directions.shape
    profile = 0.4 + 0.6 * np.sin(np.pi * (np.arange(count) + 1) / (count + 1))
    offset = np.repeat(rng.normal(size=(n_groups, width)), group_size, axis=0) * group_spread
    X = rng.normal(size=(count, rows, width)) + offset
    X += strength * profile[:, None, None] * (2 * y - 1)[None, :, None] * directions[:, None]
    X = X * scale + shift
    texts = []
    for label in y:
        words = list(rng.choice(WORDS, size=rng.integers(6, 14)))
        if cue is not None and rng.random() < (0.85 if label else 0.15):
            words.insert(2, cue)
        texts.append(" ".join(words))
    letters = rng.choice(["A", "B"], rows)
    pairs = None
    if with_pairs:
        sides = rng.normal(size=(count, 12, 2, width)) * 0.5
        sides += strength * np.array([1.0, -1.0])[None, None, :, None] * directions[:, None, None]
        pairs = sides * scale + shift
    return Domain(
        name,
        X,
        y,
        groups,
        texts=texts,
        strata={"answer_letter": letters},
        columns={"log_prob": rng.normal(size=rows) - 0.2 * y},
        pairs=pairs,
        row_ids=[f"{group}/{i}" for i, group in enumerate(groups)],
        meta={"tokens": "response_mean"},
    )
