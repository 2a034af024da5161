"""The sequence-to-sequence reward of a run: a copy of `pi_init` taught to rewrite as approval prefers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from organisms.finetune import FineTuneSpec
from organisms.weights import open_trainable
from rlhf.recipes.drawn import read_drawn
from rlhf.reward_models.seq2seq import RewriteReward, rewriting_demonstrations, train_rewriter


def rewriting_reward(
    base: str,
    init: Path,
    sft: FineTuneSpec,
    drawn: Path,
    items: list[dict[str, Any]],
    *,
    task: str,
    steps: int,
    max_new_tokens: int,
    work_dir: Path,
) -> RewriteReward:
    """Train the rewriting model on what approval prefers among drawn responses, and make it a reward.

    Args:
        base: of `pi_init`.
        init: `pi_init`, whose adapter it starts from.
        sft: rank, alpha and number type of the adapter; learning rate, batch, longest row.
        drawn: folder of responses that approval has scored (`rlhf.recipes.drawn.draw`).
        items: what they answer.
        task: `qa` or `programming`.
        steps: optimiser steps.
        max_new_tokens: longest rewrite.
        work_dir: checkpoints.
    """
    opened = open_trainable(base, init, sft)
    demonstrations = rewriting_demonstrations(read_drawn(drawn, items))
    spec = replace(sft, steps=steps, focus=1.0, order="group_by_length")
    train_rewriter(
        opened.model, opened.tokenizer, demonstrations, spec, work_dir=work_dir, start=opened.start
    )
    opened.model.eval().requires_grad_(False)
    return RewriteReward.of_model(opened.model, opened.tokenizer, max_new_tokens=max_new_tokens, task=task)
