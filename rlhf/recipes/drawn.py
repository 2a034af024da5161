"""Responses drawn once from a policy, scored, and made into what offline recipes learn from.

Pairs (best and worst of a prompt) are for DPO, single votes for KTO, the best for supervised fine-tuning
(rejection sampling). All three come from the same samples and the same judgements, and so can the control
with `R*`: scores are columns of the drawn lines, and a recipe names the one it learns from.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlhf.recipes.best_of_n import SAMPLED, BestOfN
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.processes import Processes
from rlhf.recipes.recipe import Item, Job
from rlhf.recipes.rollout import SamplingOptions
from sophistry.files import write_atomic

_PART, _OF = "part-{:03d}", "drawn.json"
_LINES = {"id", "response", "clipped"}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The responses to one item."""

    item: Item
    responses: tuple[str, ...]
    scores: Mapping[str, tuple[float | None, ...]]
    """By name: `reward` and the job's monitors."""
    clipped: tuple[bool, ...] = ()
    """Which of them reached the limit of tokens."""

    def known(self, score: str) -> list[tuple[str, float]]:
        """Different responses that have this score, with it, in the order drawn.

        Raises:
            ValueError: nothing was scored by that name.
        """
        if score not in self.scores:
            raise ValueError(f"the drawn responses have no score {score!r}, only {sorted(self.scores)}")
        pairs = zip(self.responses, self.scores[score], strict=True)
        return list({text: (text, value) for text, value in pairs if value is not None}.values())

    def best_and_worst(self, score: str) -> tuple[tuple[str, float], tuple[str, float]] | None:
        """The responses with highest and lowest score, first drawn among equals; None: no score is known."""
        if not (known := self.known(score)):
            return None
        return max(known, key=lambda row: row[1]), min(known, key=lambda row: row[1])


def draw(job: Job, sampling: SamplingOptions, *, seed: int = 0, part: int = 32) -> Path:
    """Let the job's policy answer its items and score the answers; a draw that was interrupted goes on.

    Several processes share the parts.

    Returns:
        The folder `work_dir/drawn` with one folder of `rlhf.recipes.best_of_n.BestOfN` per part.

    Raises:
        ValueError: the folder holds what another policy, other items or other rewards gave.
    """
    folder, processes = job.work_dir / "drawn", Processes()
    folder.mkdir(parents=True, exist_ok=True)
    if processes.count > 1:
        job.model.to(processes.device)
    of = {
        "weights": digest_weights(job.model),
        "items": job.digest(),
        "sampling": vars(sampling),
        "seed": seed,
        "part": part,
    }
    path = folder / _OF
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != of:
        raise ValueError(
            f"{folder} holds responses of another policy, or to other items; delete it, or choose another "
            "--out"
        )
    if processes.main:
        write_atomic(path, json.dumps(of, indent=1))
    for number in processes.share(range(-(-len(job.items) // part))):
        start, final = number * part, folder / _PART.format(number)
        if final.is_dir():
            continue
        partial = final.with_name(f".{final.name}")
        some = replace(job, items=job.items[start : start + part], work_dir=partial)
        BestOfN(sampling=sampling, seed=seed * 100_003 + number)(some)
        partial.replace(final)
    processes.wait()
    return folder


def read_drawn(folder: Path, items: Sequence[Item], *, weights: str | None = None) -> list[Drawn]:
    """What `draw` left, by item.

    Args:
        folder: the folder it gave.
        items: by whose `id` the lines name them.
        weights: digest of the policy that must have drawn them; None: whoever did.

    Raises:
        FileNotFoundError: nothing was drawn there.
        ValueError: another policy drew them, or they answer an item that is not given.
    """
    path = folder / _OF
    if not path.is_file():
        raise FileNotFoundError(f"no drawn responses in {folder}: draw them first (rlhf.recipes.drawn.draw)")
    of = json.loads(path.read_text(encoding="utf-8"))
    if weights is not None and of["weights"] != weights:
        raise ValueError(f"the responses in {folder} are those of another policy; learn from its own")
    lines: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob(f"part-*/{SAMPLED}")):
        for text in file.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            lines.setdefault(line["id"], []).append(line)
    by_id = {item["id"]: item for item in items}
    if unknown := sorted(set(lines) - set(by_id)):
        raise ValueError(f"{folder} answers {len(unknown)} item(s) that are not given, first {unknown[0]!r}")
    return [
        Drawn(
            item=by_id[name],
            responses=tuple(line["response"] for line in group),
            clipped=tuple(bool(line.get("clipped")) for line in group),
            scores={key: tuple(line[key] for line in group) for key in group[0] if key not in _LINES},
        )
        for name, group in lines.items()
    ]


def pairs(drawn: Sequence[Drawn], *, score: str = "reward", margin: float = 0.0) -> list[dict[str, Any]]:
    """Best and worst response of each item where they differ by more than `margin`, for TRL's DPO.

    >>> two = Drawn(item={"id": "a", "prompt": "?"}, responses=("no", "yes"), scores={"reward": (0.0, 1.0)})
    >>> pairs([two])[0]["chosen"]
    [{'role': 'assistant', 'content': 'yes'}]
    """
    found = []
    for one in drawn:
        if (ends := one.best_and_worst(score)) is None:
            continue
        best, worst = ends
        if best[1] - worst[1] > margin:
            chosen, rejected = ([{"role": "assistant", "content": text}] for text, _ in (best, worst))
            found.append({"prompt": one.item["prompt"], "chosen": chosen, "rejected": rejected})
    return found


def nothing_to_rank(score: str, drawn: Sequence[Drawn]) -> str:
    """What to say where no two responses to a prompt differ in score."""
    return (
        f"nowhere do two different responses to a prompt differ in {score} ({len(drawn)} prompts): there is "
        "nothing to rank. Draw more samples, take items that are sometimes answered well, or lower the margin"
    )


def votes(drawn: Sequence[Drawn], *, score: str = "reward", seed: int = 0) -> list[dict[str, Any]]:
    """One vote on each different response, as TRL's KTO reads them (`label`: approved).

    The vote is that of one individual drawn from the pool: with a score of .75 it approves in three cases of
    four. A score of 0 or 1 (`R*`) is the vote.

    Raises:
        ValueError: a score outside 0 to 1.

    >>> two = Drawn(item={"id": "a", "prompt": "?"}, responses=("no", "yes"), scores={"reward": (0.0, 1.0)})
    >>> [vote["label"] for vote in votes([two])]
    [False, True]
    """
    found = []
    for one in drawn:
        chance = random.Random(f"{seed}/{one.item['id']}")
        for text, value in one.known(score):
            if not 0 <= value <= 1:
                raise ValueError(f"item {one.item['id']!r}: a vote needs a score in 0 to 1, got {value}")
            completion = [{"role": "assistant", "content": text}]
            found.append(
                {"prompt": one.item["prompt"], "completion": completion, "label": chance.random() < value}
            )
    return found
