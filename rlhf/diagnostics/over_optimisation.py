"""Proxy against truth along a run, over the distance travelled: sqrt(KL), after Gao et al. (2210.10760).

Read from a run's `rounds.jsonl`: what is rewarded (the proxy) and `R*` (the truth) are means over the
round's samples; held-out numbers come from other stories and from evaluators who had no part in the reward.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One round."""

    round: int
    sqrt_kl: float
    """Root of the mean KL to `pi_init` per response (nats), of the policy that sampled."""
    proxy: float
    """Mean training reward."""
    truth: float
    """Mean `R*` of the same samples."""
    held_out_approval: float | None = None
    """Greedy answers after this round, approved by others."""
    held_out_truth: float | None = None


def over_optimisation(path: str | Path, *, oracle: bool = False) -> tuple[CurvePoint, ...]:
    """The curve of a run.

    Args:
        path: its `rounds.jsonl`.
        oracle: the reward is `R*` itself, so nothing else was noted as the truth.

    Raises:
        ValueError: a line that is no round of such a run; file and line are named.
    """
    points = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            points.append(
                CurvePoint(
                    round=entry["round"],
                    sqrt_kl=max(0.0, entry["kl"]) ** 0.5,
                    proxy=entry["reward"],
                    truth=entry["reward" if oracle else "truth"],
                    held_out_approval=entry.get("heldout/approval"),
                    held_out_truth=entry.get("heldout/oracle"),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}:{number}: no round with kl, reward and truth ({error!r}); give a run's rounds.jsonl"
            ) from error
    return tuple(points)
