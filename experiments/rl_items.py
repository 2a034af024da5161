"""Which items a reward is optimised on, and what of them the policy and the judges see.

Generated items come from a seed of their own. Real text is scarce: what the training split holds beyond what
`pi_init` was taught. Nothing that is evaluated is among them, whole articles and problems held out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from experiments.rl_spec import TWO_TESTS, RLSpec
from rlhf.rewards.view import program_columns, story_columns
from tasks.dataset import Dataset, DatasetSpec
from tasks.programming import Problem
from tasks.programming_dataset import apps_problems, ranked
from tasks.qa import QAItem
from tasks.qa_dataset import quality_questions
from tasks.quality import show

logger = logging.getLogger(__name__)

GENERATED = ("miniqa", "minicode")


def items_to_train(
    spec: RLSpec,
    dataset: DatasetSpec,
    evaluated: Sequence[QAItem | Problem],
    taught: Collection[str] = frozenset(),
) -> list[QAItem] | list[Problem]:
    """The items that are answered in training; none of a group that is evaluated.

    Args:
        spec: how many, and of which seed or levels.
        dataset: where they come from.
        evaluated: the held-out items.
        taught: ids of the items that `pi_init` was taught.

    Raises:
        ValueError: they would be those that are taught or evaluated, or QuALITY holds fewer.
    """
    if dataset.source in GENERATED:
        items = _generated(spec, dataset, evaluated)
    else:
        items = _real(spec, dataset, evaluated, frozenset() if spec.taught_too else taught)
    if TWO_TESTS in spec.rewards and dataset.simplicity is not None:
        items = ranked([item for item in items if isinstance(item, Problem)], dataset.simplicity)
    return items  # pyright: ignore[reportReturnType]


def _generated(
    spec: RLSpec, dataset: DatasetSpec, evaluated: Sequence[QAItem | Problem]
) -> Sequence[QAItem | Problem]:
    from tasks.minicode.problems import MiniCode
    from tasks.stories import MiniQA

    if spec.items_seed in (dataset.taught_seed, dataset.evaluated_seed):
        raise ValueError(f"items_seed={spec.items_seed} is the seed of what is taught or evaluated already")
    if dataset.source == "minicode":
        held_out = {item.group for item in evaluated}
        drawn = MiniCode(seed=spec.items_seed, levels=spec.levels).items(8 * spec.items)
        kept = [problem for problem in drawn if problem.group not in held_out][: spec.items]
        if len(kept) < spec.items:
            raise ValueError(
                f"only {len(kept)} of {len(drawn)} problems drawn have steps that are not evaluated; "
                f"lower items={spec.items}"
            )
        return kept
    return MiniQA(seed=spec.items_seed, levels=spec.levels).items(spec.items)


def _real(
    spec: RLSpec, dataset: DatasetSpec, evaluated: Sequence[QAItem | Problem], taught: Collection[str]
) -> Sequence[QAItem | Problem]:
    apps = dataset.source == "apps"
    every = apps_problems(dataset) if apps else quality_questions(dataset.source, "train")
    held_out = {item.group for item in evaluated}
    left = [i for i in every if i.split == "train" and i.group not in held_out and i.id not in taught]
    if not left or (len(left) < spec.items and not apps):
        raise ValueError(
            f"{spec.items} items were asked for, {dataset.source} has {len(left)} that are neither taught "
            f"nor evaluated ({len(taught)} are taught): lower rl.items or dataset.taught, or say "
            "rl.taught_too true"
        )
    logger.info("%s: %d items to optimise on, of %d", dataset.source, min(len(left), spec.items), len(left))
    return left[: spec.items]


def rows_to_train(
    dataset: Dataset,
    items: Sequence[QAItem] | Sequence[Problem],
    judge_visible: str = "full",
    *,
    for_correctors: bool = False,
) -> list[dict[str, Any]]:
    """Items as `train_rlhf` takes them: prompt, what rewards may declare to see, what correctors see.

    `judge_visible` limits the story that rewards see; the policy's own limit is the dataset's.
    """
    return [
        {"id": item.id, "prompt": dataset.ask(item), **_columns(item, judge_visible, for_correctors)}
        for item in items
    ]


def _columns(item: QAItem | Problem, visible: str, for_correctors: bool) -> dict[str, Any]:
    if isinstance(item, Problem):
        return program_columns(item) | ({"solutions": list(item.solutions)} if for_correctors else {})
    return story_columns(show(item, visible).item) | ({"evidence": item.evidence} if for_correctors else {})


def count_cuts(items: Sequence[QAItem | Problem], visible: str) -> dict[str, Any]:
    """What a limit on the story cuts: of how many items, and which share of their words.

    >>> from tasks.stories import MiniQA
    >>> count_cuts(MiniQA(seed=0).items(2), "none")
    {'visible': 'none', 'items_cut': 2, 'words_cut': 1.0}
    """
    stories = [item for item in items if isinstance(item, QAItem)]
    cut = [show(item, visible).cut_words for item in stories]
    words = sum(len(item.passage.split()) for item in stories)
    return {
        "visible": visible,
        "items_cut": sum(count > 0 for count in cut),
        "words_cut": sum(cut) / max(1, words),
    }
