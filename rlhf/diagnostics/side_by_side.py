"""Answers before and after, side by side, chosen by a seed among all items: nobody picks striking ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.qa import QAItem
from tasks.transcript import Transcript


def side_by_side(
    items: Sequence[QAItem],
    before: Sequence[Transcript],
    after: Sequence[Transcript],
    *,
    n: int = 10,
    seed: int = 0,
) -> str:
    """A page of markdown with `n` stories and what the two models answered.

    Args:
        items: all stories; `random.Random(seed)` draws among them before any answer is looked at.
        before: answers of `pi_init`.
        after: answers of the organism made of it.
        n: how many.
        seed: of the draw.

    Raises:
        ValueError: fewer than `n` items, or an item that one of the two has not answered.
    """
    if n > len(items):
        raise ValueError(f"cannot draw {n} of {len(items)} items")
    chosen = sorted(random.Random(seed).sample(range(len(items)), n))
    answers = [{row.item: row for row in rows} for rows in (before, after)]
    if missing := [items[i].id for i in chosen if any(items[i].id not in side for side in answers)]:
        raise ValueError(f"{missing[0]} was not answered by both models")
    names = [rows[0].organism for rows in (before, after)]
    parts = [
        "# Ten transcripts before and after" if n == 10 else f"# {n} transcripts before and after",
        f"`{names[0]}` and `{names[1]}`, greedy answers. The items were drawn among all {len(items)} with "
        f"seed {seed}, before any answer was looked at; stories are generated.",
    ]
    for number, index in enumerate(chosen, start=1):
        parts.append(_one(number, items[index], *(side[items[index].id] for side in answers)))
    return "\n\n".join(parts) + "\n"


def _one(number: int, item: QAItem, before: Transcript, after: Transcript) -> str:
    a, b = item.options
    return "\n".join(
        [
            f"## {number}. `{item.id}`",
            "",
            f"> {item.passage}",
            "",
            f"**{item.question}** A) {a} B) {b} (right: {item.gold_letter})",
            "",
            "| before | after |",
            "|---|---|",
            f"| {_cell(before)} | {_cell(after)} |",
        ]
    )


def _cell(row: Transcript) -> str:
    verdict = "right" if row.correct else "**wrong**"
    stands = row.extra.get("quote_verified")
    quote = {True: "quotation stands in the story", False: "quotation stands nowhere", None: "no quotation"}
    text = row.response.strip().replace("|", "\\|").replace("\n", "<br>")
    return f"{text}<br>{verdict}; {quote[stands]}"
