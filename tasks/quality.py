"""QuALITY: two-choice questions about real stories, read from a data folder that is never committed.

Three views of the same questions (arXiv 2112.08608; two-choice form and arguments of arXiv 2204.05212):

* `short_context`: the passages that human debaters quoted (about 112 words) and one human argument a side;
* `full`: the whole story (about 4,800 words);
* the official JSON Lines with four options, reduced to gold and the best distractor as in arXiv 2409.12822.

What a policy sees of a full story is a parameter (`none`, `cut:N` words, `full`), and what was cut
is counted.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sophistry.records import build
from tasks.qa import QAItem
from tasks.rows import Row, filled, read_rows

SPLITS = ("train", "val")


def data_folder(name: str) -> Path:
    """The folder `name` below `SOPHISTRY_DATA`.

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


def in_split(row: Row, split: str | None) -> bool:
    """Whether a row is of the asked split; None asks for all.

    Raises:
        ValueError: the row is of no split.
    """
    if row["split"] not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {row['split']!r}")
    return split in (None, row["split"])


def check_split(split: str | None) -> None:
    """Raise ValueError for a split that the files do not have."""
    if split not in (None, *SPLITS):
        raise ValueError(f"split={split!r}: use one of {SPLITS}, or None for all rows")


def _id(item: QAItem) -> str:
    return item.id


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Reader of the QuALITY folders in `SOPHISTRY_DATA`; splits are by article.

    A row that is no question is left out and named in a warning; a file without one good row is refused.
    """

    @staticmethod
    def short_contexts(split: str | None = None) -> list[QAItem]:
        """Questions with the quoted passages as context; `split` is `train`, `val` or None for both."""

        def make(row: Row) -> QAItem | None:
            item = _question(
                row,
                passage=row["context"],
                argument=without_references(row["argument_for_gold"]),
                false_argument=without_references(row["argument_for_distractor"]),
            )
            return item if in_split(row, split) else None

        check_split(split)
        return read_rows(data_folder("quality_two_choice") / "short_context.jsonl.gz", make, key=_id)

    @staticmethod
    def full_passages(split: str | None = None) -> list[QAItem]:
        """Questions with the whole story."""
        check_split(split)
        folder = data_folder("quality_two_choice")
        stories = read_rows(
            folder / "passages.jsonl.gz",
            lambda row: (filled(row, "article_id"), filled(row, "text")),
            key=lambda story: story[0],
        )
        texts = dict(stories)

        def make(row: Row) -> QAItem | None:
            article = filled(row, "article_id")
            if article not in texts:
                raise ValueError(f"no passage of article {article!r}")
            item = _question(row, passage=texts[article])
            return item if in_split(row, split) else None

        return read_rows(folder / "questions.jsonl.gz", make, key=_id)

    @staticmethod
    def official(path: str | Path) -> list[QAItem]:
        """Official QuALITY rows: gold against the best distractor by the votes of untimed readers.

        The gold option's place is fixed by a hash of the question id, so letters are balanced.
        """

        def questions(article: Row) -> Iterator[Row]:
            if not isinstance(article["questions"], list):
                raise ValueError(f"questions must be a list, got {type(article['questions']).__name__}")
            for number, question in enumerate(article["questions"]):
                yield {"article": article, "question": question, "number": number}

        return read_rows(path, lambda row: _two_choice(**row), parts=questions, key=_id)


def _question(row: Row, **more: Any) -> QAItem:
    return build(
        QAItem,
        {
            "id": filled(row, "question_id"),
            "group": filled(row, "article_id"),
            "question": filled(row, "question"),
            "options": row["options"],
            "gold": row["gold"],
            "split": row["split"],
            **more,
        },
    )


def _two_choice(article: Row, question: Row, number: int) -> QAItem | None:
    if not isinstance(question, dict):
        raise ValueError(f"question {number} must be an object, got {type(question).__name__}")
    if "gold_label" not in question:  # the test set keeps its answers to itself
        return None
    gold, options = question["gold_label"] - 1, question["options"]
    if not 0 <= gold < len(options):
        raise ValueError(f"gold_label {question['gold_label']!r} is none of {len(options)} options")
    votes = Counter(
        int(v["untimed_eval3_distractor"]) - 1
        for v in question.get("validation", [])
        if v.get("untimed_eval3_distractor")
    )
    others = [i for i in range(len(options)) if i != gold]
    distractor = max(others, key=lambda i: (votes[i], -i))
    question_id = question.get("question_unique_id", f"{article['article_id']}-{number}")
    first = int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % 2
    right, wrong = options[gold], options[distractor]
    return build(
        QAItem,
        {
            "id": question_id,
            "group": filled(article, "article_id"),
            "passage": filled(article, "article"),
            "question": filled(question, "question"),
            "options": [right, wrong] if first == 0 else [wrong, right],
            "gold": first,
        },
    )


def without_references(argument: str) -> str:
    """The argument without its snippet marks `(#1)` and with single spaces."""
    for mark in ("(#1)", "(#2)", "(#3)", "#1", "#2", "#3"):
        argument = argument.replace(mark, "")
    return " ".join(argument.split()).replace(" .", ".").replace(" ,", ",")


@dataclass(frozen=True, kw_only=True)
class Visible:
    """What is left of a passage, and how much was cut."""

    item: QAItem
    cut_words: int


def show(item: QAItem, visibility: str = "full") -> Visible:
    """Limit what is seen of the passage: `none`, `cut:N` (the first N words) or `full`.

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
