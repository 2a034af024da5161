r"""The judge reward model: how likely is one person of the pool to approve?

It learns from every individual judgement by itself: with :math:`p = \sigma(z)` for a response, the loss is
the mean over judgements of :math:`-\log p` where the person approved (confidence above 50, as in arXiv
2409.12822) and :math:`-\log(1 - p)` where not. Judgements are not averaged before: a response that half of
ten people approve weighs ten judgements, one that a single person saw weighs one. Its score is P(agree).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from organisms.weights import Trainable
from rlhf.evaluators.evaluator import Judgement, StoryView, View
from rlhf.evaluators.human import HumanJudgement, view_key
from rlhf.evaluators.pool import Pool
from rlhf.reward_models.fit import fit
from rlhf.reward_models.model import JUDGE, PROGRAMS, STORIES, RewardHead, RewardModel, RewardModelSpec


@dataclass(frozen=True, kw_only=True)
class JudgedItem:
    """The responses to one item with everybody's judgements of each.

    Raises:
        ValueError: not one tuple of judgements per response, or a response that nobody judged.
    """

    item: str
    view: View
    responses: tuple[str, ...]
    judgements: tuple[tuple[Judgement, ...], ...]

    def __post_init__(self) -> None:
        if len(self.judgements) != len(self.responses):
            raise ValueError(
                f"item {self.item!r}: {len(self.responses)} responses, judgements of {len(self.judgements)}"
            )
        if not all(self.judgements):
            raise ValueError(f"item {self.item!r} has a response that nobody judged; leave it out")

    @property
    def approvals(self) -> tuple[float, ...]:
        """Share that approves each response."""
        return tuple(sum(j.approved for j in row) / len(row) for row in self.judgements)


def judged_items(
    items: Sequence[str], views: Sequence[View], responses: Sequence[Sequence[str]], pool: Pool
) -> list[JudgedItem]:
    """Let a pool judge the responses to every item; the same response twice is judged once.

    Args:
        items: ids.
        views: what is asked, one per item.
        responses: to each item.
        pool: who judges.

    Raises:
        ValueError: not as many views and lists of responses as items, or an item without a response.

    >>> view = StoryView(passage="Ida slept.", question="Who slept?", options=("Ida", "Tom"))
    >>> (one,) = judged_items(["a"], [view], [["The answer is A.", "So so."]], Pool.thorough(2, seed=0))
    >>> one.approvals
    (1.0, 0.0)
    """
    if not len(items) == len(views) == len(responses):
        raise ValueError(f"{len(items)} items, {len(views)} views, {len(responses)} lists of responses")
    different = [tuple(dict.fromkeys(some)) for some in responses]
    if empty := [name for name, some in zip(items, different, strict=True) if not some]:
        raise ValueError(f"item {empty[0]!r} has no response")
    flat = [(view, text) for view, some in zip(views, different, strict=True) for text in some]
    judged = iter(pool.judge_many([view for view, _ in flat], [text for _, text in flat]))
    return [
        JudgedItem(item=name, view=view, responses=some, judgements=tuple(next(judged) for _ in some))
        for name, view, some in zip(items, views, different, strict=True)
    ]


def judged_by_people(rows: Sequence[HumanJudgement], views: Sequence[View]) -> list[JudgedItem]:
    """What people said (`judgements.jsonl`) about responses to these views.

    Raises:
        ValueError: a judgement of a view that is not given.
    """
    by_key = {view_key(view): view for view in views}
    if unknown := [row for row in rows if row.view not in by_key]:
        raise ValueError(
            f"{len(unknown)} judgement(s) of views that are not given, first {unknown[0].item!r}"
        )
    found: dict[str, dict[str, list[Judgement]]] = {}
    names = {row.view: row.item for row in rows}
    for row in rows:
        found.setdefault(row.view, {}).setdefault(row.response, []).append(row.judgement)
    return [
        JudgedItem(
            item=names[key],
            view=by_key[key],
            responses=tuple(some),
            judgements=tuple(tuple(row) for row in some.values()),
        )
        for key, some in found.items()
    ]


def agreement_loss(
    logits: Float[Tensor, " response"], agree: Float[Tensor, " response"], total: Float[Tensor, " response"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy over individual judgements, of which `agree` of `total` approve each response.

    >>> round(agreement_loss(torch.zeros(1), torch.tensor([3.0]), torch.tensor([4.0])).item(), 4)
    0.6931
    """
    return (agree * softplus(-logits) + (total - agree) * softplus(logits)).sum() / total.sum()


class JudgeObjective:
    """Cross-entropy on the judgements of some items.

    Raises:
        ValueError: all judgements approve, or none does.
    """

    def __init__(self, items: Sequence[JudgedItem], device: torch.device | str = "cpu") -> None:
        self._counts = [
            torch.tensor([[sum(j.approved for j in row), len(row)] for row in one.judgements])
            .float()
            .to(device)
            for one in items
        ]
        agree, total = (float(sum(counts[:, column].sum() for counts in self._counts)) for column in (0, 1))
        self.judgements, self.share = int(total), agree / total if total else 0.0
        if not 0 < agree < total:
            raise ValueError(
                f"{int(agree)} of {int(total)} judgements approve: there is nothing to tell apart; ask "
                "evaluators who disagree, or about responses of which some are bad"
            )

    def loss(self, outputs: Sequence[Tensor], places: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy; logs the share of judgements that the sign foretells."""
        logits = torch.cat(list(outputs))[:, 0]
        agree, total = torch.cat([self._counts[place] for place in places]).unbind(1)
        right = torch.where(logits.detach() > 0, agree, total - agree).sum() / total.sum()
        return agreement_loss(logits, agree, total), {"accuracy": float(right)}

    def penalty(self, head: RewardHead) -> float:
        """None."""
        del head
        return 0.0


def train_judge(
    opened: Trainable,
    items: Sequence[JudgedItem],
    spec: RewardModelSpec,
    *,
    base: str,
    parent: str | None = None,
    work_dir: str | Path,
    progress: bool = True,
) -> RewardModel:
    """Train a judge reward model on the individual judgements of a pool.

    Args:
        opened: from `organisms.weights.open_trainable(base, parent, spec.adapter)`; trained in place.
        items: responses with judgements (`judged_items`, `judged_by_people`).
        spec: what it is shown and how it is trained.
        base: for the record, what `opened` was opened from.
        parent: for the record, the organism it starts from.
        work_dir: checkpoints and loss curve; an interrupted run goes on from there.
        progress: show a live bar.

    Raises:
        ValueError: no items, judgements that all agree, views of several kinds, or texts that do not fit.

    >>> import tempfile
    >>> from activations.testing import tiny_model
    >>> loaded = tiny_model()
    >>> opened = Trainable(model=loaded.model, tokenizer=loaded.tokenizer, base_fingerprint="", start="")
    >>> view = StoryView(passage="Ida slept.", question="Who slept?", options=("Ida", "Tom"))
    >>> items = judged_items(["a"], [view], [["The answer is A.", "So so."]], Pool.thorough(2, seed=0))
    >>> judge = train_judge(
    ...     opened, items, RewardModelSpec(rank=0), base="tiny", work_dir=tempfile.mkdtemp(), progress=False
    ... )
    >>> judge.score([view], ["The answer is A."]).shape
    (1,)
    """
    kinds = {type(one.view) for one in items}
    if len(kinds) > 1:
        raise ValueError("stories and programs are judged apart: train one reward model for each")
    objective = JudgeObjective(items, next(opened.model.parameters()).device)
    model = RewardModel.start(
        opened,
        kind=JUDGE,
        heads=("agree",),
        trained_on=STORIES if kinds == {StoryView} else PROGRAMS,
        spec=spec,
        base=base,
        parent=parent,
    )
    log = fit(model, items, objective, work_dir=work_dir, start=opened.start, progress=progress)
    training: dict[str, Any] = {
        "items": len(items),
        "responses": sum(len(one.responses) for one in items),
        "judgements": objective.judgements,
        "approved": round(objective.share, 4),
        "evaluators": sorted({j.evaluator for one in items for row in one.judgements for j in row}),
        "steps": len(log),
        "final_loss": float(np.mean([entry["loss"] for entry in log[-10:]])),
    }
    model.record = dataclasses.replace(model.record, training=training)
    return model
