"""Several answers of an organism to every story, drawn once and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from activations import load_model
from activations.tokens import encode_prompt
from organisms.record import find_organism
from organisms.weights import open_weights
from rlhf.recipes import SamplingOptions
from rlhf.recipes.rollout import sample_groups
from sophistry.files import write_atomic
from tasks.qa import QAItem, qa_prompt
from tasks.quality import show


def draw_answers(
    items: Sequence[QAItem],
    *,
    organism: str,
    base: str,
    path: Path,
    story: str = "full",
    samples: int = 8,
    max_new_tokens: int = 48,
    seed: Sequence[int] = (0,),
) -> list[list[str]]:
    """Answers to every item at temperature 1; those that `path` holds already are not drawn again.

    Args:
        items: stories.
        organism: folder of the model that answers.
        base: its base model.
        path: one line per item, `{"id": ..., "answers": [...]}`.
        story: what the model sees of it: full, or cut:N for its first N words.
        samples: answers to each.
        max_new_tokens: longest answer.
        seed: numbers that name the draw.
    """
    kept = read_answers(path) if path.is_file() else {}
    if [(name, len(given)) for name, given in kept.items()] == [(item.id, samples) for item in items]:
        return list(kept.values())
    opened = open_weights(find_organism(organism, "organism"), load_model(base), merge=True)
    tokenizer = opened.tokenizer
    groups = sample_groups(
        opened.model,
        [encode_prompt(qa_prompt(show(item, story).item), tokenizer) for item in items],
        eos=int(tokenizer.eos_token_id),  # pyright: ignore[reportArgumentType]
        options=SamplingOptions(samples=samples, max_new_tokens=max_new_tokens),
        seed=seed,
    )
    answers = [[str(tokenizer.decode(r.ids, skip_special_tokens=True)) for r in group] for group in groups]
    lines = [
        json.dumps({"id": item.id, "answers": given}) for item, given in zip(items, answers, strict=True)
    ]
    write_atomic(path, "\n".join(lines) + "\n")
    return answers


def read_answers(path: Path) -> dict[str, list[str]]:
    """Answers by item, from a file of `draw_answers`.

    Raises:
        ValueError: a line that does not hold an id with its answers; file and line are named.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            found[row["id"]] = [str(text) for text in row["answers"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path}:{number}: no {{"id": ..., "answers": [...]}} ({error!r})') from error
    return found
