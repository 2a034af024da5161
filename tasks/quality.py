"""QuALITY: two-choice questions about real stories, read from a data folder that is never committed.

Three views of the same questions (arXiv 2112.08608; two-choice form and arguments of arXiv 2204.05212):

* ``short_context``: the passages that human debaters quoted (about 112 words) and one human argument a side;
* ``full``: the whole story (about 4,800 words);
* the official JSON Lines with four options, reduced to gold and the best distractor as in arXiv 2409.12822.

What a policy sees of a full story is a parameter (``none``, ``cut:N`` words, ``full``), and what was cut
is counted.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.qa import QAItem


def data_folder(name: str) -> Path:
    """The folder ``name`` below ``SOPHISTRY_DATA``.

    Raises:
        FileNotFoundError: the variable is not set, or the folder is not there.
    """
    root = os.environ.get("SOPHISTRY_DATA")
    if not root:
        raise FileNotFoundError(
            f"the data set {name!r} needs the environment variable SOPHISTRY_DATA: "
            "the folder that holds it (see docs/data.md)"
        )
    folder = Path(root).expanduser() / name
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {name!r} in SOPHISTRY_DATA={root}; see docs/data.md")
    return folder


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a ``.jsonl`` or ``.jsonl.gz`` file."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; see docs/data.md")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:  # pyright: ignore[reportArgumentType]
        for line in file:
            if line.strip():
                yield json.loads(line)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Reader of the QuALITY folders in ``SOPHISTRY_DATA``; splits are by article."""

    @staticmethod
    def short_contexts(split: str | None = None) -> list[QAItem]:
        """Questions with the quoted passages as context; ``split`` is ``train``, ``val`` or None for both."""
        path = data_folder("quality_two_choice") / "short_context.jsonl.gz"
        return [
            QAItem(
                id=row["question_id"],
                group=str(row["article_id"]),
                passage=row["context"],
                question=row["question"],
                options=tuple(row["options"]),
                gold=row["gold"],
                split=row["split"],
                argument=without_references(row["argument_for_gold"]),
                false_argument=without_references(row["argument_for_distractor"]),
            )
            for row in read_jsonl(path)
            if split in (None, row["split"])
        ]

    @staticmethod
    def full_passages(split: str | None = None) -> list[QAItem]:
        """Questions with the whole story."""
        folder = data_folder("quality_two_choice")
        texts = {str(p["article_id"]): p["text"] for p in read_jsonl(folder / "passages.jsonl.gz")}
        return [
            QAItem(
                id=row["question_id"],
                group=str(row["article_id"]),
                passage=texts[str(row["article_id"])],
                question=row["question"],
                options=tuple(row["options"]),
                gold=row["gold"],
                split=row["split"],
            )
            for row in read_jsonl(folder / "questions.jsonl.gz")
            if split in (None, row["split"])
        ]

    @staticmethod
    def official(path: str | Path) -> list[QAItem]:
        """Official QuALITY rows: gold against the best distractor by the votes of untimed readers.

        The gold option's place is fixed by a hash of the question id, so letters are balanced.
        """
        items = []
        for article in read_jsonl(Path(path)):
            for number, question in enumerate(article["questions"]):
                if "gold_label" not in question:
                    continue
                items.append(_two_choice(article, question, number))
        return items


def _two_choice(article: dict[str, Any], question: dict[str, Any], number: int) -> QAItem:
    gold = question["gold_label"] - 1
    votes = Counter(
        int(v["untimed_eval3_distractor"]) - 1
        for v in question.get("validation", [])
        if v.get("untimed_eval3_distractor")
    )
    others = [i for i in range(len(question["options"])) if i != gold]
    distractor = max(others, key=lambda i: (votes[i], -i))
    question_id = question.get("question_unique_id", f"{article['article_id']}-{number}")
    first = int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % 2
    right, wrong = question["options"][gold], question["options"][distractor]
    return QAItem(
        id=question_id,
        group=str(article["article_id"]),
        passage=article["article"],
        question=question["question"],
        options=(right, wrong) if first == 0 else (wrong, right),
        gold=first,
    )


def without_references(argument: str) -> str:
    """The argument without its snippet marks ``(#1)`` and with single spaces."""
    for mark in ("(#1)", "(#2)", "(#3)", "#1", "#2", "#3"):
        argument = argument.replace(mark, "")
    return " ".join(argument.split()).replace(" .", ".").replace(" ,", ",")


@dataclass(frozen=True, kw_only=True)
class Visible:
    """What is left of a passage, and how much was cut."""

    item: QAItem
    cut_words: int


def show(item: QAItem, visibility: str = "full") -> Visible:
    """Limit what is seen of the passage: ``none``, ``cut:N`` (the first N words) or ``full``.

    >>> from tasks.stories import MiniQA
    >>> seen = show(MiniQA(seed=0).items(1)[0], "cut:4")
    >>> len(seen.item.passage.split()), seen.cut_words > 0
    (4, True)

    Raises:
        ValueError: an unknown visibility.
    """
    words = item.passage.split()
    if visibility == "full":
        return Visible(item=item, cut_words=0)
    if visibility == "none":
        keep = 0
    elif visibility.startswith("cut:") and visibility[4:].isdigit():
        keep = int(visibility[4:])
    else:
        raise ValueError(f"visibility must be 'none', 'cut:N' or 'full', got {visibility!r}")
    if keep >= len(words):
        return Visible(item=item, cut_words=0)
    return Visible(item=replace(item, passage=" ".join(words[:keep])), cut_words=len(words) - keep)
