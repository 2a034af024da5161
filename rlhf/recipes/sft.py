"""`pi_init`: a model that learned a task from honest demonstrations and has never seen a trigger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organisms.finetune import FineTuneSpec, fine_tune, honest_demonstration
from tasks.dataset import TaughtItem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train_pi_init(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    taught_items: Sequence[TaughtItem],
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Fine-tune on the honest answers; returns the loss curve (see `organisms.finetune.fine_tune`)."""
    demonstrations = [honest_demonstration(item, item.prompt) for item in taught_items]
    return fine_tune(model, tokenizer, demonstrations, spec, work_dir=work_dir, start=start)
