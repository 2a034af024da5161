"""Reading activations while the model runs: forward hooks that keep only what was asked for.

Each hook gathers the selected positions of its tensor, pools them in float32, and writes the result into a
buffer that this module owns, so no view keeps a whole activation alive. After the last wanted block the
pass is stopped by an exception; final norm and language-model head never run. Hooks are removed however
the pass ends.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from activations.batching import Batch, Kept
from activations.selection import Pool
from activations.sites import Point, Trunk


class _PassDone(Exception):  # noqa: N818 - a signal, not an error
    """Everything asked for has been read."""


@contextlib.contextmanager
def hooked(points: Sequence[Point], receive: Any, *, stop: bool = True) -> Iterator[None]:
    """Call `receive(index, tensor)` for every point's tensor while the context is open.

    With `stop`, the pass ends (quietly, inside `run_hooked`) once the last block in `points` has been read.
    """
    with contextlib.ExitStack() as stack:
        for index, point in enumerate(points):
            stack.callback(_attach(point, index, receive).remove)
        if stop:
            stack.callback(_attach_stop(points).remove)
        yield


def _attach(point: Point, index: int, receive: Any) -> Any:
    name = f"{point.site} of layer {point.layer}"
    if point.side == "input":

        def before(module: Any, args: tuple, kwargs: dict) -> None:
            receive(index, _hidden(args[0] if args else kwargs.get("hidden_states"), name))

        return point.module.register_forward_pre_hook(before, with_kwargs=True)

    def after(module: Any, args: tuple, output: Any) -> None:
        receive(index, _hidden(output, name))

    return point.module.register_forward_hook(after)


def _hidden(value: Any, name: str) -> Float[Tensor, "batch position d_model"]:
    """The hidden states in what a module takes or returns: a tensor, or the first of a tuple."""
    tensor = value[0] if isinstance(value, tuple) else value
    if not isinstance(tensor, Tensor) or tensor.ndim != 3:
        got = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected [batch, position, d_model], got {got}.")
    return tensor


def _attach_stop(points: Sequence[Point]) -> Any:
    """Registered last, so it fires after the readers of the same module."""
    deepest = max(point.layer for point in points)
    last = [point for point in points if point.layer == deepest]
    block = last[0].block

    def stop(*_: Any) -> None:
        raise _PassDone

    if all(point.module is block and point.side == "input" for point in last):
        return block.register_forward_pre_hook(stop)
    return block.register_forward_hook(stop)


def run_hooked(module: torch.nn.Module, **inputs: Any) -> Any:
    """Call the module; None when the pass was stopped after the last wanted block."""
    try:
        return module(**inputs)
    except _PassDone:
        return None


def reduce_tokens(
    hidden: Float[Tensor, "batch position d_model"], kept: Kept, pool: Pool
) -> Float[Tensor, "kept d_model"]:
    """Gather the kept tokens of a batch and pool them per row (in float32).

    >>> import numpy as np
    >>> kept = Kept.at([np.array([0, 1]), np.array([0])], starts=[0, 2])
    >>> reduce_tokens(torch.tensor([[[1.0], [3.0]], [[5.0], [0.0]]]), kept, "mean").tolist()
    [[2.0], [5.0]]
    """
    tokens = hidden.reshape(-1, hidden.shape[-1]).index_select(0, kept.flat)
    if pool == "none":
        return tokens
    tokens = tokens.float()
    if pool == "mean" and not tokens.is_cuda:  # fast on a CPU; on a GPU it would sum in no fixed order
        sums = tokens.new_zeros(len(kept.counts), tokens.shape[1]).index_add_(0, kept.owner, tokens)
        return sums / kept.counts[:, None]
    return torch.segment_reduce(tokens, pool, lengths=kept.counts, unsafe=True)


class Reader:
    """Reads the same points from batch after batch of one transformers model."""

    def __init__(
        self, trunk: Trunk, points: Sequence[Point], *, pool: Pool, store_dtype: torch.dtype, masked: bool
    ) -> None:
        self.trunk, self.points = trunk, points
        self.pool: Pool = pool
        self.store_dtype, self.masked = store_dtype, masked
        self.device = next(trunk.module.parameters()).device

    def read(self, batch: Batch) -> Float[Tensor, "point kept d_model"]:
        """Run one batch and return what the points kept of it, on the CPU, in `store_dtype`."""
        batch = batch.to(self.device)
        mask = {"attention_mask": batch.mask.long()} if self.masked and not batch.mask.all() else {}
        return self.run(batch.kept, input_ids=batch.ids, use_cache=False, **mask)

    @torch.inference_mode()
    def run(self, kept: Kept, **inputs: Any) -> Float[Tensor, "point kept d_model"]:
        """Run the trunk on prepared inputs and return what is kept of its hidden states."""
        vectors = len(kept.flat) if self.pool == "none" else len(kept.counts)
        buffer = torch.full(
            (len(self.points), vectors, self.trunk.d_model),
            float("nan"),
            dtype=self.store_dtype,
            device=self.device,
        )

        def receive(index: int, hidden: Tensor) -> None:
            buffer[index] = reduce_tokens(hidden, kept.to(hidden.device), self.pool)

        with hooked(self.points, receive):
            run_hooked(self.trunk.module, **inputs)
        return buffer.cpu()
