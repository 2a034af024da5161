"""TRL's side of KTO: its settings, where a run goes on, and what its log and model leave behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activations.dtype import resolve_autocast
from organisms.checkpoints import claim

if TYPE_CHECKING:
    from rlhf.recipes.kto import KTOSpec


def offline_settings(spec: KTOSpec, work_dir: Path) -> dict[str, Any]:
    """Arguments of a TRL config that follow from the spec; nothing is cut, nobody is reported to."""
    import torch

    return {
        "output_dir": str(work_dir),
        "beta": spec.beta,
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 5,
        "per_device_train_batch_size": spec.batch_size,
        "num_train_epochs": spec.epochs,
        "max_length": None,
        "bf16": resolve_autocast("auto"),
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "save_strategy": "steps",
        "save_steps": spec.save_every,
        "save_total_limit": 1,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "disable_tqdm": True,  # our bar instead
        "report_to": "none",
    }


def claim_rows(
    work_dir: Path, spec: KTOSpec, rows: Sequence[Mapping[str, Any]], what: str, start: str
) -> bool:
    """Whether `work_dir` holds checkpoints of the very same run on the same rows, to go on from.

    Raises:
        ValueError: `work_dir` holds checkpoints of another run.
    """
    digest = hashlib.sha256(json.dumps(list(rows), sort_keys=True).encode()).hexdigest()
    return claim(work_dir, settings=asdict(spec), examples=f"{len(rows)} {what}, {digest}", start=start)


def drop_reference(model: Any) -> None:
    """Take off the frozen copy of the adapter that TRL left as the reference of this run."""
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")


def losses(trainer: Any) -> list[dict[str, float]]:
    """Give the entries of a trainer's log that hold a loss."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]
