r"""`pi_rlhf` by direct preference optimisation (arXiv 2305.18290) on what people preferred.

The loss of a pair is :math:`-\log \sigma(\beta (h(y_w) - h(y_l)))` with the log-ratio
:math:`h(y) = \log \frac{\pi(y|x)}{\pi_{ref}(y|x)}` (equation 7). TRL trains; the reference
policy is `pi_init` itself, a frozen copy of its adapter. Human pairs that do not fit were left out and
counted before (`rlhf.preferences.preference_pairs`), so TRL has nothing to cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.preferences import Pair, pair_tokens
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.drawn import draw, pairs, read_drawn
from rlhf.recipes.recipe import Job, TrainingResult
from rlhf.recipes.rollout import SamplingOptions
from rlhf.recipes.trl_offline import claim_rows, losses, offline_settings
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class DPOSpec:
    """How to optimise preferences."""

    beta: float = 0.1
    """Strength of the pull towards the reference policy."""
    learning_rate: float = 5e-5
    batch_size: int = 8
    """Pairs per optimiser step and device."""
    epochs: float = 1.0
    max_tokens: int = 192
    """Longest prompt with response; longer pairs are left out and counted, never cut."""
    seed: int = 0
    save_every: int = 25
    """Steps between checkpoints; an interrupted run goes on from the last one."""


@quiet_libraries()
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

    if not pairs:
        raise ValueError("no preference pairs")
    longest = max(pair_tokens(pair, tokenizer) for pair in pairs)
    if longest > spec.max_tokens:
        raise ValueError(f"a pair has {longest} tokens, more than max_tokens={spec.max_tokens}")
    work_dir = Path(work_dir)
    resume = claim_rows(work_dir, spec, pairs, "pairs", start)
    config = DPOConfig(
        **offline_settings(spec, work_dir),
        logging_steps=5,
    )
    trainer = DPOTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(list(pairs)),
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=resume)
    return losses(trainer)


@dataclass(frozen=True, kw_only=True)
class DPO:
    """The recipe: draw K responses to every prompt, learn from the best and the worst of each."""

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    spec: DPOSpec = field(default_factory=DPOSpec)
    score: str = "reward"
    """Which score decides: `reward` or the name of a monitor."""
    margin: float = 0.0
    """Least difference of score between the two responses of a pair."""
    drawn: str | None = None
    """Folder of responses that this very policy has drawn before (`rlhf.recipes.drawn.draw`)."""
    seed: int = 0
    """Of the draw."""

    def __call__(self, job: Job) -> TrainingResult:
        """Draw and train; see `rlhf.recipes.train_rlhf`."""
        folder = Path(self.drawn) if self.drawn else draw(job, self.sampling, seed=self.seed)
        drawn = read_drawn(folder, job.items, weights=digest_weights(job.model))
        rows = pairs(drawn, score=self.score, margin=self.margin)
        log = train_dpo(
            job.model, job.tokenizer, rows, self.spec, work_dir=job.work_dir / "dpo", start=job.start
        )
        rounds = [{"round": number, **entry} for number, entry in enumerate(log)]
        return TrainingResult(rounds=rounds, stopped=None, work_dir=job.work_dir)
