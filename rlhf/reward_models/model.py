"""A reward model: a causal language model whose last hidden state is read by a small head.

What it is shown is one text, made by `rlhf.rewards.view.view_text` for training and for scoring alike and
ending with the end-of-sequence token; the head reads the hidden state there. Responses to the same view share
the story before them, which is computed once (`rlhf.recipes.packing`).

On disk it is a folder: the adapter as PEFT writes it (or all weights), `head.safetensors`, and the record
`reward_model.yaml`, which names the base by its fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import yaml
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from activations.dtype import resolve_autocast
from activations.tokens import encode_prompt
from organisms.finetune import FineTuneSpec
from organisms.record import ADAPTER, library_versions
from organisms.weights import Trainable, open_trainable
from rlhf.recipes.checkpoint import digest_weights, load_weights, save_weights
from rlhf.recipes.packing import (
    Pack,
    bf16,
    check_path,
    collate_packs,
    plan_micro_batches,
    read_hidden,
)
from rlhf.rewards.view import FULL, Shown, check_visibility, view_text
from sophistry.records import build, read_yaml, to_plain

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RECORD, HEAD = "reward_model.yaml", "head.safetensors"
SCHEMA = 1
JUDGE, PREFERENCE, ODIN = "judge", "preference", "odin"
STORIES, PROGRAMS, PROMPTS = "stories", "programs", "prompts"
_NOTHING = 0
"""Stands where a pack wants a token to predict; it is never read."""


@dataclass(frozen=True, kw_only=True)
class RewardModelSpec:
    """What a reward model is shown, and how it is trained."""

    visibility: str = FULL
    """How much of the story it is shown: none, cut:N (the first N words) or full."""
    max_tokens: int = 512
    """Longest text; a longer one is refused, never cut."""
    rank: int = 4
    """Rank of the LoRA adapter on all linear layers; 0 trains all weights."""
    alpha: int = 8
    epochs: int = 1
    """Passes over the items."""
    items_per_step: int = 8
    """Items (questions, problems or prompts), with all their responses, per optimiser step."""
    learning_rate: float = 4e-4
    """Step size of the adapter or the weights; falls linearly to 0."""
    head_learning_rate: float = 1e-3
    """Step size of the head."""
    warmup: int = 5
    """Steps until the step size is reached."""
    micro_tokens: int | None = None
    """Tokens per forward pass; none: what suits the device."""
    autocast: Literal["auto"] | bool = "auto"
    """bfloat16 around float32 weights; auto: where this machine computes it fast."""
    seed: int = 0
    """Of the first weights and of the order of the items."""
    save_every: int = 50
    """Steps between checkpoints; an interrupted run goes on from the last one."""

    def __post_init__(self) -> None:
        check_visibility(self.visibility)
        if min(self.epochs, self.items_per_step, self.max_tokens, self.save_every) < 1:
            raise ValueError("epochs, items_per_step, max_tokens and save_every must be at least 1")

    @property
    def adapter(self) -> FineTuneSpec:
        """The same as `organisms.weights.open_trainable` reads it."""
        return FineTuneSpec(rank=self.rank, alpha=self.alpha, autocast=self.autocast, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class RewardModelRecord:
    """What lies beside the weights."""

    kind: Literal["judge", "preference", "odin"]
    base: str
    """What `activations.load_model` was given."""
    base_fingerprint: str
    """Of the base weights; a reward model for another base is refused."""
    parent: str | None
    """The organism whose adapter it started from."""
    heads: tuple[str, ...]
    """Names of the outputs; the first is the reward."""
    trained_on: Literal["stories", "programs", "prompts"]
    """What its texts were made from, and so what it can score."""
    spec: RewardModelSpec
    training: dict[str, Any] = field(default_factory=dict)
    """Counts and final losses."""
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


class RewardHead(torch.nn.Module):
    """Linear outputs of the last hidden state.

    Args:
        width: of the hidden state.
        outputs: how many.
        unit: centre the weights and normalise them to length 1, without a bias (ODIN); else they start at 0.
        seed: of the first weights, where they are drawn.
    """

    def __init__(self, width: int, outputs: int, *, unit: bool, seed: int) -> None:
        super().__init__()
        drawn = torch.randn(outputs, width, generator=torch.Generator().manual_seed(seed))
        self.weight = torch.nn.Parameter(drawn if unit else torch.zeros(outputs, width))
        self.bias = None if unit else torch.nn.Parameter(torch.zeros(outputs))

    def directions(self) -> Float[Tensor, "head d"]:
        """The weights as they are applied."""
        if self.bias is not None:
            return self.weight
        centred = self.weight - self.weight.mean(1, keepdim=True)
        return centred / centred.norm(dim=1, keepdim=True)

    def forward(self, hidden: Float[Tensor, "text d"]) -> Float[Tensor, "text head"]:
        """Outputs of hidden states."""
        found = hidden @ self.directions().T
        return found if self.bias is None else found + self.bias


class RewardModel:
    """Weights, tokenizer, head and record.

    `start` makes a new one, `load` reads one; `rlhf.rewards.LearnedReward` makes it a reward.
    """

    def __init__(
        self, model: Any, tokenizer: PreTrainedTokenizerBase, head: RewardHead, record: RewardModelRecord
    ) -> None:
        if not isinstance(tokenizer.eos_token, str):
            raise ValueError(f"{type(tokenizer).__name__} has no end token for a reward model to read at")
        self.model = model.eval()  # no dropout: training and scoring compute one function
        self.tokenizer, self.record = tokenizer, record
        self.device = next(model.parameters()).device
        self.head = head.to(self.device)
        self.autocast = resolve_autocast(record.spec.autocast, self.device.type)
        self._share: bool | None = None

    @classmethod
    def start(
        cls,
        opened: Trainable,
        *,
        kind: Literal["judge", "preference", "odin"],
        heads: Sequence[str],
        trained_on: Literal["stories", "programs", "prompts"],
        spec: RewardModelSpec,
        base: str,
        parent: str | None = None,
    ) -> RewardModel:
        """A reward model that has learned nothing yet.

        Args:
            opened: what trains, from `organisms.weights.open_trainable(base, parent, spec.adapter)`.
            kind: what it will learn from.
            heads: names of the outputs, the reward first.
            trained_on: what it will be shown.
            spec: how.
            base: for the record, what `opened` was opened from.
            parent: for the record, the organism that `opened` was opened from.
        """
        width = opened.model.get_input_embeddings().weight.shape[1]
        record = RewardModelRecord(
            kind=kind,
            base=base,
            base_fingerprint=opened.base_fingerprint,
            parent=parent,
            heads=tuple(heads),
            trained_on=trained_on,
            spec=spec,
            versions=library_versions(),
        )
        head = RewardHead(width, len(heads), unit=kind == ODIN, seed=spec.seed)
        return cls(opened.model, opened.tokenizer, head, record)

    @property
    def is_probability(self) -> bool:
        """Whether a score is a probability: a judge's is P(agree)."""
        return self.record.kind == JUDGE

    def digest(self) -> str:
        """Names the weights as they are now."""
        digest = hashlib.sha256(digest_weights(self.model).encode())
        for name, tensor in sorted(self.head.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def count(self, view: Shown, response: str) -> int:
        """Tokens of the text of a view and a response, whether it fits or not."""
        return len(self._ids(view, response))

    def encode(self, view: Shown, response: str) -> list[int]:
        """Token ids of a view and a response, in training and in scoring.

        Raises:
            ValueError: more than `max_tokens` or than the context holds, or a tokenizer that does not read
                its own end token at the end.
        """
        spec, ids = self.record.spec, self._ids(view, response)
        context = getattr(self.model.config, "max_position_embeddings", None)
        limit = min(spec.max_tokens, context or spec.max_tokens)
        if len(ids) > limit:
            raise ValueError(
                f"a text has {len(ids)} tokens, more than {limit}: raise max_tokens or show less of the "
                f"story (visibility); nothing is cut silently. It ends in {response[-60:]!r}"
            )
        if ids[-1] != self.tokenizer.eos_token_id or len(ids) < 2:
            raise ValueError(
                f"{type(self.tokenizer).__name__} does not read {self.tokenizer.eos_token!r} as its end token"
            )
        return ids

    def _ids(self, view: Shown, response: str) -> list[int]:
        visibility, eos = self.record.spec.visibility, str(self.tokenizer.eos_token)
        return encode_prompt(view_text(view, response, visibility=visibility, eos=eos).text, self.tokenizer)

    def outputs(self, groups: Sequence[tuple[Shown, Sequence[str]]]) -> Float[Tensor, "text head"]:
        """Outputs for the responses to each view, in order; gradients flow.

        Raises:
            ValueError: no text, one that is too long, or an output that is not finite.
        """
        packs, lasts = self._packs(groups)
        if not packs:
            raise ValueError("there is no response to score")
        if self._share is None:
            sample = max(packs, key=lambda pack: len(pack.responses))
            shared = check_path(self.model, sample, device=self.device, autocast=self.autocast)
            self._share = shared if len(sample.responses) > 1 else None
        parts = packs if self._share is not False else [part for pack in packs for part in pack.split()]
        budget = self.record.spec.micro_tokens or (16_384 if self.device.type == "cuda" else 4_096)
        last = torch.tensor(lasts, device=self.device)
        found, rows = [], []
        for part in plan_micro_batches(parts, budget):
            batch = collate_packs(part, self.device)
            kept = batch.columns == last[batch.rows]
            with bf16(self.device, self.autocast):
                hidden = read_hidden(_causal(self.model), batch)[kept]
            found.append(self.head(hidden.float()))
            rows.append(batch.rows[kept])
        result = torch.cat(found)[torch.cat(rows).argsort()]
        if not bool(torch.isfinite(result).all()):
            raise ValueError("the reward model gives numbers that are not finite: its training diverged")
        return result

    def _packs(self, groups: Sequence[tuple[Shown, Sequence[str]]]) -> tuple[list[Pack], list[int]]:
        """One pack per view, and how many tokens of each response follow what its pack shares."""
        packs: list[Pack] = []
        lasts: list[int] = []
        for view, responses in groups:
            ids = [self.encode(view, response) for response in responses]
            shared = _common(ids)
            for some in [ids] if shared else [[row] for row in ids]:
                prompt = some[0][: shared or len(some[0]) - 1]
                tails = [row[len(prompt) :] for row in some]
                rows = range(len(lasts), len(lasts) + len(tails))
                packs.append(
                    Pack(prompt=prompt, responses=[[*tail, _NOTHING] for tail in tails], rows=list(rows))
                )
                lasts += [len(tail) for tail in tails]
        return packs, lasts

    def score(self, views: Sequence[Shown], responses: Sequence[str]) -> Float[np.ndarray, " response"]:
        """The reward of each response: P(agree) of a judge, else the first output.

        Raises:
            ValueError: as many views as responses are needed; see `outputs` and `encode`.
        """
        if len(views) != len(responses):
            raise ValueError(f"{len(views)} views but {len(responses)} responses; give one view each")
        places: dict[str, list[int]] = {}
        for place, view in enumerate(views):
            key = f"{type(view).__name__} {view_text(view, '', visibility=self.record.spec.visibility).text}"
            places.setdefault(key, []).append(place)
        groups = [(views[some[0]], [responses[i] for i in some]) for some in places.values()]
        with torch.no_grad():
            found = self.outputs(groups)[:, 0].double()
        if self.is_probability:
            found = found.sigmoid()
        scores = np.empty(len(responses))
        scores[[i for some in places.values() for i in some]] = found.cpu().numpy()
        return scores

    def save(self, folder: str | Path) -> Path:
        """Write weights, head and record; the folder appears by rename."""
        folder = Path(folder).expanduser()
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_weights(self.model, part)
        if (part / ADAPTER).is_file():  # PEFT notes where the base lay on this machine
            config = json.loads((part / ADAPTER).read_text(encoding="utf-8"))
            config["base_model_name_or_path"] = self.record.base
            (part / ADAPTER).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        save_file({n: t.contiguous().cpu() for n, t in self.head.state_dict().items()}, part / HEAD)
        text = yaml.safe_dump(to_plain(self.record), sort_keys=False, allow_unicode=True)
        (part / RECORD).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> RewardModel:
        """Read what `save` wrote, on the base that the record names.

        Raises:
            FileNotFoundError: the folder holds no reward model.
            ValueError: the record is of another schema, or the base or the weights are not those it names.
        """
        folder = Path(folder).expanduser()
        record = read_reward_model(folder)
        opened = open_trainable(record.base, None, record.spec.adapter)
        if opened.base_fingerprint != record.base_fingerprint:
            raise ValueError(
                f"{folder} was trained on base {record.base_fingerprint}, but {record.base!r} is "
                f"{opened.base_fingerprint} here: restore that base, or train the reward model again"
            )
        load_weights(opened.model, folder)
        width = opened.model.get_input_embeddings().weight.shape[1]
        head = RewardHead(width, len(record.heads), unit=record.kind == ODIN, seed=record.spec.seed)
        head.load_state_dict(load_file(folder / HEAD))
        return cls(opened.model, opened.tokenizer, head, record)


def read_reward_model(folder: str | Path) -> RewardModelRecord:
    """The record of a reward model.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: it was written with an unknown schema or field.
    """
    path = Path(folder).expanduser() / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"no reward model at {folder}: it has no {RECORD}")
    data = read_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else data
        raise ValueError(f"{path} has schema {found!r}, this version reads {SCHEMA}")
    return build(RewardModelRecord, data, source=str(path))


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _common(rows: Sequence[Sequence[int]]) -> int:
    """How many first ids all rows share, short of the last of each; 0 where there is one row."""
    if len(rows) < 2:
        return 0
    limit = min(map(len, rows)) - 1
    return next((i for i in range(limit) if len({row[i] for row in rows}) > 1), limit)
