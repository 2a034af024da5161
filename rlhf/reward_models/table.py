"""Scores of reward models as Markdown: shares in percent, 95 % intervals by item."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.diagnostics.estimates import ItemEstimate
from rlhf.reward_models.score import AgainstReference, RewardModelScores


def scores_table(found: Sequence[RewardModelScores]) -> str:
    """One column per reward model, one row per measure that one of them has.

    Raises:
        ValueError: no reward models.
    """
    if not found:
        raise ValueError("no reward models to tabulate")
    columns = [_column(one) for one in found]
    rows = list(dict.fromkeys(name for column in columns for name in column))
    lines = ["| measure | " + " | ".join(one.name for one in found) + " |"]
    lines.append("|---|" + "---|" * len(found))
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(column.get(row, "") for column in columns) + " |")
    return "\n".join(lines) + "\n"


def _column(one: RewardModelScores) -> dict[str, str]:
    found = {"items (responses)": f"{one.items} ({one.responses})"}
    if one.probability is not None:
        judged = one.probability
        found |= {
            "votes foretold, %": _percent(judged.accuracy),
            "by one guess for all, %": _percent(judged.accuracy_constant),
            "at most possible, %": _percent(judged.accuracy_possible),
            "mean P(agree), %": _percent(judged.mean),
            "approved, %": _percent(judged.approved),
            "Brier": _number(judged.brier),
            "calibration error, points": _percent(judged.calibration),
        }
    for name, against in (("approval", one.approval), ("`R*`", one.truth)):
        if against is not None:
            found |= _against(name, against)
    for name, systems in one.systems.items():
        name = "`R*`" if name == "truth" else name
        found |= {
            f"systems by {name}: Spearman": _maybe(systems.spearman),
            f"systems by {name}: row-wise Pearson": _maybe(systems.row_wise_pearson),
            f"systems by {name}: separability (of the reference)": (
                f"{systems.separability:.2f} ({systems.separability_reference:.2f})"
            ),
            f"systems by {name}: agreement with confidence": _maybe(systems.confidence_agreement),
            f"systems by {name}: Brier of pairs": _maybe(systems.brier),
        }
    return found


def _against(name: str, against: AgainstReference) -> dict[str, str]:
    found = {
        f"pairs in the order of {name}, %": _percent(against.pairwise),
        f"AUROC against {name}": _number(against.auroc),
        f"Spearman with {name}": _number(against.spearman),
        f"Kendall with {name}": _number(against.kendall),
    }
    if (curve := against.best_of_k) is not None:
        points = ", ".join(f"{k}: {100 * p.value:.1f}" for k, p in zip(curve.ks, curve.chosen, strict=True))
        found[f"{name} of the best of K, %"] = points
        found[f"{name} lost at the last K, points"] = _percent(curve.loss)
    return found


def _percent(estimate: ItemEstimate | None) -> str:
    if estimate is None:
        return "not defined"
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _number(estimate: ItemEstimate | None) -> str:
    return "not defined" if estimate is None else str(estimate)


def _maybe(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
