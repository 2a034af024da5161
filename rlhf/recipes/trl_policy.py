"""What TRL's online trainers need to stand behind `train_rlhf`: rewards, logs, early stop, resume."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainerCallback

from activations.dtype import resolve_autocast
from organisms.checkpoints import claim
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.monitor import RoundLog, letter_balance, live_view
from rlhf.recipes.recipe import (
    Job,
    TrainingResult,
    columns_seen,
    encode_prompts,
    give_score,
    refuse_token_rewards,
    term_name,
)
from rlhf.recipes.rollout import SamplingOptions
from tasks.qa import parse_answer

logger = logging.getLogger(__name__)

_NAMES = {
    "kl": "kl_per_token",
    "entropy": "entropy",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "clipped",
    "grad_norm": "gradient_norm",
    "reward_std": "reward/std",
}


@dataclass(frozen=True, kw_only=True)
class OnlineTRL:
    """What TRL's online recipes share. Resume follows TRL, which is close but not to the bit."""

    rounds: int = 100
    prompts: int = 32
    """Prompts per round."""
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    kl_coefficient: float = 0.03
    """Weight of the KL penalty; the recipe says of which estimate, and where it enters."""
    clip: float = 0.2
    """Of the importance ratio."""
    drop_clipped: bool = False
    """Leave responses that reach the limit out of the loss."""
    inner_epochs: int = 1
    minibatches: int = 2
    """Optimiser steps per inner epoch."""
    rows: int = 16
    """Responses per forward and backward pass."""
    learning_rate: float = 2e-4
    warmup: int = 5
    seed: int = 0
    save_every: int = 10
    """Rounds between checkpoints."""

    def __post_init__(self) -> None:
        if self.sampling.samples < 2:
            raise ValueError(
                f"{type(self).__name__} compares the samples of a prompt, so it needs at least 2; "
                f"sampling.samples is {self.sampling.samples}"
            )

    @property
    def steps_per_round(self) -> int:
        """Optimiser steps."""
        return self.minibatches * self.inner_epochs

    def arguments(self, job: Job) -> dict[str, Any]:
        """Arguments of any of TRL's configurations: one generation of `prompts * samples` per round.

        Raises:
            ValueError: numbers that cannot be cut as asked.
        """
        import torch

        responses = self.prompts * self.sampling.samples
        if responses % (self.rows * self.minibatches):
            raise ValueError(
                f"{self.prompts} prompts x {self.sampling.samples} samples cannot be cut into "
                f"{self.minibatches} minibatches of passes of {self.rows} rows: choose numbers that divide "
                f"{responses}"
            )
        return {
            "output_dir": str(job.work_dir),
            "beta": self.kl_coefficient,
            "epsilon": self.clip,
            "mask_truncated_completions": self.drop_clipped,
            "learning_rate": self.learning_rate,
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": self.warmup,
            "seed": self.seed,
            "data_seed": self.seed,
            "per_device_train_batch_size": self.rows,
            "gradient_accumulation_steps": responses // (self.rows * self.minibatches),
            "steps_per_generation": responses // self.rows,
            "num_generations": self.sampling.samples,
            "num_iterations": self.inner_epochs,
            "max_completion_length": self.sampling.max_new_tokens,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_steps": self.rounds * self.steps_per_round,
            "logging_steps": self.steps_per_round,
            "save_steps": self.save_every * self.steps_per_round,
            "use_cpu": not torch.cuda.is_available(),
            "bf16": resolve_autocast("auto"),
            "gradient_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            "save_strategy": "steps",
            "remove_unused_columns": False,
        }


def run_trl(recipe: OnlineTRL, job: Job, make: Callable[..., Any]) -> TrainingResult:
    """Train with a TRL trainer; `make` builds it from keyword arguments."""
    from datasets import Dataset

    refuse_token_rewards(job, type(recipe).__name__)
    encode_prompts(job, room=recipe.sampling.max_new_tokens)  # TRL neither cuts nor checks prompts
    start = f"{job.start} {digest_weights(job.model)}".strip()
    resume = claim(job.work_dir, settings=job.settings(recipe), examples=job.digest(), start=start)
    columns = {c for reward in (job.reward, *job.monitors.values()) for c in columns_seen(reward)}
    rows = [{name: item[name] for name in ("id", "prompt", *sorted(columns - {"id"}))} for item in job.items]
    scorer = _Scorer(job)
    done = max((int(p.name.split("-")[1]) for p in job.work_dir.glob("checkpoint-*")), default=0)
    log = RoundLog(job.work_dir, done=done // recipe.steps_per_round, write=True)
    with live_view(recipe.rounds, len(log.entries), show=job.progress) as update:
        watcher = _Watcher(job, log, scorer, update)
        trainer = make(
            model=job.model,
            reward_funcs=scorer,
            train_dataset=Dataset.from_list(rows),
            processing_class=job.tokenizer,
            callbacks=[watcher],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=resume)
    return TrainingResult(rounds=log.entries, stopped=watcher.stopped, work_dir=job.work_dir)


class _Scorer:
    """The job's reward as TRL calls it; scores monitors and reads letters on the way."""

    __name__ = "reward"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seen: dict[str, list[float]] = {}
        self.letters: list[str | None] = []

    def __call__(
        self, prompts: list[Any], completions: list[Any], completion_ids: Any = None, **columns: Any
    ) -> list[float | None]:
        values = {name: column for name, column in columns.items() if isinstance(column, list)}
        items = [
            {"prompt": prompt, **{name: column[i] for name, column in values.items()}}
            for i, prompt in enumerate(prompts)
        ]
        texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
        self.letters += [parse_answer(text) for text in texts]
        found = {}
        for name, reward in {"reward": self.job.reward, **self.job.monitors}.items():
            note = self._note if name == "reward" else None
            found[name] = give_score(reward, items, texts, completion_ids, name=name, log_metric=note)
            self.seen.setdefault(name, []).extend(score for score in found[name] if score is not None)
        return found["reward"]

    def _note(self, metric: str, value: float) -> None:
        self.seen.setdefault(term_name(metric), []).append(float(value))

    def collect(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: float(np.mean(values)) for name, values in self.seen.items() if values}
        entry = {**means, **letter_balance(self.letters)}
        self.seen, self.letters = {}, []
        return entry


class _Watcher(TrainerCallback):
    """Turns TRL's logs into round entries and ends a collapsed run."""

    def __init__(
        self, job: Job, log: RoundLog, scorer: _Scorer, update: Callable[[dict[str, Any]], None]
    ) -> None:
        self.job, self.log, self.scorer, self.update = job, log, scorer, update
        self.stopped: str | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        number = len(self.log.entries)
        entry: dict[str, Any] = {"round": number, **self.scorer.collect()}
        entry |= {ours: float(logs[theirs]) for theirs, ours in _NAMES.items() if theirs in logs}
        if self.job.evaluate and (number + 1) % self.job.evaluate_every == 0:
            heldout = self.job.evaluate(kwargs["model"])
            entry |= {f"heldout/{name}": float(value) for name, value in heldout.items()}
        self.log.add(entry)
        self.update(entry)
        self.stopped = self.job.stop.verdict(self.log.entries)
        if self.stopped:
            logger.warning("stopped after round %d: %s", number + 1, self.stopped)
            control.should_training_stop = control.should_save = True
