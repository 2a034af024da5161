"""A probe through training: the same answers read at every checkpoint, beside the model before.

The texts stay the same, only the weights change, so a row is its own control: what moves is how the model
represents it, not what it says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from activations import ActivationStore, LoadedModel, extract, load_model
from activations.fingerprint import ADAPTER_FILES
from organisms.record import CHECKPOINT
from probes import auroc
from probes.base import Probe

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def find_checkpoints(folder: str | Path) -> list[tuple[int, Path]]:
    """Give step and folder of every checkpoint below a training folder that can be loaded, in order.

    Raises:
        FileNotFoundError: there is none: training kept none (`save_every`), or only its own state.

    >>> import tempfile
    >>> work = Path(tempfile.mkdtemp())
    >>> for step in (20, 3):
    ...     (work / f"checkpoint-{step}").mkdir()
    ...     for name in ADAPTER_FILES:
    ...         _ = (work / f"checkpoint-{step}" / name).write_text("{}")
    >>> [step for step, _ in find_checkpoints(work)]
    [3, 20]
    """
    folder = Path(folder).expanduser()
    found = []
    for path in folder.glob("checkpoint-*"):
        step = re.fullmatch(r"checkpoint-0*(\d+)", path.name)
        if step and (all((path / name).is_file() for name in ADAPTER_FILES) or (path / CHECKPOINT).is_file()):
            found.append((int(step[1]), path))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no checkpoint-N with an adapter or whole weights: train with save_every and keep "
            "them."
        )
    return sorted(found)


def read_checkpoints(
    base: LoadedModel,
    folder: str | Path,
    rows: Sequence[Any],
    *,
    before: str | Path | None = None,
    tokens: Any = "response_mean",
    layers: Any = "all",
    store: str | Path | None = None,
    progress: bool = False,
) -> Iterator[tuple[int, ActivationStore]]:
    """Read the same rows before training (step 0) and at each of its checkpoints.

    Args:
        base: the model that adapters are put on.
        folder: holds `checkpoint-N`.
        rows: as for `extract`; the same at every step.
        before: adapter that training started from; None: the bare base.
        tokens, layers, store, progress: as for `extract`.
    """
    how = {"tokens": tokens, "layers": layers, "store": store, "progress": progress}
    yield 0, extract(base.with_adapter(before), rows, **how)
    for step, path in find_checkpoints(folder):
        if (path / ADAPTER_FILES[0]).is_file():
            model = base.with_adapter(path)
        else:
            model = load_model(path, dtype=base.dtype, device=base.device)
        logger.info("reading %d rows at step %d", len(rows), step)
        yield step, extract(model, rows, **how)


def checkpoint_scores(
    base: LoadedModel,
    folder: str | Path,
    rows: Sequence[Any],
    probe: Probe,
    layer: int,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    before: str | Path | None = None,
    tokens: Any = "response_mean",
    store: str | Path | None = None,
) -> pd.DataFrame:
    """Score the same rows with a frozen probe before training and at each checkpoint.

    Args:
        probe: fitted at `layer` and `tokens`.
        labels: 0/1 per row, 1 = misleading; None reads `correct` of each row where all have it.
        base, folder, rows, before, tokens, store: as for `read_checkpoints`.

    Returns:
        Columns: step, rows, mean (score), change (mean change of a row since before training), change_se (its
        standard error over groups), and with labels auroc, mean_bad, mean_good.
    """
    import pandas as pd

    y = _labels(rows, labels)
    table: list[dict[str, Any]] = []
    start = None
    steps = read_checkpoints(base, folder, rows, before=before, tokens=tokens, layers=[layer], store=store)
    for step, acts in steps:
        scores = probe.decision_function(acts.array(layer))
        start = scores if start is None else start
        change: Any = pd.Series(scores - start).groupby(acts.groups).mean()
        line = {
            "step": step,
            "rows": len(scores),
            "mean": float(scores.mean()),
            "change": float((scores - start).mean()),
            "change_se": float(change.std(ddof=1) / np.sqrt(len(change)))
            if len(change) > 1
            else float("nan"),
        }
        if y is not None:
            line |= {
                "auroc": auroc(y, scores),
                "mean_bad": float(scores[y == 1].mean()),
                "mean_good": float(scores[y == 0].mean()),
            }
        table.append(line)
    return pd.DataFrame(table)


def _labels(rows: Sequence[Any], labels: Sequence[int] | np.ndarray | None) -> np.ndarray | None:
    if labels is None:
        said = [
            row.get("correct") if isinstance(row, dict) else getattr(row, "correct", None) for row in rows
        ]
        if None in said:
            return None
        labels = [int(not correct) for correct in said]
    if len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} rows")
    return np.asarray(labels)
