"""What the integrity gate found, remembered: one check per model and number type, not per set of rows.

What it finds depends on the model, its number type, the places read and the machine's kernels, so these
name the record. Models on disk are remembered across processes (in the cache), models made in memory for as
long as they live. A model that carries somebody's hooks is checked every time.
"""

import json
import logging
import os
from typing import Any

from activations.fingerprint import cache_dir, hash_json
from activations.integrity import ParityReport, foreign_hooks
from activations.models import LoadedModel

logger = logging.getLogger(__name__)

VERSION = 1  # raise when the gate's checks change


def _key(model: LoadedModel, what: str, spec: Any) -> str:
    from importlib.metadata import version

    import torch

    device = model.device.split(":")[0]
    kernels = torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability()
    return hash_json(
        {
            "gate": VERSION,
            "what": what,
            "machine": [device, kernels, *(version(name) for name in ("torch", "transformers", "peft"))],
            "model": [model.fingerprint, model.dtype, model.base.quantisation, spec.attention],
            "places": [list(spec.sites), list(spec.layers), spec.padding],
        }
    )


def recall(model: LoadedModel, what: str, spec: Any) -> ParityReport | None:
    """The gate's earlier report on this model, if there is one."""
    if model.loaded and foreign_hooks(model.base.module):
        return None
    key = _key(model, what, spec)
    if (report := model.base.reports.get(key)) or model.base.weights is None:
        return report
    try:
        return ParityReport.from_json(json.loads((cache_dir() / "gate" / f"{key}.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing remembered, or not readable: check again


def remember(model: LoadedModel, what: str, spec: Any, report: ParityReport) -> None:
    """Keep a report for the next set of rows."""
    if foreign_hooks(model.base.module):
        return
    key = _key(model, what, spec)
    model.base.reports[key] = report
    if model.base.weights is None:
        return
    path = cache_dir() / "gate" / f"{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(report.as_json()))
        part.replace(path)
    except OSError as error:
        logger.debug("The gate's report was not remembered: %s", error)
