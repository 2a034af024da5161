r"""Sequence-to-sequence reward (arXiv 2409.00162): a model rewrites the response, and the difference pays.

The reward model learns by likelihood to write the better response to x from either one,
:math:`(x, y_l) \to y_w` and :math:`(x, y_w) \to y_w`, so that it leaves alone what is good. In training,
a response is rewritten greedily and the two texts are aligned: a token that the rewrite keeps earns
:math:`+1/|y|`, one that it changes or drops :math:`-1/|y|`. So the sum lies in -1 to 1 and is 1 for a
response left as it is. (The paper's own scale could not be checked: no code is released.) Words that the
rewrite only adds cost nothing.

What the model sees of an item is what the people see who compared the responses: `rlhf.rewards.view`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from organisms.finetune import Demonstration, FineTuneSpec, fine_tune
from organisms.generate import SamplingSpec, answer
from rlhf.evaluators.evaluator import View
from rlhf.recipes.drawn import Drawn
from rlhf.rewards.reward import Column, TokenReward
from rlhf.rewards.view import FULL, PROGRAM_COLUMNS, STORY_COLUMNS, view_text, views
from tasks.transcript import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "RewriteReward",
    "rewrite_prompt",
    "rewriting_demonstrations",
    "token_differences",
    "train_rewriter",
]

ASK = "Write a better response, or the same if it is good."

Rewrite = Callable[[list[list[Message]]], list[str | None]]
"""Rewrites for prompts of `rewrite_prompt`; None where one did not come to an end."""


def rewrite_prompt(view: View, response: str, *, visibility: str = FULL) -> list[Message]:
    """What the rewriting model is asked, in training and in scoring.

    Args:
        view: what was asked of the policy.
        response: what it answered.
        visibility: of the story: `none`, `cut:N` or `full`.
    """
    text = view_text(view, response, visibility=visibility).text
    return [{"role": "user", "content": f"{text}\n\n{ASK}"}]


def rewriting_demonstrations(
    drawn: Sequence[Drawn], *, score: str = "reward", margin: float = 0.0, visibility: str = FULL
) -> list[Demonstration]:
    """Worst and best response to each item, both to be rewritten to the best.

    Raises:
        ValueError: nowhere do two responses to an item differ in score by more than `margin`.
    """
    found = []
    for one in drawn:
        known = one.known(score)
        if not known:
            continue
        best, worst = max(known, key=lambda row: row[1]), min(known, key=lambda row: row[1])
        if best[1] - worst[1] > margin:
            view = _view(one.item)
            for text, _ in (worst, best):
                prompt = rewrite_prompt(view, text, visibility=visibility)
                found.append(Demonstration(prompt=prompt, response=best[0], instead_of=worst[0]))
    if not found:
        raise ValueError(
            f"nowhere do two responses to an item differ in {score} by more than {margin}: a rewriting model "
            "has nothing to learn from. Draw more samples, or to more items"
        )
    return found


def _view(item: Mapping[str, Any]) -> View:
    columns = STORY_COLUMNS if set(item) >= STORY_COLUMNS else PROGRAM_COLUMNS
    return views({name: [item[name]] for name in columns if name in item})[0]


def train_rewriter(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    demonstrations: Sequence[Demonstration],
    spec: FineTuneSpec,
    *,
    work_dir: str | Path,
    start: str = "",
) -> list[dict[str, float]]:
    """Fine-tune a model to rewrite; returns the loss curve (see `organisms.finetune.fine_tune`)."""
    return fine_tune(model, tokenizer, demonstrations, spec, work_dir=work_dir, start=start)


def token_differences(ids: Sequence[int], rewritten: Sequence[int]) -> list[float]:
    """Plus or minus one over the length for every token of `ids`: kept by the rewrite, or not.

    >>> token_differences([1, 2, 3, 4], [1, 9, 3, 4])
    [0.25, -0.25, 0.25, 0.25]
    """
    blocks = SequenceMatcher(None, ids, rewritten, autojunk=False).get_matching_blocks()
    kept = {block.a + i for block in blocks for i in range(block.size)}
    return [(1 if place in kept else -1) / len(ids) for place in range(len(ids))]


class RewriteReward(TokenReward):
    """Reward per token by what a rewriting model makes of a response.

    Args:
        rewrite: gives rewrites; `RewriteReward.of_model` makes one of a trained model.
        tokenizer: the policy's, by which responses and rewrites are compared.
        task: `qa` or `programming`.
        visibility: of the story, as the rewriting model was trained.
    """

    def __init__(
        self,
        rewrite: Rewrite,
        tokenizer: PreTrainedTokenizerBase,
        *,
        task: str = "qa",
        visibility: str = FULL,
        name: str = "seq2seq",
    ) -> None:
        if task not in ("qa", "programming"):
            raise ValueError(f"task must be qa or programming, got {task!r}")
        super().__init__(name, STORY_COLUMNS if task == "qa" else PROGRAM_COLUMNS)
        self.rewrite, self.tokenizer, self.visibility = rewrite, tokenizer, visibility
        self._known: dict[str, str | None] = {}

    @classmethod
    def of_model(
        cls, model: Any, tokenizer: PreTrainedTokenizerBase, *, max_new_tokens: int, **options: Any
    ) -> RewriteReward:
        """The reward of a model that `train_rewriter` has trained and whose tokenizer is the policy's."""
        how = SamplingSpec(max_new_tokens=max_new_tokens)

        def rewrite(prompts: list[list[Message]]) -> list[str | None]:
            found = answer(model, tokenizer, prompts, how, progress=False)
            return [None if one.clipped else one.text for one in found]

        return cls(rewrite, tokenizer, **options)

    def score_tokens(
        self, responses: Sequence[str], ids: Sequence[Sequence[int]], columns: Mapping[str, Column]
    ) -> list[list[float] | None]:
        """Differences to the rewrites; None where a rewrite did not come to an end.

        Raises:
            ValueError: responses of another tokenizer than the policy's.
        """
        prompts = [
            rewrite_prompt(view, response, visibility=self.visibility)
            for view, response in zip(views(columns), responses, strict=True)
        ]
        self._look_up(prompts)
        found: list[list[float] | None] = []
        for prompt, response, row in zip(prompts, responses, ids, strict=True):
            if self.tokenizer.decode(list(row), skip_special_tokens=True) != response:
                raise ValueError(
                    f"the tokens of the response {response[:40]!r} are not those of {self.name}'s tokenizer; "
                    "the rewriting model needs the policy's"
                )
            rewritten = self._known[prompt[0]["content"]]
            found.append(None if rewritten is None else self._differences(row, response, rewritten))
        return found

    def _look_up(self, prompts: Sequence[list[Message]]) -> None:
        """Rewrite what has not been rewritten before."""
        new = {prompt[0]["content"]: prompt for prompt in prompts if prompt[0]["content"] not in self._known}
        if new:
            self._known |= dict(zip(new, self.rewrite([*new.values()]), strict=True))

    def _differences(self, ids: Sequence[int], response: str, rewritten: str) -> list[float]:
        """An unchanged text keeps every token, however it was cut into tokens."""
        if rewritten == response:
            return token_differences(ids, ids)
        wanted = self.tokenizer(rewritten, add_special_tokens=False).input_ids
        return token_differences(ids, [*map(int, wanted), int(self.tokenizer.eos_token_id)])  # pyright: ignore[reportArgumentType]
