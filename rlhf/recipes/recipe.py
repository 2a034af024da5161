"""The seam: one call trains a policy by any recipe on any reward.

A *recipe* is a callable that takes a `Job` and trains its model in place; its settings are its
fields. A *reward* follows TRL's convention for reward functions and declares in `sees` which columns of the
items it may read: it is given those and no others.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from activations.tokens import encode_rows
from rlhf.recipes.monitor import StopRule

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Item = Mapping[str, Any]
"""`prompt` (messages, or literal text), `id`, and whatever columns the rewards see."""
_LOGGED = {"reward", "round", "length", "clipped", "kl", "entropy", "responses", "tokens", "seconds"}
_ALWAYS_SEEN = {"prompt", "prompts", "completion", "completions", "completion_ids"}


@runtime_checkable
class RewardFunction(Protocol):
    """Scores responses: higher is better, None leaves a response out (and is counted).

    Besides, it has an attribute `sees: frozenset[str]`: the columns of the items that it reads.
    """

    def __call__(
        self, prompts: list[Any], completions: list[Any], completion_ids: Any = None, **columns: Any
    ) -> list[float | None]:
        """One score per response."""
        ...


@runtime_checkable
class TokenRewardFunction(RewardFunction, Protocol):
    """A reward that can tell the tokens of a response apart; its plain score is their sum."""

    def token_rewards(
        self, prompts: list[Any], completions: list[Any], completion_ids: Any = None, **columns: Any
    ) -> list[list[float] | None]:
        """One reward per token of `completion_ids`, for each response; None leaves a response out."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a recipe works on."""

    model: Any
    """A causal LM; what `requires_grad` in it trains (an adapter or all weights), and is float32."""
    tokenizer: PreTrainedTokenizerBase
    items: Sequence[Item]
    reward: RewardFunction
    work_dir: Path
    monitors: Mapping[str, RewardFunction] = field(default_factory=dict)
    """Rewards of weight zero: logged, never optimised (`R*`, canaries)."""
    evaluate: Callable[[Any], Mapping[str, float]] | None = None
    """Called with the model every `evaluate_every` rounds; its numbers are logged as `heldout/NAME`."""
    evaluate_every: int = 10
    stop: StopRule = field(default_factory=StopRule)
    """When a run counts as collapsed."""
    start: str = ""
    """Names the weights that training starts from."""
    progress: bool = True
    max_minutes: float | None = None
    """PPO starts no further round after so much time; a resumed run may have another limit."""

    def settings(self, recipe: Any) -> dict[str, Any]:
        """The recipe's settings as plain values, for `recipe.json`."""
        return {"recipe": type(recipe).__name__, **plain(recipe)}

    def digest(self) -> str:
        """Names the items and what scores them."""
        text = json.dumps([dict(item) for item in self.items], sort_keys=True, default=str)
        names = [describe(reward) for reward in (self.reward, *self.monitors.values())]
        digest = hashlib.sha256((text + json.dumps(names)).encode()).hexdigest()
        return f"{len(self.items)} items, {names[0]}, sha256 {digest}"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came of a run; the trained weights are in the model and in the last checkpoint."""

    rounds: list[dict[str, Any]]
    """One log entry per round."""
    stopped: str | None
    """Why the run ended early; None when it did not."""
    work_dir: Path


Recipe = Callable[[Job], TrainingResult]


def train_rlhf(
    recipe: Recipe,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    reward: RewardFunction,
    *,
    work_dir: str | Path,
    monitors: Mapping[str, RewardFunction] | None = None,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    evaluate_every: int = 10,
    stop: StopRule | None = None,
    start: str = "",
    progress: bool = True,
    max_minutes: float | None = None,
) -> TrainingResult:
    """Train `model` in place on a reward; a run that was interrupted goes on from `work_dir`.

    Args:
        recipe: for example `PPO()`, `RLOO()`, `GRPO()`, `BestOfN()`, or your own function of a job.
        model: a causal LM with a trainable float32 adapter over any base, or trainable float32 weights.
        tokenizer: its tokenizer; the end-of-turn token ends a response.
        items: rows with `id`, `prompt` and the columns the rewards see.
        reward: what is optimised.
        work_dir: checkpoints, `recipe.json`, `rounds.jsonl` (one line per round), `samples.jsonl`.
        monitors: rewards that are logged at weight zero, by name.
        evaluate: called with the model every `evaluate_every` rounds, for held-out numbers.
        evaluate_every: rounds.
        stop: when to give up a collapsed run.
        start: names the weights that `model` has now (a fingerprint); their digest is checked besides.
        progress: show a live line.
        max_minutes: PPO ends cleanly, with a checkpoint, after the round in which this time is up.

    Raises:
        ValueError: no items, repeated ids, a reward that does not declare what it sees or sees a column
            that some item lacks, nothing trainable, or checkpoints of something else in `work_dir`.

    >>> import tempfile
    >>> from activations.testing import tiny_model
    >>> from rlhf.recipes import PPO, SamplingOptions
    >>> class Short:
    ...     sees = frozenset()
    ...     def __call__(self, prompts, completions, completion_ids=None, **columns):
    ...         return [-float(len(ids)) for ids in completion_ids]
    >>> loaded, items = tiny_model(), [{"id": "a", "prompt": "Say "}]
    >>> recipe = PPO(rounds=1, prompts=2, sampling=SamplingOptions(samples=2, max_new_tokens=4))
    >>> _ = loaded.model.requires_grad_(True)
    >>> result = train_rlhf(
    ...     recipe, loaded.model, loaded.tokenizer, items, Short(),
    ...     work_dir=tempfile.mkdtemp(), progress=False,
    ... )
    >>> len(result.rounds), result.stopped
    (1, None)
    """
    job = Job(
        model=model,
        tokenizer=tokenizer,
        items=[dict(item) for item in items],
        reward=reward,
        work_dir=Path(work_dir),
        monitors=dict(monitors or {}),
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        stop=stop or StopRule(),
        start=start,
        progress=progress,
        max_minutes=max_minutes,
    )
    check_items(job)
    check_trainable(model)
    return recipe(job)


def check_items(job: Job) -> None:
    """Refuse what could not be trained on, by name."""
    if not job.items:
        raise ValueError("no items to train on")
    ids = [item.get("id") for item in job.items]
    if len(set(ids)) < len(ids) or None in ids:
        raise ValueError("every item needs an id of its own")
    taken = sorted(set(job.monitors) & _LOGGED)
    if taken:
        raise ValueError(f"a monitor may not be called {taken[0]!r}: the round log has that name already")
    for name, reward in {"reward": job.reward, **job.monitors}.items():
        if getattr(reward, "sees", None) is None:
            raise ValueError(
                f"{name} ({describe(reward)}) does not declare what it sees: give it an attribute "
                "sees = frozenset of column names (empty when it reads the response only)"
            )
        for column in columns_seen(reward):
            lacking = [item["id"] for item in job.items if column not in item]
            if lacking:
                raise ValueError(f"{name} sees the column {column!r}, which item {lacking[0]!r} lacks")


def columns_seen(reward: RewardFunction) -> list[str]:
    """Columns of the items that a reward declares to read."""
    return sorted(set(getattr(reward, "sees", ())) - _ALWAYS_SEEN)


def check_trainable(model: Any) -> None:
    """Refuse a model in which nothing trains, or in low precision."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise ValueError("nothing in the model is trainable: add an adapter, or call requires_grad_(True)")
    low = [name for name, p in trained if p.dtype != torch.float32]
    if low:
        raise ValueError(
            f"{low[0]} trains in {dict(trained)[low[0]].dtype}: small steps would be lost; use float32"
        )


def encode_prompts(job: Job, *, room: int) -> list[list[int]]:
    """Token ids of every item's prompt.

    Raises:
        ValueError: a prompt that leaves no room for a response (nothing is cut).
    """
    rows = [{"id": str(item["id"]), "prompt": item.get("prompt"), "response": ""} for item in job.items]
    prompts = [row.ids.tolist() for row in encode_rows(rows, job.tokenizer)]
    context = getattr(job.model.config, "max_position_embeddings", None) or math.inf
    for item, prompt in zip(job.items, prompts, strict=True):
        if len(prompt) + room > context:
            raise ValueError(
                f"item {item['id']!r} has {len(prompt)} prompt tokens; with {room} new ones it exceeds the "
                f"context of {context}. Shorten it or lower max_new_tokens (nothing is cut)."
            )
    return prompts


def give_score(
    reward: RewardFunction,
    items: Sequence[Item],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    *,
    name: str = "reward",
    log_metric: Callable[[str, float], None] | None = None,
) -> list[float | None]:
    """Scores of responses in TRL's convention; the reward gets the columns it declares and no others.

    Raises:
        ValueError: the wrong number of scores, or one that is not finite.
    """
    scores = reward(**_handed(reward, items, texts, ids, log_metric))
    if len(scores) != len(items):
        raise ValueError(f"{name} gave {len(scores)} scores for {len(items)} responses")
    for score, item in zip(scores, items, strict=True):
        if score is not None and not math.isfinite(score):
            raise ValueError(f"{name} gave {score} for a response to item {item['id']!r}")
    return [None if score is None else float(score) for score in scores]


def give_token_rewards(
    reward: TokenRewardFunction,
    items: Sequence[Item],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    *,
    log_metric: Callable[[str, float], None] | None = None,
) -> list[list[float] | None]:
    """Rewards of every token of responses; the reward gets the columns it declares and no others.

    Raises:
        ValueError: the wrong number of rewards, or one that is not finite.
    """
    found = reward.token_rewards(**_handed(reward, items, texts, ids, log_metric))
    if len(found) != len(items):
        raise ValueError(f"reward gave token rewards for {len(found)} of {len(items)} responses")
    for rewards, row, item in zip(found, ids, items, strict=True):
        if rewards is not None and (len(rewards) != len(row) or not all(map(math.isfinite, rewards))):
            raise ValueError(
                f"reward gave {len(rewards)} token rewards for a response of {len(row)} tokens to item "
                f"{item['id']!r}, or one that is not finite: {rewards[:4]} ..."
            )
    return [None if rewards is None else [float(r) for r in rewards] for rewards in found]


def _handed(
    reward: RewardFunction,
    items: Sequence[Item],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    log_metric: Callable[[str, float], None] | None,
) -> dict[str, Any]:
    """The keyword arguments of a reward, in TRL's convention."""
    chat = [not isinstance(item["prompt"], str) for item in items]
    completions = [
        [{"role": "assistant", "content": text}] if as_chat else text
        for text, as_chat in zip(texts, chat, strict=True)
    ]
    return {
        "prompts": [item["prompt"] for item in items],
        "completions": completions,
        "completion_ids": [list(row) for row in ids],
        "log_metric": log_metric or (lambda metric, value: None),
        **{name: [item[name] for item in items] for name in columns_seen(reward)},
    }


def refuse_token_rewards(job: Job, recipe: str) -> None:
    """Refuse a reward per token in a recipe that has one number per response.

    Raises:
        ValueError: the job's reward is of that kind.
    """
    if isinstance(job.reward, TokenRewardFunction):
        raise ValueError(
            f"reward {describe(job.reward)} gives a reward per token, and {recipe} takes one number per "
            "response: their differences would be lost. Use PPO(advantage='gae')"
        )


def term_name(metric: str) -> str:
    """How a number that a reward logs about itself is called in the round log.

    >>> term_name("readable"), term_name("reward/readable")
    ('reward/readable', 'reward/readable')
    """
    return metric if metric.startswith("reward/") else f"reward/{metric}"


def describe(thing: Any) -> str:
    """A name for a reward or rule that is the same in the next run."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return f"{type(thing).__name__}({json.dumps(plain(thing), sort_keys=True, default=describe)})"
    return str(getattr(thing, "name", None) or getattr(thing, "__qualname__", None) or type(thing).__name__)


def plain(spec: Any) -> dict[str, Any]:
    """A dataclass as values that JSON can hold; functions by name. {} for anything else."""
    if not is_dataclass(spec) or isinstance(spec, type):
        return {}
    values: dict[str, Any] = {}
    for entry in fields(spec):
        value = getattr(spec, entry.name)
        if is_dataclass(value) and not isinstance(value, type):
            value = plain(value)
        elif isinstance(value, (list, tuple)):
            value = [describe(v) if not isinstance(v, (str, int, float, bool)) else v for v in value]
        elif not isinstance(value, (str, int, float, bool, type(None))):
            value = describe(value)
        values[entry.name] = value
    return values
