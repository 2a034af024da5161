"""What evaluators and reward models see: columns of the data set, views, and the one text of a view.

The same `view_text` makes what a reward model is trained on and what it scores, so both are one text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.evaluators.evaluator import ProgramView, StoryView, View
from tasks.programming import Problem
from tasks.qa import QAItem
from tasks.sandbox import pack

STORY_COLUMNS = frozenset({"passage", "question", "options"})
PROGRAM_COLUMNS = frozenset({"statement", "checks"})
PROMPT_COLUMNS = frozenset({"prompt"})

NONE, FULL = "none", "full"


@dataclass(frozen=True, kw_only=True)
class PromptView:
    """Any request, in words, as human preference pairs have it; no simulated person judges it."""

    prompt: str


Shown = View | PromptView
"""What a reward model may be shown beside the response."""


def story_columns(item: QAItem) -> dict[str, Any]:
    """A question as columns; `gold` is for the oracle."""
    return {
        "passage": item.passage,
        "question": item.question,
        "options": list(item.options),
        "gold": item.gold_letter,
    }


def program_columns(problem: Problem, *, checks: int = 6) -> dict[str, Any]:
    """A problem as columns; `tests` are for the oracle, `simplest` for the two-tests reward."""
    return {
        "statement": problem.statement,
        "checks": list(simple_checks(problem, checks)),
        "simplest": [_test(problem.tests[i]) for i in problem.simplest()],
        "tests": [_test(test) for test in problem.tests],
    }


def simple_checks(problem: Problem, n: int = 6) -> tuple[dict[str, Any], ...]:
    """The `n` simplest inputs of a problem, as a person would write them first, simplest first.

    Simple: two to five values, all different, no sign, and short; the look of the input decides, not how
    often a policy passes it. Empty lines, single values, repetitions and long lines come last.
    """
    ranked = sorted(problem.tests, key=lambda test: _effort(_typed(test)))
    return tuple(_test(test) for test in ranked[:n])


def _effort(text: str) -> tuple[bool, bool, int, str]:
    values = text.split()
    plain = 2 <= len(values) <= 5 and len(set(values)) == len(values)
    return not plain, "-" in text, len(text), text


def _typed(test: Mapping[str, Any]) -> str:
    return test["input"] if "input" in test else json.dumps(pack(test["args"]), ensure_ascii=False)


def _test(test: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the generator notes beside it."""
    return {key: test[key] for key in ("input", "args", "output", "fn_name") if key in test}


def view_of(item: QAItem | Problem) -> View:
    """What an evaluator sees of an item: nothing that says what is right, who answered or how hard it is.

    >>> from tasks.stories import MiniQA
    >>> sorted(vars(view_of(MiniQA(seed=0).items(1)[0])))
    ['options', 'passage', 'question']
    """
    columns = story_columns(item) if isinstance(item, QAItem) else program_columns(item)
    return views({name: [value] for name, value in columns.items()})[0]


def prompt_view(prompt: str | Sequence[Mapping[str, str]]) -> PromptView:
    """A prompt, literal or as messages, as a view.

    >>> prompt_view([{"role": "user", "content": "Name a lake."}])
    PromptView(prompt='Name a lake.')
    """
    texts = [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]
    return PromptView(prompt="\n\n".join(texts))


def views(columns: Mapping[str, Sequence[Any]]) -> list[View]:
    """The views that these columns make: of stories or of programs.

    Raises:
        ValueError: columns of neither.
    """
    if set(columns) >= STORY_COLUMNS:
        rows = zip(columns["passage"], columns["question"], columns["options"], strict=True)
        return [StoryView(passage=p, question=q, options=(o[0], o[1])) for p, q, o in rows]
    if set(columns) >= PROGRAM_COLUMNS:
        rows = zip(columns["statement"], columns["checks"], strict=True)
        return [ProgramView(statement=s, checks=tuple(c)) for s, c in rows]
    raise ValueError(f"need {sorted(STORY_COLUMNS)} or {sorted(PROGRAM_COLUMNS)}, got {sorted(columns)}")


@dataclass(frozen=True, kw_only=True)
class ViewText:
    """A text and what it leaves out."""

    text: str
    cut_words: int
    """Words of the passage that are not shown."""


def view_text(view: Shown, response: str, *, visibility: str = FULL, eos: str = "") -> ViewText:
    """One text of view and response, for training and for scoring a reward model.

    Args:
        view: what was asked.
        response: what was answered.
        visibility: of the story: `none`, `cut:N` (its first N words) or `full`; programs and free prompts
            have no story and are always shown whole.
        eos: the end-of-sequence token of the reward model, put at the very end.

    Raises:
        ValueError: an unknown visibility, or a text that holds the end-of-sequence token itself.

    >>> view = StoryView(passage="It rained all day.", question="Who?", options=("Ida", "Tom"))
    >>> view_text(view, "The answer is A.", visibility="cut:2", eos="</s>").cut_words
    2
    """
    for what, text in (("response", response), ("view", _all_text(view))):
        if eos and eos in text:
            raise ValueError(
                f"the {what} holds the end-of-sequence token {eos!r}; decode without special tokens"
            )
    if isinstance(view, PromptView):
        return ViewText(text=f"{view.prompt}\n\nResponse: {response}{eos}", cut_words=0)
    if isinstance(view, ProgramView):
        return ViewText(text=f"{view.statement}\n\nProgram:\n{response}{eos}", cut_words=0)
    words = view.passage.split()
    shown = _shown(visibility, len(words))
    story = f"{view.passage if shown >= len(words) else ' '.join(words[:shown])}\n\n" if shown else ""
    asked = f"Question: {view.question}\nA) {view.options[0]}\nB) {view.options[1]}\n\n"
    return ViewText(
        text=f"{story}{asked}Response: {response}{eos}", cut_words=len(words) - min(shown, len(words))
    )


def _all_text(view: Shown) -> str:
    if isinstance(view, PromptView):
        return view.prompt
    return (
        view.statement
        if isinstance(view, ProgramView)
        else "\n".join((view.passage, view.question, *view.options))
    )


def check_visibility(visibility: str) -> str:
    """The visibility itself.

    Raises:
        ValueError: it is not `none`, `cut:N` or `full`.
    """
    _shown(visibility, 0)
    return visibility


def _shown(visibility: str, total: int) -> int:
    if visibility == FULL:
        return total
    if visibility == NONE:
        return 0
    if cut := re.fullmatch(r"cut:([1-9]\d*)", visibility):
        return int(cut.group(1))
    raise ValueError(f"visibility must be none, cut:N or full, got {visibility!r}")
