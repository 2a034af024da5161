"""The policy in training: the weights, their critic, and the weights that the run started from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from activations.dtype import resolve_autocast
from rlhf.recipes.checkpoint import trained_parameters
from rlhf.recipes.packing import Pack, PackedBatch, TokenScores, check_path, score_tokens, scored
from rlhf.recipes.processes import Processes


class ValueHead(torch.nn.Module):
    """Linear(d, 2d), ReLU, Linear(2d, 1); starts at 0 everywhere."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.inner, self.outer = torch.nn.Linear(width, 2 * width), torch.nn.Linear(2 * width, 1)
        torch.nn.init.zeros_(self.outer.weight)
        torch.nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Float[Tensor, "token d"]) -> Float[Tensor, " token"]:
        """Values of hidden states."""
        return self.outer(torch.relu(self.inner(hidden)))[:, 0]


class Policy:
    """A model in training with its critic, if it has one; scores response tokens of packs.

    Args:
        model: a causal LM; what requires gradients in it trains.
        processes: those that share the run.
        autocast: bfloat16 around float32 weights; None: where this machine computes bfloat16 fast.
        micro_tokens: tokens per forward and backward pass; None: 16,384 on a GPU, else 4,096.
        share_prompts: compute a prompt once for all its responses, where the architecture can.
        critic_seed: of the first weights of a value head; None: no critic.
    """

    def __init__(
        self,
        model: Any,
        processes: Processes,
        *,
        autocast: bool | None = None,
        micro_tokens: int | None = None,
        share_prompts: bool = True,
        critic_seed: int | None = None,
    ) -> None:
        if processes.count > 1:
            model.to(processes.device)
        self.model = model.eval()  # no dropout: old and new log-probabilities come from one function
        self.device = next(self.model.parameters()).device
        self.autocast = resolve_autocast("auto" if autocast is None else autocast, self.device.type)
        self.budget = micro_tokens or (16_384 if self.device.type == "cuda" else 4_096)
        self.head: ValueHead | None = None
        if critic_seed is not None:
            width = self.model.get_input_embeddings().weight.shape[1]
            self.head = ValueHead(width, critic_seed).to(self.device)
        self.trained = list(trained_parameters(self.model).values())
        self._start = [p.detach().clone() for p in self.trained]
        self._share: bool | None = None if share_prompts else False

    def check(self, packs: Iterable[Pack]) -> None:
        """Decide, on the first real pack of several responses, whether prompts are computed once for all."""
        if self._share is None:
            some = [pack for pack in packs if len(pack.responses) > 1]
            if some:
                self._share = check_path(self.model, some[0], device=self.device, autocast=self.autocast)

    def parts(self, packs: Iterable[Pack]) -> list[Pack]:
        """The packs as they are computed: whole where prompts are shared, else one response each."""
        return list(packs) if self._share else [part for pack in packs for part in pack.split()]

    def scored(self, parts: Sequence[Pack]) -> Iterator[tuple[PackedBatch, TokenScores]]:
        """Micro-batches with their scores, for passes without gradients."""
        return scored(
            self.model,
            parts,
            budget=2 * self.budget,
            device=self.device,
            value_head=self.head,
            autocast=self.autocast,
        )

    def score(self, batch: PackedBatch) -> TokenScores:
        """Scores of one micro-batch, with gradients."""
        return score_tokens(self.model, batch, value_head=self.head, autocast=self.autocast)

    @contextmanager
    def reference(self) -> Iterator[None]:
        """The weights the run started from, in place of the current ones."""
        current = [p.data for p in self.trained]
        try:
            for parameter, start in zip(self.trained, self._start, strict=True):
                parameter.data = start
            yield
        finally:
            for parameter, data in zip(self.trained, current, strict=True):
                parameter.data = data
