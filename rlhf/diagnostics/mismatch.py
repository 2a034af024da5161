"""Do the objectives of RLHF agree along training? (The Alignment Ceiling, arXiv 2311.00168)

Three parties have an objective: the *reward* (model) that stands for people, the *policy* that maximises it
less the price of leaving `pi_init`, and whoever *evaluates* in the end, here by `R*` and by people who had no
part in the reward. Nothing makes them move together. From a run's `rounds.jsonl`: each objective at each
checkpoint, how they correlate, and which of them rises to a peak and then falls while the reward goes on.

Levels of any two curves that both drift correlate, whatever drives them. Changes from one checkpoint to the
next do so only when the same rounds move both: read these.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from rlhf.diagnostics.over_optimisation import over_optimisation
from rlhf.diagnostics.trend import FALLS, FEWEST, PEAK, RISES, Trend, trend
from sophistry.files import write_atomic
from sophistry.records import build_json

OBJECTIVES = {
    "reward": "the reward that is optimised (mean over a round's samples)",
    "policy": "what the policy maximises: the reward less the KL penalty",
    "truth": "`R*` of the same samples",
    "held_out_approval": "greedy answers to held-out items, approved by people with no part in the reward",
    "held_out_truth": "`R*` of these answers",
}
"""Name -> what it is."""


@dataclass(frozen=True, kw_only=True)
class ObjectivesAt:
    """Every objective at one checkpoint; None: not measured there."""

    round: int
    sqrt_kl: float
    """Root of the mean KL to `pi_init` per response (nats)."""
    reward: float | None
    policy: float | None
    truth: float | None
    held_out_approval: float | None
    held_out_truth: float | None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's correlation of two objectives across checkpoints."""

    first: str
    second: str
    checkpoints: int
    """Where both are known."""
    levels: float | None
    """Of the values; None where one is constant or there are fewer than three."""
    changes: float | None
    """Of the changes between neighbouring checkpoints."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """How far the objectives of one run agree."""

    run: str
    reward_is_truth: bool
    """The control: `R*` itself was optimised."""
    checkpoints: tuple[ObjectivesAt, ...]
    trends: dict[str, Trend]
    """Of each objective that is known at six checkpoints or more."""
    agreements: tuple[Agreement, ...]

    @property
    def over_optimised(self) -> bool:
        """The reward rises while `R*`, of the same samples or held out, falls (from a peak or at once)."""
        reward = self.trends.get("reward")
        gold = [self.trends[name] for name in ("truth", "held_out_truth") if name in self.trends]
        return (
            reward is not None
            and reward.verdict == RISES
            and any(one.verdict in (PEAK, FALLS) for one in gold)
        )

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_atomic(Path(path), json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Mismatch:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ConfigError: a field is unknown, missing or of another type.
        """
        return build_json(cls, Path(path).read_bytes(), source=str(path))


def mismatch(path: str | Path, *, run: str, oracle: bool = False) -> Mismatch:
    """Compare the objectives of a run.

    Args:
        path: its `rounds.jsonl`.
        run: what to call it.
        oracle: the reward is `R*` itself.

    Raises:
        ValueError: a line that is no round of such a run, or fewer than three rounds.
    """
    points = over_optimisation(path, oracle=oracle)
    if len(points) < 3:
        raise ValueError(f"{path} has {len(points)} rounds; objectives are compared over three or more")
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    checkpoints = tuple(
        ObjectivesAt(
            round=point.round,
            sqrt_kl=point.sqrt_kl,
            reward=point.proxy,
            policy=None
            if (price := line.get("kl/coefficient")) is None
            else point.proxy - price * line["kl"],
            truth=point.truth,
            held_out_approval=point.held_out_approval,
            held_out_truth=point.held_out_truth,
        )
        for point, line in zip(points, lines, strict=True)
    )
    curves = {name: [getattr(point, name) for point in checkpoints] for name in OBJECTIVES}
    known = {name: [v for v in values if v is not None] for name, values in curves.items()}
    return Mismatch(
        run=run,
        reward_is_truth=oracle,
        checkpoints=checkpoints,
        trends={name: trend(values) for name, values in known.items() if len(values) >= FEWEST},
        agreements=tuple(
            _agreement(first, second, curves[first], curves[second])
            for first, second in combinations(OBJECTIVES, 2)
            if not (oracle and {first, second} == {"reward", "truth"})
        ),
    )


def _agreement(
    first: str, second: str, one: Sequence[float | None], other: Sequence[float | None]
) -> Agreement:
    both = np.array([pair for pair in zip(one, other, strict=True) if None not in pair], dtype=float)
    both = both.reshape(-1, 2)
    return Agreement(
        first=first,
        second=second,
        checkpoints=len(both),
        levels=_spearman(both),
        changes=_spearman(np.diff(both, axis=0)),
    )


def _spearman(rows: np.ndarray) -> float | None:
    if len(rows) < 3 or (rows.max(0) == rows.min(0)).any():
        return None
    return float(spearmanr(rows[:, 0], rows[:, 1]).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def mismatch_page(runs: Sequence[Mismatch]) -> str:
    """One page of Markdown about some runs.

    Raises:
        ValueError: no runs.
    """
    if not runs:
        raise ValueError("no runs to report on")
    head = "| run | rounds | sqrt(KL) at the end | reward | `R*` of the samples | over-optimised |"
    lines = ["# Do the objectives agree?", "", head, "|" + "---|" * 6]
    for one in runs:
        gold = "(the reward itself)" if one.reward_is_truth else _shape(one, "truth")
        lines.append(
            f"| `{one.run}` | {len(one.checkpoints)} | {one.checkpoints[-1].sqrt_kl:.2f} | "
            f"{_shape(one, 'reward')} | {gold} | {'yes' if one.over_optimised else 'no'} |"
        )
    lines += ["", "p: how often a curve of pure noise looks as much like a rise or a fall."]
    lines += ["Over-optimised: the reward rises while `R*` falls, from a peak or at once.", ""]
    lines += [f"## {one.run}\n\n{_agreements(one)}" for one in runs]
    lines += ["- *" + name.replace("_", " ") + f"*: {text}." for name, text in OBJECTIVES.items()]
    return "\n".join(lines) + "\n"


def _shape(one: Mismatch, name: str) -> str:
    if name not in one.trends:
        return f"fewer than {FEWEST} checkpoints"
    found, values = one.trends[name], [(at.round, getattr(at, name)) for at in one.checkpoints]
    known = [(number, value) for number, value in values if value is not None]
    text = f"{found.verdict}: {known[0][1]:.3f} to {known[-1][1]:.3f}"
    if found.verdict == PEAK:
        text += f", peak at round {known[found.peak][0]}"
    return f"{text} (rise p {found.rise_p:.3f}, fall p {found.fall_p:.3f})"


def _agreements(one: Mismatch) -> str:
    lines = ["| objectives | checkpoints | correlation of levels | of changes |", "|---|---|---|---|"]
    known = [pair for pair in one.agreements if pair.levels is not None]
    for pair in known:
        names = f"{pair.first}, {pair.second}".replace("_", " ")
        lines.append(f"| {names} | {pair.checkpoints} | {_number(pair.levels)} | {_number(pair.changes)} |")
    if left_out := len(one.agreements) - len(known):
        lines += ["", f"{left_out} more pairs are known at fewer than three checkpoints."]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "too few" if value is None else f"{value:+.2f}"
