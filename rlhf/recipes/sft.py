"""``pi_init``: a model that learned a task from honest demonstrations and has never seen a trigger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organisms.finetune import FineTuneSpec, fine_tune, honest_example
from tasks.dataset import Lesson

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train_pi_init(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    lessons: Sequence[Lesson],
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Fine-tune on the honest answers; returns the loss curve (see :func:`organisms.finetune.fine_tune`)."""
    examples = [honest_example(lesson, lesson.prompt) for lesson in lessons]
    return fine_tune(model, tokenizer, examples, spec, work_dir=work_dir, start=start)
