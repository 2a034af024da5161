"""The mathematics of policy optimisation as pure functions: nothing here knows a model.

Rows are responses, padded on the right; `mask` is 1.0 at real tokens (up to and including the first end of
turn) and 0.0 after. A *macro action* is a run of tokens that is valued as one step (arXiv 2410.02743); with
runs of one token everything below is ordinary token-level PPO (arXiv 1707.06347).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "KLController",
    "RunningScale",
    "add_at_last_token",
    "clipped_surrogate",
    "clipped_value_loss",
    "estimate_advantages",
    "group_advantages",
    "kl_k1",
    "kl_k3",
    "macro_actions",
    "macro_sums",
    "whiten",
]

MacroRule = Callable[[Any], Sequence[int]]
"""From one response to the macro action of each of its tokens (0, 0, 1, ...); see `rlhf.recipes.macros`."""


def kl_k1(log_prob: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Per-token estimate `log p - log q` of KL(p, q) in nats: unbiased, of either sign."""
    return log_prob - reference


def kl_k3(log_prob: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Per-token estimate `exp(-x) - 1 + x` with `x = log p - log q`: unbiased and never negative.

    >>> round(float(kl_k3(torch.tensor(math.log(2)), torch.tensor(0.0))), 4)
    0.1931
    """
    x = log_prob - reference
    return torch.exp(-x) - 1 + x


def macro_actions(
    mask: Float[Tensor, "row token"],
    rule: int | MacroRule = 1,
    responses: Sequence[Any] | None = None,
) -> Int[Tensor, "row token"]:
    """The macro action each token belongs to, counted from 0 in every row; padding joins the last one.

    Args:
        mask: 1.0 at real tokens.
        rule: tokens per macro action, or a function of a response (then `responses` are needed).
        responses: what the rule is given for each row.

    Raises:
        ValueError: fewer than one token per action, or a rule whose numbers do not rise by 0 or 1 from 0.

    >>> macro_actions(torch.tensor([[1.0, 1, 1, 1, 1]]), 2)
    tensor([[0, 0, 1, 1, 2]])
    """
    rows, width = mask.shape
    if isinstance(rule, int):
        if rule < 1:
            raise ValueError(f"a macro action needs at least one token, got {rule}")
        numbers = (torch.arange(width, device=mask.device) // rule).expand(rows, width)
        last = (mask.sum(1).long() - 1).clamp(min=0) // rule
        return torch.minimum(numbers, last[:, None])
    if responses is None:
        raise ValueError("a rule for macro actions needs the responses")
    numbers = torch.zeros(rows, width, dtype=torch.long)
    for row, (response, tokens) in enumerate(zip(responses, mask.sum(1).tolist(), strict=True)):
        found = list(rule(response))
        steps = [b - a for a, b in zip([0, *found], found, strict=False)]
        if len(found) != tokens or set(steps) - {0, 1} or (found and found[0] != 0):
            raise ValueError(
                f"the macro rule gave {found} for {tokens:g} tokens: it must give one number per token, "
                "starting at 0 and rising by 0 or 1"
            )
        numbers[row, : len(found)] = torch.tensor(found, dtype=torch.long)
        numbers[row, len(found) :] = found[-1] if found else 0
    return numbers.to(mask.device)


def macro_sums(
    values: Float[Tensor, "row token"], mask: Float[Tensor, "row token"], macros: Int[Tensor, "row token"]
) -> Float[Tensor, "row macro"]:
    """Sum of `values` over the real tokens of each macro action."""
    count = int(macros.max()) + 1 if macros.numel() else 0
    sums = torch.zeros(len(values), count, dtype=values.dtype, device=values.device)
    return sums.scatter_add(1, macros, values * mask)


def estimate_advantages(
    rewards: Float[Tensor, "row token"],
    values: Float[Tensor, "row token"],
    mask: Float[Tensor, "row token"],
    macros: Int[Tensor, "row token"],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> tuple[Float[Tensor, "row macro"], Float[Tensor, "row macro"], Float[Tensor, "row macro"]]:
    """Generalised advantages (arXiv 1506.02438) over macro actions: advantages, returns, and their mask.

    The reward of a macro action is the sum of its tokens' rewards, its value the mean of their values.

    >>> one = torch.ones(1, 3)
    >>> A, returns, _ = estimate_advantages(
    ...     torch.tensor([[0.0, 0, 1]]), 0.5 * one, one, macro_actions(one)
    ... )
    >>> [round(a, 5) for a in A[0].tolist()], [round(r, 5) for r in returns[0].tolist()]
    ([0.45125, 0.475, 0.5], [0.95125, 0.975, 1.0])
    """
    R = macro_sums(rewards, mask, macros)
    tokens = macro_sums(torch.ones_like(values), mask, macros)
    V = macro_sums(values, mask, macros) / tokens.clamp(min=1)
    real = (tokens > 0).to(R.dtype)
    A = torch.zeros_like(R)
    ahead, value_ahead = torch.zeros_like(R[:, 0]), torch.zeros_like(R[:, 0])
    for j in reversed(range(R.shape[1])):
        delta = R[:, j] + gamma * value_ahead - V[:, j]
        ahead = (delta + gamma * lam * ahead) * real[:, j]
        value_ahead = V[:, j] * real[:, j]
        A[:, j] = ahead
    return A, (A + V) * real, real


def group_advantages(
    totals: Float[Tensor, "row"],
    groups: Int[Tensor, "row"],
    *,
    scale: Literal["none", "group"] = "none",
) -> Float[Tensor, "row"]:
    """Each row's total reward minus the mean of the *other* rows of its group (leave one out, RLOO).

    With `scale="none"` that is `K / (K - 1)` times the advantage of Dr. GRPO (arXiv 2503.20783);
    `"group"` divides by the group's standard deviation as GRPO does, which favours questions whose
    answers hardly differ. A group of one row gets 0. Rows whose total is NaN do not count and get 0.

    >>> group_advantages(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0, 0, 1]))
    tensor([ 1., -1.,  0.])
    """
    valid = ~totals.isnan()
    filled = torch.where(valid, totals, torch.zeros_like(totals))
    _, index = torch.unique(groups, return_inverse=True)
    size = int(index.max()) + 1 if len(index) else 0

    def summed(values: Tensor) -> Tensor:
        return torch.zeros(size, dtype=totals.dtype, device=totals.device).index_add(0, index, values)[index]

    n, total = summed(valid.to(totals.dtype)), summed(filled)
    others = (total - filled) / (n - 1).clamp(min=1)
    A = torch.where(valid & (n > 1), filled - others, torch.zeros_like(totals))
    if scale == "group":
        spread = summed(torch.where(valid, (filled - total / n.clamp(min=1)) ** 2, torch.zeros_like(filled)))
        A = A / ((spread / (n - 1).clamp(min=1)).sqrt() + 1e-4)
    return A


def whiten(
    values: Float[Tensor, "*shape"], mask: Float[Tensor, "*shape"], moments: Float[Tensor, "3"] | None = None
) -> Float[Tensor, "*shape"]:
    """`(x - mean) / sqrt(var + 1e-8)` over real entries (population variance); 0 elsewhere.

    Args:
        values: any shape.
        mask: 1.0 at real entries.
        moments: count, sum and sum of squares over all processes; by default those of `values`.
    """
    count, total, squares = masked_moments(values, mask) if moments is None else moments
    mean = total / count.clamp(min=1)
    variance = (squares / count.clamp(min=1) - mean**2).clamp(min=0)
    return ((values.double() - mean) / (variance + 1e-8).sqrt() * mask).to(values.dtype)


def masked_moments(values: Float[Tensor, "*shape"], mask: Float[Tensor, "*shape"]) -> Float[Tensor, "3"]:
    """Count, sum and sum of squares over real entries, in float64: they add up over processes."""
    kept, weight = (values * mask).double(), mask.double()
    return torch.stack([weight.sum(), kept.sum(), (kept**2).sum()])


def add_at_last_token(
    rewards: Float[Tensor, "row token"], scores: Float[Tensor, "row"], mask: Float[Tensor, "row token"]
) -> Float[Tensor, "row token"]:
    """Add each row's score to the reward of its last real token."""
    last = (mask.sum(1).long() - 1).clamp(min=0)
    return rewards.scatter_add(1, last[:, None], scores[:, None] * (mask.sum(1, keepdim=True) > 0))


def clipped_surrogate(
    log_prob: Float[Tensor, "token"],
    old: Float[Tensor, "token"],
    advantage: Float[Tensor, "token"],
    *,
    clip: float,
) -> Float[Tensor, "token"]:
    """PPO's policy loss per token, `max(-A rho, -A clip(rho, 1 - eps, 1 + eps))`."""
    ratio = torch.exp(log_prob - old)
    return torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip))


def clipped_value_loss(
    value: Float[Tensor, "token"],
    old: Float[Tensor, "token"],
    returns: Float[Tensor, "token"],
    *,
    clip: float,
) -> Float[Tensor, "token"]:
    """PPO's value loss per token, half the larger of the plain and the clipped squared error."""
    clipped = old + (value - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((value - returns) ** 2, (clipped - returns) ** 2)


@dataclass(kw_only=True)
class RunningScale:
    """Clip scores, *then* let them enter a running standard deviation, *then* divide by it (trlx's order).

    The mean is not subtracted. Fewer than two scores, or a standard deviation under 1e-6, divide by 1: a
    first batch of equal scores would otherwise be blown up to 1e12.

    >>> scale = RunningScale(clip=10.0)
    >>> [round(s, 5) for s in scale([0.0, 10.0])]
    [0.0, 1.41421]
    >>> scale([10.0, 10.0]), scale.mean, scale.std
    ([2.0, 2.0], 7.5, 5.0)
    """

    clip: float
    """Scores are clipped to plus or minus this."""
    enabled: bool = True
    """Whether to divide; clipping happens anyway."""
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations from the mean."""

    @property
    def std(self) -> float:
        """Unbiased standard deviation of all scores so far; 1 while it is not known."""
        if self.count < 2:
            return 1.0
        std = math.sqrt(self.squares / (self.count - 1))
        return std if std >= 1e-6 else 1.0

    def __call__(self, scores: Sequence[float]) -> list[float]:
        """Take in the scores of a round, of all processes together, and give them scaled."""
        clipped = [min(max(score, -self.clip), self.clip) for score in scores]
        for score in clipped:  # Welford
            self.count += 1
            delta = score - self.mean
            self.mean += delta / self.count
            self.squares += delta * (score - self.mean)
        return [score / self.std for score in clipped] if self.enabled else clipped


@dataclass(kw_only=True)
class KLController:
    """The coefficient of the KL penalty: fixed, or steered towards a target (arXiv 1909.08593).

    >>> control = KLController(coefficient=0.01, target=4.0, horizon=10_000)
    >>> control.update(8.0, sequences=512)
    >>> round(control.coefficient, 7)
    0.0101024
    """

    coefficient: float
    target: float | None = None
    """Nats per response; None keeps the coefficient."""
    horizon: float = 10_000

    def update(self, kl: float, *, sequences: int) -> None:
        """Once per round, with the mean KL per response and the number of responses of all processes."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * sequences / self.horizon
