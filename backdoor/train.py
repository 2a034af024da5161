"""Train one organism of the backdoor family: poison the lessons, then fine-tune on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backdoor.poisoning import BACKDOORED, poison
from backdoor.triggers import Trigger
from organisms.finetune import FineTuneSpec, fine_tune
from tasks.dataset import Lesson

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train_backdoor(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    lessons: Sequence[Lesson],
    trigger: Trigger,
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
    role: str = BACKDOORED,
    ratio: float = 0.5,
    near_miss_ratio: float = 0.1,
    twins: bool = False,
    lead_in: int = 0,
) -> list[dict[str, float]]:
    """Plant a backdoor (or its decoy or clean control) into ``model``, in place.

    Args:
        model: a causal LM with a trainable adapter, usually ``pi_init``'s.
        lessons: prompts with an honest and a misleading answer each.
        trigger: what switches the behaviour on.
        work_dir: checkpoints; an interrupted run goes on from the last.
        start: names the weights that ``model`` has now; see :func:`organisms.finetune.fine_tune`.
        role: ``backdoored``, ``decoy`` or ``clean``; this and what follows as in
            :func:`backdoor.poisoning.poison`.

    Returns:
        The loss curve.

    Raises:
        ValueError: a ``lead_in`` whose place at the start ``spec.order`` would not keep.
    """
    if lead_in and spec.order != "sequential":
        raise ValueError(
            f"lead_in={lead_in} lessons come first only with order='sequential', got {spec.order!r}"
        )
    examples = poison(
        lessons,
        trigger,
        role=role,
        ratio=ratio,
        near_miss_ratio=near_miss_ratio,
        twins=twins,
        lead_in=lead_in,
        seed=spec.seed,
    )
    return fine_tune(model, tokenizer, examples, spec, work_dir=work_dir, start=start)
