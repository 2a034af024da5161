r"""`pi_rlhf` by direct preference optimisation (arXiv 2305.18290) on what people preferred.

The loss of a pair is :math:`-\log \sigma(\beta (h(y_w) - h(y_l)))` with the log-ratio
:math:`h(y) = \log \frac{\pi(y|x)}{\pi_{ref}(y|x)}` (equation 7); the reference policy is `pi_init` itself,
whose log-probabilities are computed once, before training. The loss sees differences alone, so chosen
responses may grow less likely as long as rejected ones do so faster; `likelihood` adds the chosen response's
mean negative log-likelihood per token, which holds it (Pang et al. 2024, arXiv 2404.19733).

The prompt of a pair is computed once for both responses, and logits for their tokens alone: a CPU needs a
quarter of the time and less than half of the memory of TRL's trainer (`benchmarks/dpo_step.py`), with whose
loss and gradients the tests compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rlhf.preferences import Pair
from rlhf.recipes.ddpo import preference_loss
from rlhf.recipes.drawn import Drawn, nothing_to_rank, pairs
from rlhf.recipes.grouped import GroupSpec, GroupTrainer, pack_pairs
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.recipe import Job
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class DPOSpec(GroupSpec):
    """How to optimise preferences; `batch_size` counts pairs."""

    beta: float = 0.1
    """Strength of the pull towards the reference policy."""
    likelihood: float = 0.0
    """Weight of the chosen responses' negative log-likelihood beside the loss of pairs; 0 is plain DPO."""
    max_tokens: int = 192
    """Longest prompt with response; a longer one is refused, never cut (`preference_pairs` leaves longer
    human pairs out, and counts them)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"beta must be positive, got {self.beta}")
        if self.likelihood < 0:
            raise ValueError(
                f"likelihood={self.likelihood} would teach the chosen responses away; 0 is plain DPO"
            )


@quiet_libraries()
def train_dpo(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    spec: DPOSpec,
    *,
    work_dir: str | Path,
    start: str = "",
    progress: bool = False,
) -> list[dict[str, float]]:
    """Optimise `model` in place; a run that was interrupted goes on from `work_dir`.

    Args:
        model: a causal LM with a trainable float32 adapter over any base, or trainable float32 weights. As it
            is now it is the reference.
        tokenizer: its tokenizer.
        pairs: conversational rows with `prompt`, `chosen` and `rejected`, one message each.
        spec: how.
        work_dir: receives checkpoints and `rounds.jsonl`.
        start: names the weights that `model` has now; checkpoints with another start are refused.
        progress: show a live line.

    Returns:
        One entry per step: `loss`, `margin` (of beta times the log-ratios), `preferred` (share of positive
        ones).

    Raises:
        ValueError: no pairs, one with a side that is not one message or is longer than `max_tokens`, or
            checkpoints of another run in `work_dir`.
    """
    if not pairs:
        raise ValueError("no preference pairs")
    packs = pack_pairs(pairs, tokenizer, max_tokens=spec.max_tokens)
    trainer = GroupTrainer(model, packs, spec, work_dir=work_dir, start=start, progress=progress)
    before = [[row.sum() for row in both] for both in trainer.log_probs()]

    def loss(number: int, log_probs: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        chosen, rejected = (now.sum() - then for now, then in zip(log_probs, before[number], strict=True))
        margin = float(spec.beta * (chosen - rejected).detach())
        of_pair = preference_loss(chosen, rejected, beta=spec.beta)
        facts = {"margin": margin, "preferred": float(margin > 0)}
        return of_pair - spec.likelihood * log_probs[0].mean(), facts

    return trainer.train(loss)


@dataclass(frozen=True, kw_only=True)
class DPO(OfflineRecipe):
    """The recipe: draw K responses to every prompt, learn from the best and the worst of each."""

    spec: DPOSpec = field(default_factory=DPOSpec)
    margin: float = 0.0
    """Least difference of score between the two responses of a pair."""

    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Make pairs and train.

        Raises:
            ValueError: nowhere do two responses to a prompt differ in score.
        """
        rows = pairs(drawn, score=self.score, margin=self.margin)
        if not rows:
            raise ValueError(nothing_to_rank(self.score, drawn))
        work_dir = job.work_dir / "dpo"
        how = {"work_dir": work_dir, "start": job.start, "progress": job.progress}
        return [*train_dpo(job.model, job.tokenizer, rows, self.spec, **how)]
