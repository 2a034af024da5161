"""Held-out numbers of a run: questions of their own, answered and scored every few rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from activations.tokens import encode_rows
from rlhf.recipes.monitor import letter_balance
from rlhf.recipes.recipe import Item, RewardFunction, give_score
from rlhf.recipes.rollout import SamplingOptions, sample_groups
from tasks.qa import parse_answer


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """An `evaluate` for `rlhf.recipes.train_rlhf`: mean of every measure over held-out items.

    Measures are rewards, such as the approval of a pool that had no part in the training reward, or `R*`.
    """

    items: Sequence[Item]
    tokenizer: Any
    measures: Mapping[str, RewardFunction]
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(samples=1, temperature=0.0))
    seed: int = 0
    autocast: bool = False

    def __call__(self, model: Any) -> dict[str, float]:
        """Answer and score."""
        rows = [{"id": str(item["id"]), "prompt": item["prompt"], "response": ""} for item in self.items]
        groups = sample_groups(
            model,
            [row.ids.tolist() for row in encode_rows(rows, self.tokenizer)],
            eos=int(self.tokenizer.eos_token_id),
            options=self.sampling,
            seed=(self.seed, 2**31),
            autocast=self.autocast,
        )
        items = [item for item in self.items for _ in range(self.sampling.samples)]
        responses = [response for group in groups for response in group]
        ids = [response.ids for response in responses]
        texts = [str(self.tokenizer.decode(row, skip_special_tokens=True)) for row in ids]
        means = {"length": float(np.mean([len(row) for row in ids]))}
        means["clipped"] = float(np.mean([response.clipped for response in responses]))
        for name, measure in self.measures.items():
            scores = [s for s in give_score(measure, items, texts, ids, name=name) if s is not None]
            if scores:
                means[name] = float(np.mean(scores))
        return means | letter_balance([parse_answer(text) for text in texts])
