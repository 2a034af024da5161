r"""The preference reward model: Bradley-Terry on pairs.

The loss of a pair is :math:`-\log\sigma(r(x, y_w) - r(x, y_l))` (Bradley and Terry 1952; arXiv 1706.03741),
as in TRL's `RewardTrainer`. All pairs of one item meet in one step, and each of its responses is computed
once (arXiv 2203.02155, section 3.5). Only differences count: scores of different items have no common zero.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from organisms.weights import Trainable
from rlhf.evaluators.evaluator import StoryView
from rlhf.preferences import Pair
from rlhf.reward_models.fit import fit
from rlhf.reward_models.judge import JudgedItem
from rlhf.reward_models.model import (
    PREFERENCE,
    PROGRAMS,
    PROMPTS,
    STORIES,
    RewardHead,
    RewardModel,
    RewardModelSpec,
)
from rlhf.rewards.view import PromptView, Shown, prompt_view


@dataclass(frozen=True, kw_only=True)
class ComparedItem:
    """The responses to one item, and which of them is better than which.

    Raises:
        ValueError: no pair, or a pair of a response with itself or with one that is not there.
    """

    item: str
    view: Shown
    responses: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    """Places of the better and of the worse response."""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError(f"item {self.item!r} has no pair to compare; leave it out")
        for better, worse in self.pairs:
            if better == worse or not {better, worse} <= set(range(len(self.responses))):
                raise ValueError(
                    f"item {self.item!r}: pair {(better, worse)} does not name two of its "
                    f"{len(self.responses)} responses"
                )


def compared_by_approval(
    items: Sequence[JudgedItem], *, margin: float = 0.0, per_item: int | None = None, seed: int = 0
) -> list[ComparedItem]:
    """Pairs from a pool: of two responses to one item, the one that more of the pool approve is better.

    Args:
        items: judged responses; items whose responses all fare alike have no pair and are left out.
        margin: least difference of approval, above which a pair counts.
        per_item: at most so many pairs of an item, drawn by `seed`; None: all.
        seed: of that draw.

    Raises:
        ValueError: no item has a pair.
    """
    found = []
    for one in items:
        shares = one.approvals
        pairs = [
            (i, j) if shares[i] > shares[j] else (j, i)
            for i, j in combinations(range(len(shares)), 2)
            if abs(shares[i] - shares[j]) > margin
        ]
        if per_item is not None and len(pairs) > per_item:
            pairs = sorted(random.Random(f"{seed}/{one.item}").sample(pairs, per_item))
        if pairs:
            found.append(
                ComparedItem(item=one.item, view=one.view, responses=one.responses, pairs=tuple(pairs))
            )
    if not found:
        raise ValueError(
            f"no two responses to one of the {len(items)} items differ in approval by more than {margin}: "
            "there is no pair to learn from"
        )
    return found


def compared_by_people(pairs: Sequence[Pair]) -> list[ComparedItem]:
    """Human preference pairs (`rlhf.preferences`); those of one prompt become one item.

    Raises:
        ValueError: no pairs, or one whose two responses are the same.
    """
    if not pairs:
        raise ValueError("no preference pairs")
    by_prompt: dict[PromptView, list[tuple[str, str]]] = {}
    for pair in pairs:
        chosen, rejected = (pair[side][0]["content"] for side in ("chosen", "rejected"))
        if chosen == rejected:
            raise ValueError(f"a pair prefers a response to itself: {chosen[:60]!r}")
        by_prompt.setdefault(prompt_view(pair["prompt"]), []).append((chosen, rejected))
    found = []
    for number, (view, some) in enumerate(by_prompt.items()):
        responses = tuple(dict.fromkeys(text for two in some for text in two))
        places = tuple((responses.index(better), responses.index(worse)) for better, worse in some)
        found.append(ComparedItem(item=f"prompt-{number}", view=view, responses=responses, pairs=places))
    return found


def bradley_terry_loss(
    better: Float[Tensor, " pair"], worse: Float[Tensor, " pair"], *, center: float = 0.0
) -> Float[Tensor, ""]:
    """Mean over pairs; `center` weighs the mean of (better + worse)^2, which keeps rewards around 0.

    >>> round(bradley_terry_loss(torch.tensor([0.0]), torch.tensor([0.0])).item(), 4)
    0.6931
    """
    loss = -logsigmoid(better - worse).mean()
    return loss + center * ((better + worse) ** 2).mean() if center else loss


class PreferenceObjective:
    """Bradley-Terry loss over the pairs of some items."""

    def __init__(self, items: Sequence[ComparedItem], *, center: float = 0.01) -> None:
        self.items, self.center = items, center

    def loss(self, outputs: Sequence[Tensor], places: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """The loss; logs the share of pairs in the right order and the mean margin."""
        better, worse = (side[:, 0] for side in paired_outputs(self.items, outputs, places))
        margin = (better - worse).detach()
        logged = {"accuracy": float((margin > 0).float().mean()), "margin": float(margin.mean())}
        return bradley_terry_loss(better, worse, center=self.center), logged

    def penalty(self, head: RewardHead) -> float:
        """None."""
        del head
        return 0.0


def paired_outputs(
    items: Sequence[ComparedItem], outputs: Sequence[Tensor], places: Sequence[int]
) -> tuple[Float[Tensor, "pair head"], Float[Tensor, "pair head"]]:
    """Outputs of the better and of the worse response of every pair of the items at `places`."""
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for found, place in zip(outputs, places, strict=True):
        for better, worse in items[place].pairs:
            sides[0].append(found[better])
            sides[1].append(found[worse])
    return torch.stack(sides[0]), torch.stack(sides[1])


def kind_of_view(items: Sequence[ComparedItem]) -> Any:
    """What a reward model of these items is trained on: stories, programs or prompts.

    Raises:
        ValueError: no items, or items of several kinds.
    """
    kinds = {type(one.view) for one in items}
    if len(kinds) != 1:
        raise ValueError(
            "there are no items to compare"
            if not kinds
            else "items of several kinds: train one model for each"
        )
    (kind,) = kinds
    return STORIES if kind is StoryView else PROMPTS if kind is PromptView else PROGRAMS


def train_preference(
    opened: Trainable,
    items: Sequence[ComparedItem],
    spec: RewardModelSpec,
    *,
    base: str,
    parent: str | None = None,
    work_dir: str | Path,
    center: float = 0.01,
    progress: bool = True,
) -> RewardModel:
    """Train a preference reward model; arguments as for `rlhf.reward_models.judge.train_judge`.

    Raises:
        ValueError: no items, items of several kinds, or texts that do not fit.
    """
    model = RewardModel.start(
        opened,
        kind=PREFERENCE,
        heads=("reward",),
        trained_on=kind_of_view(items),
        spec=spec,
        base=base,
        parent=parent,
    )
    objective = PreferenceObjective(items, center=center)
    log = fit(model, items, objective, work_dir=work_dir, start=opened.start, progress=progress)
    model.record = dataclasses.replace(model.record, training=counts(items, log) | {"center": center})
    return model


def counts(items: Sequence[ComparedItem], log: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What the record says about training on pairs."""
    return {
        "items": len(items),
        "pairs": sum(len(one.pairs) for one in items),
        "steps": len(log),
        "final_loss": float(np.mean([entry["loss"] for entry in log[-10:]])),
    }
