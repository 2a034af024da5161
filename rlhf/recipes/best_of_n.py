"""Best-of-n: no training, only choice. The cheapest look at what a reward pays for (arXiv 2410.14872).

Where choosing by the reward raises what is monitored, optimising would too; where the reward rises and `R*`
falls along the curve, optimising it will mislead. The chosen responses are ready for supervised
fine-tuning (rejection sampling), best and worst of each prompt for DPO.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.recipe import (
    Job,
    TrainingResult,
    encode_prompts,
    give_score,
    plain,
    refuse_token_rewards,
)
from rlhf.recipes.rollout import SamplingOptions, sample_groups

SAMPLED, BEST, PAIRS = "sampled.jsonl", "best.jsonl", "pairs.jsonl"


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """Sample, score, choose. Called on a job it leaves the model alone and writes three files.

    `sampled.jsonl` has every response with its scores, `best.jsonl` the best of each prompt (`prompt`,
    `response`), `pairs.jsonl` best and worst where they differ (`prompt`, `chosen`, `rejected`).
    The rounds of the result are the curve: expected reward and monitors of the best of 1, 2, 4, ... samples.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    margin: float = 0.0
    """Least difference of reward between the two responses of a pair."""
    autocast: bool = False
    seed: int = 0

    def __call__(self, job: Job) -> TrainingResult:
        """Sample and choose; see `rlhf.recipes.train_rlhf`."""
        refuse_token_rewards(job, type(self).__name__)
        prompts = encode_prompts(job, room=self.sampling.max_new_tokens)
        groups = sample_groups(
            job.model,
            prompts,
            eos=int(job.tokenizer.eos_token_id),  # pyright: ignore[reportArgumentType]
            options=self.sampling,
            seed=(self.seed, 0),
            autocast=self.autocast,
        )
        items = [item for item in job.items for _ in range(self.sampling.samples)]
        responses = [response for group in groups for response in group]
        ids = [response.ids for response in responses]
        texts = [str(job.tokenizer.decode(row, skip_special_tokens=True)) for row in ids]
        scores = {
            name: give_score(reward, items, texts, ids, name=name)
            for name, reward in {"reward": job.reward, **job.monitors}.items()
        }
        table = {name: _as_table(values, self.sampling.samples) for name, values in scores.items()}
        self._write(job, items, texts, scores, [response.clipped for response in responses])
        best = [1 << k for k in range(self.sampling.samples.bit_length())]
        curves = {name: best_of_k(table["reward"], values, best) for name, values in table.items()}
        clipped = float(np.mean([response.clipped for response in responses]))
        entries = [
            {"round": i, "best_of": k, "clipped": clipped} | {name: curves[name][i] for name in curves}
            for i, k in enumerate(best)
        ]
        return TrainingResult(rounds=entries, stopped=None, work_dir=job.work_dir)

    def _write(
        self,
        job: Job,
        items: Sequence[Any],
        texts: Sequence[str],
        scores: dict[str, Any],
        clipped: Sequence[bool],
    ) -> None:
        lines = [
            {"id": item["id"], "response": text, "clipped": cut, **{name: s[i] for name, s in scores.items()}}
            for i, (item, text, cut) in enumerate(zip(items, texts, clipped, strict=True))
        ]
        best, pairs = [], []
        n = self.sampling.samples
        for number, item in enumerate(job.items):
            group = [line for line in lines[number * n : (number + 1) * n] if line["reward"] is not None]
            if not group:
                continue
            top = max(group, key=lambda line: line["reward"])
            low = min(group, key=lambda line: line["reward"])
            best.append({"id": item["id"], "prompt": item["prompt"], "response": top["response"]})
            if top["reward"] - low["reward"] > self.margin:
                chosen, rejected = (
                    [{"role": "assistant", "content": line["response"]}] for line in (top, low)
                )
                pairs.append({"prompt": item["prompt"], "chosen": chosen, "rejected": rejected})
        job.work_dir.mkdir(parents=True, exist_ok=True)
        settings = {
            **job.settings(self),
            "weights": digest_weights(job.model),
            "sampling": plain(self.sampling),
        }
        (job.work_dir / "recipe.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
        for name, rows in ((SAMPLED, lines), (BEST, best), (PAIRS, pairs)):
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (job.work_dir / name).write_text(text, encoding="utf-8")


def _as_table(scores: Sequence[float | None], samples: int) -> Float[np.ndarray, "item sample"]:
    values = np.array([math.nan if score is None else score for score in scores], dtype=float)
    return values.reshape(-1, samples)


def best_of_k(
    reward: Float[np.ndarray, "item sample"], value: Float[np.ndarray, "item sample"], ks: Sequence[int]
) -> list[float]:
    """Mean over items of `best_of_k_by_item`; NaN where no item has k scored samples.

    >>> best_of_k(np.array([[0.0, 1.0]]), np.array([[5.0, 7.0]]), [1, 2])
    [6.0, 7.0]
    """
    found = best_of_k_by_item(reward, value, ks)
    return [float(np.mean(some)) if (some := row[np.isfinite(row)]).size else math.nan for row in found.T]


def best_of_k_by_item(
    reward: Float[np.ndarray, "item sample"], value: Float[np.ndarray, "item sample"], ks: Sequence[int]
) -> Float[np.ndarray, "item k"]:
    """Expected `value` of the response with the highest `reward` among k of an item's samples.

    Exact over all choices of k; responses of equal reward share their mean value. NaN for items with fewer
    than k scored samples.

    >>> best_of_k_by_item(np.array([[0.0, 1.0]]), np.array([[5.0, 7.0]]), [1, 2, 4]).tolist()
    [[6.0, 7.0, nan]]
    """
    found = np.full((len(reward), len(ks)), math.nan)
    for row, (scores, values) in enumerate(zip(reward, value, strict=True)):
        known = ~(np.isnan(scores) | np.isnan(values))
        scores, values = scores[known], values[known]
        order = np.argsort(scores, kind="stable")
        ranked = np.array([values[scores == s].mean() for s in scores[order]])
        n = len(ranked)
        for column, k in enumerate(ks):
            if k <= n:
                weights = [math.comb(i, k - 1) / math.comb(n, k) for i in range(n)]
                found[row, column] = float(np.dot(weights, ranked))
    return found
