r"""Kahneman-Tversky optimisation (arXiv 2402.01306): from single votes, without pairs.

With :math:`r = \beta \log \frac{\pi(y|x)}{\pi_{ref}(y|x)}` and :math:`z = \beta\,\max(0, KL)`, the loss of an
approved response is :math:`\lambda_D (1 - \sigma(r - z))`, that of a rejected one
:math:`\lambda_U (1 - \sigma(z - r))` (equations 7 and 8). The KL is TRL's: the mean log-ratio over mismatched
prompts and responses of the same batch. TRL trains; the reference is a frozen copy of `pi_init`'s adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from activations.tokens import encode_conversation
from rlhf.recipes.drawn import Drawn, votes
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.recipe import Job
from rlhf.recipes.trl_kto import claim_rows, drop_reference, losses, offline_settings
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Vote = dict[str, Any]
"""`prompt` and `completion` as messages, and `label`: approved."""


@dataclass(frozen=True, kw_only=True)
class KTOSpec:
    """How to optimise votes."""

    beta: float = 0.1
    """Strength of the pull towards the reference policy."""
    approved_weight: float | None = None
    """Weight of approved responses; None: what makes both kinds weigh the same in all."""
    learning_rate: float = 5e-5
    batch_size: int = 8
    """Votes per optimiser step and device; at least 2, since the KL is measured between neighbours."""
    epochs: float = 1.0
    max_tokens: int = 192
    """Longest prompt with response; a longer one is refused, never cut."""
    seed: int = 0
    save_every: int = 25
    """Steps between checkpoints; an interrupted run goes on from the last one."""

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError(f"batch_size={self.batch_size}: the KL needs a neighbour, so at least 2 votes")


@quiet_libraries("datasets")
def train_kto(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    votes: Sequence[Vote],
    spec: KTOSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Optimise `model` (a PEFT model with `pi_init`'s trainable adapter) in place.

    Args:
        model: what trains; the adapter as it is now is the reference.
        tokenizer: its tokenizer.
        votes: rows with `prompt`, `completion` and `label` (`rlhf.recipes.drawn.votes`).
        spec: how.
        work_dir: receives checkpoints; a run that was interrupted goes on from the last.
        start: names the weights that `model` has now; checkpoints with another start are refused.

    Returns:
        TRL's log: loss, KL and rewards of approved and rejected responses per logging step.

    Raises:
        ValueError: votes of one kind only, one longer than `max_tokens`, or checkpoints of another recipe.
    """
    from datasets import Dataset
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    from organisms.response_trainer import train_under_bar

    approved = sum(vote["label"] for vote in votes)
    if not 0 < approved < len(votes):
        raise ValueError(f"{approved} of {len(votes)} votes approve: there is nothing to tell apart")
    longest = max(len(encode_conversation(v["prompt"] + v["completion"], tokenizer)) for v in votes)
    if longest > spec.max_tokens:
        raise ValueError(f"a response has {longest} tokens, more than max_tokens={spec.max_tokens}")
    work_dir = Path(work_dir)
    resume = claim_rows(work_dir, spec, votes, "votes", start)
    balance = (len(votes) - approved) / approved
    config = KTOConfig(
        **offline_settings(spec, work_dir),
        logging_steps=1,
        desirable_weight=balance if spec.approved_weight is None else spec.approved_weight,
    )
    shuffled = Dataset.from_list(list(votes)).shuffle(seed=spec.seed)  # TRL reads in order, for the KL
    trainer = KTOTrainer(model=model, args=config, train_dataset=shuffled, processing_class=tokenizer)
    train_under_bar(trainer, resume)
    drop_reference(model)
    return losses(trainer)


@dataclass(frozen=True, kw_only=True)
class KTO(OfflineRecipe):
    """The recipe: draw K responses to every prompt, let one individual vote on each, learn from the votes."""

    spec: KTOSpec = field(default_factory=KTOSpec)
    least_samples: ClassVar[int] = 1

    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Vote and train."""
        rows = votes(drawn, score=self.score, seed=self.seed)
        work_dir = job.work_dir / "kto"
        return [*train_kto(job.model, job.tokenizer, rows, self.spec, work_dir=work_dir, start=job.start)]
