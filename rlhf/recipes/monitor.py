"""What a person sees of a run: a log line per round, a live line, and a stop when the policy collapses."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = "rounds.jsonl"
SAMPLES = "samples.jsonl"
_SHOWN = ("reward", "heldout/approval", "oracle", "kl", "entropy", "length", "clipped", "letter/A")


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a run counts as collapsed. None switches a rule off.

    >>> rule = StopRule(patience=2)
    >>> rule.verdict([{"entropy": 0.01}]), rule.verdict([{"entropy": 0.01}, {"entropy": 0.02}])
    (None, 'entropy 0.02 nats per token is under 0.05: the policy hardly varies any more (raise the KL or \
entropy coefficient, lower the learning rate)')
    """

    letter: float | None = 0.9
    """Largest share of one letter among the answers that name one."""
    entropy: float | None = 0.05
    """Smallest mean entropy of a token, in nats."""
    clipped: float | None = 0.2
    """Largest share of responses that reach the length limit."""
    patience: int = 2
    """Rounds in a row that must break a rule."""

    def verdict(self, rounds: Sequence[dict[str, Any]]) -> str | None:
        """Why to stop after these rounds, or None."""
        recent = [self._broken(entry) for entry in rounds[-self.patience :]]
        if len(recent) < self.patience:
            return None
        common = set.intersection(*map(set, recent))
        return recent[-1][min(common)] if common else None

    def _broken(self, entry: dict[str, Any]) -> dict[str, str]:
        broken = {}
        letter, share = top_letter(entry)
        if self.letter is not None and share > self.letter:
            broken["letter"] = (
                f"{share:.0%} of the answers are {letter} (limit {self.letter:.0%}): the policy answers "
                "without reading (lower the learning rate, raise the KL coefficient, balance gold letters)"
            )
        if self.entropy is not None and entry.get("entropy", math.inf) < self.entropy:
            broken["entropy"] = (
                f"entropy {entry['entropy']:.3g} nats per token is under {self.entropy}: the policy hardly "
                "varies any more (raise the KL or entropy coefficient, lower the learning rate)"
            )
        if self.clipped is not None and entry.get("clipped", 0.0) > self.clipped:
            broken["clipped"] = (
                f"{entry['clipped']:.0%} of responses reach the length limit (at most {self.clipped:.0%}): "
                "raise max_new_tokens, or the policy rambles (raise the KL coefficient)"
            )
        return broken


def top_letter(entry: dict[str, Any]) -> tuple[str, float]:
    """The most frequent letter of a round and its share; share 0 unless half the answers name a letter."""
    letters = {name[7:]: value for name, value in entry.items() if name.startswith("letter/")}
    if not letters or entry.get("unparsable", 0.0) > 0.5:
        return "", 0.0
    letter = max(letters, key=lambda name: letters[name])
    return letter, letters[letter]


def letter_balance(letters: Sequence[str | None]) -> dict[str, float]:
    """Shares among the answers that name a letter, and the share that names none.

    >>> letter_balance(["A", "B", "B", None])
    {'letter/A': 0.3333333333333333, 'letter/B': 0.6666666666666666, 'unparsable': 0.25}
    >>> letter_balance([None, None])
    {}
    """
    named = Counter(letter for letter in letters if letter)
    if not named:
        return {}
    shares = {f"letter/{letter}": count / named.total() for letter, count in sorted(named.items())}
    return {**shares, "unparsable": 1 - named.total() / len(letters)}


class RoundLog:
    """`rounds.jsonl`: one line per round, cut back to the checkpoint a run goes on from."""

    def __init__(self, folder: Path, *, done: int, write: bool) -> None:
        self.path, self.samples, self.write = folder / ROUNDS, folder / SAMPLES, write
        self.entries: list[dict[str, Any]] = [e for e in _read(self.path) if e["round"] < done]
        if write:
            _rewrite(self.path, self.entries)
            _rewrite(self.samples, [e for e in _read(self.samples) if e["round"] < done])

    def add(self, entry: dict[str, Any], samples: Sequence[dict[str, Any]] = ()) -> None:
        """Append a round and a few of its responses."""
        self.entries.append(entry)
        if self.write:
            for path, lines in ((self.path, [entry]), (self.samples, samples)):
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:  # the process was killed while it wrote this line
            break
    return entries


def _rewrite(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    fresh.replace(path)


@contextmanager
def live_view(total: int, done: int, *, show: bool) -> Iterator[Any]:
    """A line that shows the last round and the time left; gives a function that takes log entries."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(
        *columns, TextColumn("{task.fields[state]}"), console=Console(stderr=True), disable=not show
    )
    with bar:
        task = bar.add_task("rounds", total=total, completed=done, state="")
        seen: dict[str, float] = {}

        def update(entry: dict[str, Any]) -> None:
            seen.update({name: entry[name] for name in _SHOWN if name in entry})
            words = ", ".join(f"{name} {value:.3g}" for name, value in seen.items())
            bar.update(task, completed=entry["round"] + 1, state=words)

        yield update
