r"""Ranking responses by their own likelihood (RRHF, arXiv 2304.05302): no reference model, no critic.

With :math:`p_i = \sum_t \log \pi(y_{i,t}|x, y_{i,<t}) / |y_i|^a` for each of K candidates (equation 1, a = 1)
and their rewards :math:`r_i`, the loss of a prompt is

.. math:: w \sum_{r_i < r_j} \max(0, p_i - p_j) - \log \pi(y_{best}|x)

(equations 2 to 4, w = 1): a candidate that scores less may not be likelier, and the best is learned by heart.
Candidates of equal reward are not ranked; of several best the first drawn is taken. The paper's equation sums
the likelihood of the best over its tokens; the released code, from which its numbers come, takes their mean
(over the padded length; here over the real one). `likelihood` says which.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf.recipes.drawn import Drawn, nothing_to_rank
from rlhf.recipes.grouped import GroupSpec, GroupTrainer, encode_group
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.recipe import Job
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["RRHF", "Candidates", "RRHFSpec", "candidates", "likelihood_loss", "ranking_loss", "train_rrhf"]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Different responses to one prompt, with their rewards.

    Raises:
        ValueError: fewer than two, or equal rewards throughout: there is nothing to rank.
    """

    prompt: Any
    """Messages, or literal text."""
    responses: tuple[str, ...]
    rewards: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.responses) != len(self.rewards) or len(self.responses) < 2:
            raise ValueError(
                f"{len(self.responses)} responses with {len(self.rewards)} rewards: ranking needs at least "
                "two of each"
            )
        if len(set(self.rewards)) < 2:
            raise ValueError(f"all rewards are {self.rewards[:1]}: there is nothing to rank")


@dataclass(frozen=True, kw_only=True)
class RRHFSpec(GroupSpec):
    """How to rank."""

    ranking_weight: float = 1.0
    """Weight of the hinge against the likelihood of the best."""
    length_power: float = 1.0
    """The exponent a of the length by which log-probabilities are divided."""
    likelihood: Literal["mean", "sum"] = "mean"
    """Over the tokens of the best candidate: the released code's mean, or the sum of the equation."""


def ranking_loss(
    log_probs: Sequence[Float[Tensor, " _token"]], rewards: Sequence[float], *, length_power: float = 1.0
) -> Float[Tensor, ""]:
    """Hinge over all pairs of candidates of unequal reward.

    Args:
        log_probs: of the tokens of each candidate.
        rewards: of each candidate.
        length_power: 1 compares means, 0 sums.

    >>> worse, better = torch.tensor([-1.0, -2.0]), torch.tensor([-3.0])
    >>> ranking_loss([worse, better], [0.0, 1.0])  # -1.5 - (-3)
    tensor(1.5000)
    """
    p = torch.stack([row.sum() / len(row) ** length_power for row in log_probs])
    r = torch.tensor(rewards, device=p.device, dtype=torch.float64)
    below = (r[:, None] < r[None, :]).to(p.dtype)  # row i scores less than column j
    return ((p[:, None] - p[None, :]).clamp(min=0) * below).sum()


def likelihood_loss(
    log_probs: Sequence[Float[Tensor, " _token"]], rewards: Sequence[float], *, reduce: str = "mean"
) -> Float[Tensor, ""]:
    """Negative log-likelihood of the best candidate, of several the first.

    >>> likelihood_loss([torch.tensor([-1.0, -2.0]), torch.tensor([-3.0])], [1.0, 0.0], reduce="sum")
    tensor(3.)
    """
    best = log_probs[max(range(len(rewards)), key=lambda i: rewards[i])]
    return -(best.sum() if reduce == "sum" else best.mean())


def candidates(drawn: Sequence[Drawn], *, score: str = "reward") -> list[Candidates]:
    """The prompts whose different responses do not all score alike.

    >>> two = Drawn(item={"id": "a", "prompt": "?"}, responses=("no", "yes"), scores={"reward": (0.0, 1.0)})
    >>> candidates([two, two])[1].responses
    ('no', 'yes')
    """
    found = []
    for one in drawn:
        known = one.known(score)
        if len({value for _, value in known}) > 1:
            responses, rewards = zip(*known, strict=True)
            found.append(Candidates(prompt=one.item["prompt"], responses=responses, rewards=rewards))
    return found


@quiet_libraries()
def train_rrhf(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    groups: Sequence[Candidates],
    spec: RRHFSpec,
    *,
    work_dir: str | Path,
    start: str = "",
    progress: bool = False,
) -> list[dict[str, float]]:
    """Train `model` in place to rank candidates; a run that was interrupted goes on from `work_dir`.

    Args:
        model: a causal LM with a trainable float32 adapter over any base, or trainable float32 weights.
        tokenizer: its tokenizer.
        groups: prompts with their candidates.
        spec: how.
        work_dir: receives checkpoints and `rounds.jsonl`.
        start: names the weights that `model` has now.
        progress: show a live line.

    Returns:
        One entry per step: `loss`, `ranking`, `likelihood`, `ranked` (share of pairs in the right order).

    Raises:
        ValueError: no groups, a response longer than `spec.max_tokens`, or checkpoints of another run.
    """
    packs = [encode_group(g.prompt, g.responses, tokenizer, max_tokens=spec.max_tokens) for g in groups]
    trainer = GroupTrainer(
        model,
        packs,
        spec,
        work_dir=work_dir,
        examples=json.dumps([group.rewards for group in groups]),
        start=start,
        progress=progress,
    )

    def loss(number: int, log_probs: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        rewards = groups[number].rewards
        ranking = ranking_loss(log_probs, rewards, length_power=spec.length_power)
        best = likelihood_loss(log_probs, rewards, reduce=spec.likelihood)
        facts = {
            "ranking": float(ranking.detach()),
            "likelihood": float(best.detach()),
            "ranked": _ranked([float(row.detach().mean()) for row in log_probs], rewards),
        }
        return spec.ranking_weight * ranking + best, facts

    return trainer.train(loss)


def _ranked(p: Sequence[float], rewards: Sequence[float]) -> float:
    """Share of the pairs of unequal reward in which the better response is the likelier per token."""
    pairs = [(i, j) for i in range(len(p)) for j in range(len(p)) if rewards[i] < rewards[j]]
    return sum(p[i] < p[j] for i, j in pairs) / len(pairs)


@dataclass(frozen=True, kw_only=True)
class RRHF(OfflineRecipe):
    """The recipe: draw K responses to every prompt and learn to rank them as their scores do."""

    spec: RRHFSpec = field(default_factory=RRHFSpec)

    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Rank and train.

        Raises:
            ValueError: nowhere do two responses to a prompt differ in score.
        """
        groups = candidates(drawn, score=self.score)
        if not groups:
            raise ValueError(nothing_to_rank(self.score, drawn))
        work_dir = job.work_dir / "rrhf"
        return [
            *train_rrhf(
                job.model,
                job.tokenizer,
                groups,
                self.spec,
                work_dir=work_dir,
                start=job.start,
                progress=job.progress,
            )
        ]
