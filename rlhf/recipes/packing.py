"""The forward path of training: log-probability, entropy and value of every response token.

The responses to one prompt travel in one row behind it: `prompt, response 1, response 2, ...`, where a mask
lets each response see the prompt and itself, at the positions it would have alone. So a prompt is computed
once, forwards and backwards, however many samples it has. The vocabulary is read only where a response token
is predicted. Old, reference and new log-probabilities all come from here, and sampling does not.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from activations.likelihood import head_logits, token_log_prob, token_scores

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """One prompt with some of its responses."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]
    """Token ids, each with its end of turn if it has one."""
    rows: Sequence[int]
    """What the caller calls each response: its row in the arrays of the round."""

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(response) - 1 for response in self.responses)

    def __post_init__(self) -> None:
        if not self.prompt or not all(self.responses):
            raise ValueError("a pack needs a prompt and responses of at least one token each")

    def split(self) -> "list[Pack]":
        """One pack per response."""
        return [
            Pack(prompt=self.prompt, responses=[response], rows=[row])
            for response, row in zip(self.responses, self.rows, strict=True)
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBatch:
    """Packs as tensors."""

    ids: Int[Tensor, "pack position"]
    positions: Int[Tensor, "pack position"]
    visible: Bool[Tensor, "pack 1 query key"] | None
    """None where every pack has one response: then plain causal attention is the same."""
    read: Int[Tensor, "token"]
    """Flat positions whose hidden state predicts a response token."""
    targets: Int[Tensor, "token"]
    rows: Int[Tensor, "token"]
    """Row of the round each token belongs to."""
    columns: Int[Tensor, "token"]
    """Place of the token in its response."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenScores:
    """What the policy says of each response token of a batch."""

    log_prob: Float[Tensor, "token"]
    entropy: Float[Tensor, "token"]
    """Nats, over the whole vocabulary."""
    value: Float[Tensor, "token"] | None


def plan_micro_batches(packs: Sequence[Pack], budget: int) -> list[list[Pack]]:
    """Packs of like length together, at most `budget` tokens with padding (one pack always fits).

    >>> packs = [Pack(prompt=[1] * n, responses=[[2]], rows=[0]) for n in (4, 3, 9)]
    >>> [len(batch) for batch in plan_micro_batches(packs, 9)]
    [1, 2]
    """
    batches: list[list[Pack]] = []
    for pack in sorted(packs, key=len, reverse=True):
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= budget:
            batches[-1].append(pack)
        else:
            batches.append([pack])
    return batches


def collate_packs(packs: Sequence[Pack], device: torch.device | str = "cpu") -> PackedBatch:
    """Right-padded to a multiple of 16, as odd widths slow matrix products down."""
    width = -(-max(map(len, packs)) // 16) * 16
    ids, positions, owner = (torch.zeros(len(packs), width, dtype=torch.long) for _ in range(3))
    read: list[int] = []
    targets: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    for number, pack in enumerate(packs):
        start = len(pack.prompt)
        ids[number, :start] = torch.tensor(pack.prompt)
        positions[number, :start] = torch.arange(start)
        owner[number, len(pack) :] = -1
        for which, (response, row) in enumerate(zip(pack.responses, pack.rows, strict=True), start=1):
            end = start + len(response) - 1  # the last token predicts nothing
            ids[number, start:end] = torch.tensor(response[:-1], dtype=torch.long)
            positions[number, start:end] = len(pack.prompt) + torch.arange(end - start)
            owner[number, start:end] = which
            offset = number * width
            read += [offset + len(pack.prompt) - 1, *range(offset + start, offset + end)]
            targets += response
            rows += [row] * len(response)
            columns += range(len(response))
            start = end
    visible = None
    if any(len(pack.responses) > 1 for pack in packs):
        same = owner[:, :, None] == owner[:, None, :]  # padding sees padding, so no row of the mask is empty
        visible = (same | (owner[:, None, :] == 0)).tril()[:, None].to(device)
    as_tensor = lambda values: torch.tensor(values, device=device)  # noqa: E731
    return PackedBatch(
        ids=ids.to(device),
        positions=positions.to(device),
        visible=visible,
        read=as_tensor(read),
        targets=as_tensor(targets),
        rows=as_tensor(rows),
        columns=as_tensor(columns),
    )


def score_tokens(
    model: Any, batch: PackedBatch, *, value_head: Any = None, autocast: bool = False
) -> TokenScores:
    """Run the trunk over the packs and the vocabulary over the response tokens only."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    with bf16(batch.ids.device, autocast):
        hidden = read_hidden(causal, batch)
        logits = head_logits(causal, hidden)
    log_prob, entropy = token_scores(logits, batch.targets)
    value = None if value_head is None else value_head(hidden.float())
    return TokenScores(log_prob=log_prob, entropy=entropy, value=value)


def read_hidden(causal: Any, batch: PackedBatch) -> Float[Tensor, "token d"]:
    """The trunk's last hidden state at the places that a batch reads."""
    trunk = causal.get_decoder()(
        input_ids=batch.ids,
        position_ids=batch.positions,
        attention_mask=_as_mask(batch.visible, causal),
        use_cache=False,
    )
    return trunk.last_hidden_state.flatten(0, 1)[batch.read]


def bf16(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    """bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if enabled else nullcontext()


def _as_mask(visible: Tensor | None, causal: Any) -> Tensor | None:
    if visible is None or causal.config._attn_implementation != "eager":
        return visible
    dtype = causal.get_output_embeddings().weight.dtype  # eager attention adds its mask
    added = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return added.masked_fill_(~visible, torch.finfo(dtype).min)


@torch.no_grad()
def check_path(model: Any, pack: Pack, *, device: torch.device, autocast: bool = False) -> bool:
    """Hold this file's path to the model's own logits on a real pack; gives whether prompts can be shared.

    Raises:
        ValueError: not even single rows agree, so that this architecture cannot be trained here.
    """
    tolerance = 0.15 if autocast or next(model.parameters()).dtype != torch.float32 else 2e-3
    expected = []
    for response in pack.responses:
        row = torch.tensor([[*pack.prompt, *response]], device=device)
        with bf16(device, autocast):
            logits = model(input_ids=row, use_cache=False).logits[0, len(pack.prompt) - 1 : -1]
        expected.append(token_log_prob(logits, torch.tensor(response, device=device)))
    wanted = torch.cat(expected)

    def agrees(packs: Sequence[Pack]) -> bool:
        found = score_tokens(model, collate_packs(packs, device), autocast=autocast).log_prob
        return float((found - wanted).abs().mean()) <= tolerance

    if len(pack.responses) > 1 and agrees([pack]):
        return True
    if not agrees(pack.split()):
        raise ValueError(
            f"{type(model).__name__}: log-probabilities read from the trunk differ from the model's own "
            "logits (it changes them after its head, or needs a mask for padding); it cannot be trained here"
        )
    if len(pack.responses) > 1:
        logger.warning("this architecture cannot share prompts among samples: each is computed again")
    return False


def scored(
    model: Any,
    packs: Sequence[Pack],
    *,
    budget: int,
    device: torch.device,
    value_head: Any = None,
    autocast: bool = False,
) -> Iterator[tuple[PackedBatch, TokenScores]]:
    """Micro-batches with their scores, for passes without gradients."""
    for part in plan_micro_batches(packs, budget):
        batch = collate_packs(part, device)
        yield batch, score_tokens(model, batch, value_head=value_head, autocast=autocast)
