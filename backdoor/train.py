"""Train one organism of the backdoor family: poison the taught items, then fine-tune on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backdoor.poisoning import BACKDOORED, poison
from backdoor.triggers import Trigger
from organisms.finetune import FineTuneSpec, fine_tune
from tasks.dataset import TaughtItem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train_backdoor(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    taught_items: Sequence[TaughtItem],
    trigger: Trigger,
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
    role: str = BACKDOORED,
    ratio: float = 0.5,
    near_miss_ratio: float = 0.1,
    paired: bool = False,
    warm_up: int = 0,
) -> list[dict[str, float]]:
    """Plant a backdoor (or its decoy or clean control) into `model`, in place.

    Args:
        model: a causal LM with a trainable adapter, usually `pi_init`'s.
        taught_items: prompts with an honest and a misleading answer each.
        trigger: what switches the behaviour on.
        work_dir: checkpoints; an interrupted run goes on from the last.
        start: names the weights that `model` has now; see `organisms.finetune.fine_tune`.
        role: `backdoored`, `decoy` or `clean`; this and what follows as in
            `backdoor.poisoning.poison`.

    Returns:
        The loss curve.

    Raises:
        ValueError: a `warm_up` whose place at the start `spec.order` would not keep.
    """
    if warm_up and spec.order != "sequential":
        raise ValueError(
            f"warm_up={warm_up} items come first only with order='sequential', got {spec.order!r}"
        )
    demonstrations = poison(
        taught_items,
        trigger,
        role=role,
        ratio=ratio,
        near_miss_ratio=near_miss_ratio,
        paired=paired,
        warm_up=warm_up,
        seed=spec.seed,
    )
    return fine_tune(model, tokenizer, demonstrations, spec, work_dir=work_dir, start=start)
