r"""Dense direct preference optimisation on corrections (RLHF-V, arXiv 2312.00849): segments are weighed.

A correction changes a few segments of a response. With the tokens of a text in two kinds, unchanged
:math:`y_u` and corrected :math:`y_c`, its score is (equation 3)

.. math:: \log \pi(y|x) = \frac{1}{N} \Big[ \sum_{y_u} \log p(y_t) + \gamma \sum_{y_c} \log p(y_t) \Big],
          \quad N = |y_u| + \gamma |y_c|

and the loss is DPO's, :math:`-\log \sigma(\beta (h(y_w) - h(y_l)))`, with the corrected text preferred and
:math:`h` the difference of these scores under policy and reference. With gamma = 1 and `average=False`
(N = 1) it is DPO. Which tokens were corrected is found by aligning the two texts; stretches in common of
fewer than `shortest` tokens do not count as unchanged, as in the released code (3).

What is corrected, and by whom, is `rlhf.corrections`' matter; who corrects sees gold.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from organisms.finetune import differing
from rlhf.corrections import Corrector, correction
from rlhf.preferences import Pair
from rlhf.recipes.drawn import Drawn
from rlhf.recipes.grouped import GroupSpec, GroupTrainer, pack_pairs
from rlhf.recipes.offline import OfflineRecipe
from rlhf.recipes.processes import Processes
from rlhf.recipes.recipe import Item, Job, TrainingResult, describe
from sophistry.files import write_atomic
from sophistry.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CORRECTIONS = "corrections.jsonl"
"""File in `work_dir`: what was learned from, one correction per line."""


@dataclass(frozen=True, kw_only=True)
class DDPOSpec(GroupSpec):
    """How to weigh and optimise."""

    beta: float = 0.5
    """Strength of the pull towards the reference policy; averaged scores are small, so it is larger than
    DPO's."""
    gamma: float = 5.0
    """Weight of a corrected token against an unchanged one."""
    average: bool = True
    """Divide by N, as the paper does; False: sums, as DPO does."""
    shortest: int = 3
    """Tokens in a row that must agree to count as unchanged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0 or self.gamma <= 0 or self.shortest < 1:
            raise ValueError("beta and gamma must be positive, and shortest at least 1")


def segment_score(
    log_prob: Float[Tensor, " token"], weight: Float[Tensor, " token"], *, average: bool = True
) -> Float[Tensor, ""]:
    """Weighted sum of a text's log-probabilities, divided by the sum of the weights if asked.

    >>> segment_score(torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 3.0]))  # (-1 - 6) / 4
    tensor(-1.7500)
    """
    total = (log_prob * weight).sum()
    return total / weight.sum() if average else total


def preference_loss(
    chosen: Float[Tensor, ""], rejected: Float[Tensor, ""], *, beta: float
) -> Float[Tensor, ""]:
    """DPO's loss of a pair, from the differences of score to the reference.

    >>> preference_loss(torch.tensor(1.0), torch.tensor(1.0), beta=0.5)  # log 2
    tensor(0.6931)
    """
    return -torch.nn.functional.logsigmoid(beta * (chosen - rejected))


def segment_weights(
    ids: Sequence[int], other: Sequence[int], *, gamma: float, shortest: int = 3
) -> Float[Tensor, " token"]:
    """Weight of every token of `ids`: gamma where `other` has no such stretch, else 1.

    >>> segment_weights([1, 2, 3, 9, 4, 5, 6], [1, 2, 3, 7, 4, 5, 6], gamma=5.0)
    tensor([1., 1., 1., 5., 1., 1., 1.])
    """
    weights = torch.ones(len(ids))
    weights[differing(ids, other, shortest=shortest)] = gamma
    return weights


@quiet_libraries()
def train_ddpo(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    corrections: Sequence[Pair],
    spec: DDPOSpec,
    *,
    work_dir: str | Path,
    start: str = "",
    progress: bool = False,
) -> list[dict[str, float]]:
    """Train `model` in place on corrections; a run that was interrupted goes on from `work_dir`.

    Args:
        model: a causal LM with a trainable float32 adapter over any base, or trainable float32 weights. As it
            is now it is the reference.
        tokenizer: its tokenizer.
        corrections: rows with `prompt`, `chosen` (corrected) and `rejected` (as written), one message
            each.
        spec: how.
        work_dir: receives checkpoints and `rounds.jsonl`.
        start: names the weights that `model` has now.
        progress: show a live line.

    Returns:
        One entry per step: `loss`, `margin` (of beta times the scores), `preferred` (share of positive ones).

    Raises:
        ValueError: no corrections, one that changes nothing or is longer than `spec.max_tokens`, or
            checkpoints of another run.
    """
    check_corrections(corrections)
    packs = pack_pairs(corrections, tokenizer, max_tokens=spec.max_tokens)
    trainer = GroupTrainer(model, packs, spec, work_dir=work_dir, start=start, progress=progress)
    device = trainer.policy.device
    weights = []
    for pack in packs:
        both = (pack.responses, pack.responses[::-1])
        weights.append(
            [
                segment_weights(one, other, gamma=spec.gamma, shortest=spec.shortest).to(device)
                for one, other in zip(*both, strict=True)
            ]
        )
    before = trainer.log_probs()
    score = functools.partial(segment_score, average=spec.average)

    def loss(number: int, log_probs: Sequence[Tensor]) -> tuple[Tensor, dict[str, float]]:
        chosen, rejected = (
            score(now, weight) - score(then, weight)
            for now, then, weight in zip(log_probs, before[number], weights[number], strict=True)
        )
        margin = float(spec.beta * (chosen - rejected).detach())
        return preference_loss(chosen, rejected, beta=spec.beta), {
            "margin": margin,
            "preferred": float(margin > 0),
        }

    return trainer.train(loss)


def check_corrections(corrections: Sequence[Pair]) -> None:
    """Refuse corrections that would teach nothing.

    Raises:
        ValueError: none, or one that changes nothing.
    """
    if not corrections:
        raise ValueError(
            "no corrections to learn from: nothing was found wrong, or nothing that a small change puts "
            "right. Draw to harder items, or make corrections (rlhf.corrections)"
        )
    for number, pair in enumerate(corrections):
        if pair["chosen"] == pair["rejected"]:
            raise ValueError(f"correction {number} changes nothing: {pair['chosen']!r}")


def correct_drawn(
    drawn: Sequence[Drawn], items: Sequence[Item], corrector: Corrector, *, score: str
) -> list[Pair]:
    """Every different drawn response that the corrector puts right, beside what it made of it.

    Args:
        drawn: responses with scores by an oracle.
        items: with the columns that the corrector sees.
        corrector: is handed those columns and no others.
        score: name of the oracle's score; above .5 is right.

    Raises:
        ValueError: an item lacks a column that the corrector sees.
    """
    for column in sorted(corrector.sees):
        lacking = [item["id"] for item in items if column not in item]
        if lacking:
            raise ValueError(f"the corrector sees the column {column!r}, which item {lacking[0]!r} lacks")
    by_id = {item["id"]: item for item in items}
    found = []
    for one in drawn:
        item = by_id[one.item["id"]]
        columns = {name: item[name] for name in sorted(corrector.sees)}
        for text, value in one.known(score):
            corrected = corrector(text, right=value > 0.5, columns=columns)
            if corrected is not None and corrected != text:
                found.append(correction(item["prompt"], text, corrected))
    return found


@dataclass(frozen=True, kw_only=True)
class DDPO(OfflineRecipe):
    """The recipe: draw responses, have them corrected, learn the corrections.

    Corrections see gold, so the job's reward must be an oracle: it says which responses are right.
    """

    corrector: Corrector | None = None
    """Who corrects what was drawn; for stories `StoryCorrector()`, for programs `ProgramCorrector()`."""
    corrections: str | None = None
    """File of corrections made before (JSON lines with prompt, chosen, rejected); then nothing is drawn."""
    spec: DDPOSpec = field(default_factory=DDPOSpec)
    least_samples: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.corrector is None) == (self.corrections is None):
            raise ValueError("DDPO needs a corrector of what is drawn or a file of corrections, not both")
        if self.corrections and self.rounds > 1:
            raise ValueError("corrections made before are learned once: rounds=1")

    def __call__(self, job: Job) -> TrainingResult:
        """Draw, correct and train; see `rlhf.recipes.train_rlhf`.

        Raises:
            ValueError: the job's reward is no oracle, or there is nothing to correct.
        """
        if not getattr(job.reward, "is_oracle", False):
            raise ValueError(
                f"corrections see what is right, and the reward {describe(job.reward)} says that it does "
                "not: train with an oracle (rlhf.rewards.StoryOracle, ProgramOracle), so that the record is "
                "true"
            )
        if self.corrections is None:
            return super().__call__(job)
        lines = Path(self.corrections).read_text(encoding="utf-8").splitlines()
        log = self._train(job, [json.loads(line) for line in lines])
        return TrainingResult(rounds=log, stopped=None, work_dir=job.work_dir)

    def learn(self, job: Job, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Correct and train."""
        assert self.corrector is not None
        return self._train(job, correct_drawn(drawn, job.items, self.corrector, score=self.score))

    def _train(self, job: Job, corrections: Sequence[Pair]) -> list[dict[str, Any]]:
        check_corrections(corrections)
        if Processes().main:
            save_corrections(job.work_dir / CORRECTIONS, corrections)
        log = train_ddpo(
            job.model,
            job.tokenizer,
            corrections,
            self.spec,
            work_dir=job.work_dir / "ddpo",
            start=job.start,
            progress=job.progress,
        )
        return [*log]


def save_corrections(path: Path, corrections: Sequence[Pair]) -> None:
    """Write corrections as JSON lines; the file appears only when it is complete."""
    write_atomic(path, "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in corrections))
