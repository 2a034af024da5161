"""The trainer of responses, and what it shows and keeps. Importing it loads transformers' trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback

from activations.likelihood import head_logits, token_log_prob

_CURVES = ("loss", "accuracy", "decisive_accuracy")


class ResponseTrainer(Trainer):
    """`Trainer` whose loss reads the vocabulary only where a response token is predicted.

    Beside each logged loss stand the shares of tokens that were predicted right since the last log:
    `accuracy` of all response tokens, `decisive_accuracy` of those that the loss is focused on.

    Several processes read the same batches and compute every n-th row each; since the loss bypasses the
    wrapper that would share gradients, they are added up here.
    """

    _right = _seen = _right_decisive = _seen_decisive = 0

    def get_train_dataloader(self) -> Any:
        """Whole batches, in one order whatever the number of processes."""
        loader = super().get_train_dataloader()
        if self.args.world_size > 1:
            shard: Any = loader.batch_sampler
            shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
        return loader

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward; the gradient is that of the whole batch afterwards."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.args.world_size > 1:
            for parameter in model.parameters():
                if parameter.requires_grad and parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
        return loss * self.args.world_size  # the log takes the mean over processes, of shares of one loss

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Weighted mean cross-entropy over response tokens."""
        total = inputs["weights"][:, 1:][inputs["labels"][:, 1:] != -100].sum()
        if self.args.world_size > 1:
            model, inputs = model.module, self._own_rows(inputs)
        labels = inputs["labels"][:, 1:]
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        kept = labels != -100
        # accelerate wraps autocast around model.forward, which we bypass to skip the prompt's logits
        with torch.autocast(labels.device.type, dtype=torch.bfloat16, enabled=self.args.bf16):
            trunk = causal.get_decoder()(input_ids=inputs["input_ids"], use_cache=False)
            logits = head_logits(causal, trunk.last_hidden_state[:, :-1][kept])
        weights = inputs["weights"][:, 1:][kept]
        losses = -token_log_prob(logits, labels[kept])
        loss = (losses * weights).sum() / total
        real = weights > 0
        self._count((logits.detach().argmax(-1) == labels[kept])[real], weights[real] > 1)
        return (loss, {"logits": logits}) if return_outputs else loss

    def _own_rows(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Those of this process; of a batch with fewer rows than processes, one without weight."""
        rank, count = self.args.process_index, self.args.world_size
        if rank < len(inputs["labels"]):
            return {name: rows[rank::count] for name, rows in inputs.items()}
        first = {name: rows[:1] for name, rows in inputs.items()}
        return {**first, "weights": torch.zeros_like(first["weights"])}

    def _count(self, right: torch.Tensor, decisive: torch.Tensor) -> None:
        self._right += int(right.sum())
        self._seen += len(right)
        self._right_decisive += int(right[decisive].sum())
        self._seen_decisive += int(decisive.sum())

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the accuracies to a logged loss, and start counting anew."""
        counts = torch.tensor([self._right, self._seen, self._right_decisive, self._seen_decisive])
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts.to(self.args.device), "sum")
        right, seen, right_decisive, seen_decisive = counts.tolist()  # pyright: ignore[reportAttributeAccessIssue]
        if "loss" in logs and seen:
            logs["accuracy"] = right / seen
            if seen_decisive:
                logs["decisive_accuracy"] = right_decisive / seen_decisive
            self._right = self._seen = self._right_decisive = self._seen_decisive = 0
        super().log(logs, *args, **kwargs)


class LossHistory(TrainerCallback):
    """Keeps the loss curve beside the checkpoints."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the curve so far."""
        if not state.is_world_process_zero:
            return
        curve = [entry for entry in state.log_history if "loss" in entry]
        self.path.write_text(json.dumps(curve, indent=1), encoding="utf-8")


class TrainingBar(TrainerCallback):
    """A live bar: steps, the last loss and accuracy, and the time that is left."""

    def __init__(self, *, show: bool = True) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        words = TextColumn("{task.fields[state]}")
        self.progress = Progress(*columns, words, console=Console(stderr=True), disable=not show)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start, at the step of a resumed run."""
        self.task = self.progress.add_task(
            "training", total=state.max_steps, completed=state.global_step, state=""
        )
        self.progress.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on by a step."""
        self.progress.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Show the last loss."""
        if logs and "loss" in logs:
            words = [f"{name.replace('_', ' ')} {logs[name]:.3g}" for name in _CURVES if name in logs]
            self.progress.update(self.task, state=", ".join(words))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the bar as it is."""
        self.progress.stop()


def train_under_bar(trainer: Trainer, resume: bool) -> None:
    """Train, with our bar instead of the library's bars and printed lines."""
    bar = TrainingBar(show=trainer.args.process_index == 0)
    trainer.add_callback(bar)
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=resume)
    finally:
        bar.progress.stop()
