r"""`pi_rlhf` by direct preference optimisation (arXiv 2305.18290) on what people preferred.

The loss of a pair is :math:`-\log \sigma(\beta (h(y_w) - h(y_l)))` with the log-ratio
:math:`h(y) = \log \frac{\pi(y|x)}{\pi_{ref}(y|x)}` (equation 7). TRL trains; the reference
policy is `pi_init` itself, a frozen copy of its adapter. The loss sees differences alone, so chosen responses
may grow less likely as long as rejected ones do so faster; `likelihood` adds the chosen responses' mean
negative log-likelihood per token, which holds them (Pang et al. 2024, arXiv 2404.19733). Human pairs that do
not fit were left out and counted before (`rlhf.preferences.preference_pairs`), so TRL has nothing to cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.preferences import Pair, pair_tokens
from rlhf.recipes.drawn import Drawn, nothing_to_rank, pairs
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.recipe import Job
from rlhf.recipes.trl_offline import claim_rows, drop_reference, losses, offline_settings
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class DPOSpec:
    """How to optimise preferences."""

    beta: float = 0.1
    """Strength of the pull towards the reference policy."""
    likelihood: float = 0.0
    """Weight of the chosen responses' negative log-likelihood beside the loss of pairs; 0 is plain DPO."""
    learning_rate: float = 5e-5
    batch_size: int = 8
    """Pairs per optimiser step and device."""
    epochs: float = 1.0
    max_tokens: int = 192
    """Longest prompt with response; longer pairs are left out and counted, never cut."""
    seed: int = 0
    save_every: int = 25
    """Steps between checkpoints; an interrupted run goes on from the last one."""

    def __post_init__(self) -> None:
        if self.likelihood < 0:
            raise ValueError(
                f"likelihood={self.likelihood} would teach the chosen responses away; 0 is plain DPO"
            )


@quiet_libraries("datasets")
def train_dpo(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    spec: DPOSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Optimise `model` (a PEFT model with `pi_init`'s trainable adapter) in place.

    Args:
        pairs: conversational rows with `prompt`, `chosen` and `rejected`.
        work_dir: receives checkpoints; a run that was interrupted goes on from the last.
        start: names the weights that `model` has now; checkpoints with another start are refused.

    Returns:
        TRL's log: loss, reward margin and reward accuracy per logging step.

    Raises:
        ValueError: no pairs, one longer than `max_tokens`, or checkpoints of another recipe in
            `work_dir`.
    """
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    from organisms.response_trainer import train_under_bar

    if not pairs:
        raise ValueError("no preference pairs")
    longest = max(pair_tokens(pair, tokenizer) for pair in pairs)
    if longest > spec.max_tokens:
        raise ValueError(f"a pair has {longest} tokens, more than max_tokens={spec.max_tokens}")
    work_dir = Path(work_dir)
    resume = claim_rows(work_dir, spec, pairs, "pairs", start)
    steps = max(1, round(spec.epochs * -(-len(pairs) // spec.batch_size)))
    both = (
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, spec.likelihood]} if spec.likelihood else {}
    )
    config = DPOConfig(**offline_settings(spec, work_dir), logging_steps=min(5, steps), **both)
    trainer = DPOTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(list(pairs)),
        processing_class=tokenizer,
    )
    train_under_bar(trainer, resume)
    drop_reference(model)
    return losses(trainer)


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
        return [*train_dpo(job.model, job.tokenizer, rows, self.spec, work_dir=work_dir, start=job.start)]
