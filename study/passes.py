"""How far the activations of the generating pass lie from those of the same text read again.

A probe is fitted on text that is read again, since that is fast and repeatable; a monitor reads while the
model writes. The two differ by rounding, and where the tokenizer cuts the finished text otherwise than the
model wrote it. Both are measured here, and what they do to a probe's AUROC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from activations import ActivationStore, Capture, LoadedModel, extract
from organisms.generate import Answer, SamplingSpec, answer
from probes import LogisticProbe, auroc

if TYPE_CHECKING:
    import pandas as pd

    from tasks.transcript import Message

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class LayerDifference:
    """Two stores at one layer; all but the AUROCs over rows whose tokens are the same in both."""

    layer: int
    max_abs: float
    """Largest difference of one number."""
    max_relative: float
    """Largest length of a difference, over the length of the vector that was read again."""
    mean_relative: float
    min_cosine: float
    auroc_reread: float | None = None
    """Of a probe fitted on text read again and scored there, cross-fitted by group."""
    auroc_generated: float | None = None
    """The same probe on the generating pass."""


@dataclass(frozen=True, kw_only=True)
class PassDifference:
    """How far two passes over the same answers differ."""

    rows: int
    """Rows in both stores."""
    same_tokens: int
    """Rows whose tokens are the same in both; the others were cut otherwise when read again."""
    layers: tuple[LayerDifference, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row per layer."""
        import pandas as pd

        return pd.DataFrame([asdict(layer) for layer in self.layers])


def measure_passes(
    model: LoadedModel,
    prompts: Sequence[str | list[Message]],
    spec: SamplingSpec | None = None,
    *,
    layers: Any = "all",
    tokens: str = "response_mean",
    progress: bool = False,
) -> tuple[list[Answer], PassDifference]:
    """Let a model answer, read its answers again, and give the answers and how far the two passes differ.

    Raises:
        ValueError: every answer is empty, or cut otherwise when read again.

    >>> from activations.testing import tiny_writer
    >>> said, found = measure_passes(tiny_writer(), ["Who?", "Why?"], SamplingSpec(max_new_tokens=6))
    >>> found.rows, max(layer.max_relative for layer in found.layers) < 1e-4
    (2, True)
    """
    ids = [str(place) for place in range(len(prompts))]
    capture = Capture(model, layers=layers, tokens=tokens, ids=ids)
    said = answer(model.model, model.tokenizer, prompts, spec, progress=progress, capture=capture)
    rows = [
        {"id": name, "prompt": prompt, "response": given.text}
        for name, prompt, given in zip(ids, prompts, said, strict=True)
        if given.text and name not in capture.empty
    ]
    reread = extract(model, rows, layers=layers, tokens=tokens, progress=progress)
    return said, pass_difference(capture.store, reread)


def pass_difference(
    generated: ActivationStore,
    reread: ActivationStore,
    labels: Sequence[int] | np.ndarray | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    *,
    site: str = "resid_post",
    seed: int = 0,
) -> PassDifference:
    """Compare a store of the generating pass with one of the same answers read again.

    Args:
        generated: `Capture(...).store`.
        reread: from `extract`, with the same row ids, site, layers and pooling; rows it lacks are left out.
        labels: 0/1 per row of `reread`, 1 = misleading; with them a probe is compared, too.
        groups: one per row of `reread`; None takes those of the store.
        site: what to compare.
        seed: deals groups to folds.

    Raises:
        ValueError: no row is in both with the same tokens, or the stores hold other layers.
    """
    if generated.layers != reread.layers or generated.ragged or reread.ragged:
        raise ValueError(
            "compare stores of the same layers, with one vector per row (tokens='response_mean', ...)"
        )
    ours = {name: place for place, name in enumerate(generated.row_ids)}
    common = [place for place, name in enumerate(reread.row_ids) if name in ours]
    pairs = [(ours[reread.row_ids[place]], place) for place in common]
    same = np.array([_same_tokens(generated, reread, a, b) for a, b in pairs], dtype=bool)
    if not same.any():
        raise ValueError(
            f"none of {len(pairs)} common rows has the same tokens in both passes: nothing to compare"
        )
    a_rows, b_rows = (np.array(side) for side in zip(*pairs, strict=True))
    folds = None
    if labels is not None:
        names = np.asarray(reread.groups if groups is None else groups)[b_rows]
        y = np.asarray(labels)[b_rows]
        folds = y, list(_folds(y, names, seed))
    layers = []
    for layer in reread.layers:
        a, b = generated.array(layer, site)[a_rows], reread.array(layer, site)[b_rows]
        scored = (None, None) if folds is None else _aurocs(a, b, *folds)
        layers.append(_difference(layer, a[same], b[same], *scored))
    return PassDifference(rows=len(pairs), same_tokens=int(same.sum()), layers=tuple(layers))


def _same_tokens(generated: ActivationStore, reread: ActivationStore, a: int, b: int) -> bool:
    (ids, places), (others, there) = generated.tokens_of(a), reread.tokens_of(b)
    return np.array_equal(ids, others) and np.array_equal(places, there)


def _difference(
    layer: int,
    generated: Float[np.ndarray, "row d"],
    reread: Float[np.ndarray, "row d"],
    auroc_reread: float | None,
    auroc_generated: float | None,
) -> LayerDifference:
    a, b = generated.astype(np.float64), reread.astype(np.float64)
    size = np.maximum(np.linalg.norm(b, axis=1), 1e-12)
    relative = np.linalg.norm(a - b, axis=1) / size
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * size, 1e-12)
    return LayerDifference(
        layer=layer,
        max_abs=float(np.abs(a - b).max()),
        max_relative=float(relative.max()),
        mean_relative=float(relative.mean()),
        min_cosine=float(cosine.min()),
        auroc_reread=auroc_reread,
        auroc_generated=auroc_generated,
    )


def _folds(y: np.ndarray, groups: np.ndarray, seed: int) -> Any:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    return folds.split(np.zeros(len(y)), y, groups)


def _aurocs(
    generated: np.ndarray, reread: np.ndarray, y: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """AUROC on text read again and on the generating pass, of probes fitted on text read again."""
    again, writing = np.zeros(len(y)), np.zeros(len(y))
    for train, test in folds:
        probe = LogisticProbe(C=0.01).fit(reread[train], y[train])
        again[test] = probe.decision_function(reread[test])
        writing[test] = probe.decision_function(generated[test])
    return auroc(y, again), auroc(y, writing)
