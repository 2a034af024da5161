"""Curves with known values: what is compared is read where the curves have the same KL or reward."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study.equal_terms import Curve, PathPoint, as_cells, common_value, compare_at

ITEMS = tuple(f"item {i}" for i in range(400))


def point(fraction: float, kl: float, approval: float, right: float) -> PathPoint:
    """The same approval of every answer; the first `right` of the items answered rightly."""
    count = len(ITEMS)
    truth = [float(i < right * count) for i in range(count)]
    return PathPoint(
        fraction=fraction,
        kl=[kl] * count,
        reward=[approval] * count,
        approval=[approval] * count,
        truth=truth,
    )


def curve(recipe: str, *points: PathPoint, seed: int = 0) -> Curve:
    return Curve(recipe=recipe, reward="approval", seed=seed, points=points, items=ITEMS)


START = point(0.0, 0.0, 0.4, 0.8)
LONG = curve("ppo", START, point(0.5, 2.0, 0.6, 0.6), point(1.0, 4.0, 0.8, 0.4))
SHORT = curve("dpo", START, point(1.0, 1.0, 0.5, 0.8))


def test_a_recipe_that_ran_longer_is_read_where_the_shorter_one_ended() -> None:
    assert common_value([LONG, SHORT], "kl") == 1.0

    long, short = compare_at([LONG, SHORT], "kl", reference="ppo/approval/0")
    assert long.measures["approval"].value == pytest.approx(0.5)  # half of the way to .6
    assert long.measures["correctness"].value == pytest.approx(0.7)
    assert short.measures["correctness"].value == pytest.approx(0.8)
    assert short.differences["correctness"].value == pytest.approx(0.1)
    assert (long.reached, short.reached, long.differences) == (True, True, {})


def test_a_recipe_that_lowers_the_reward_does_not_move_the_others_to_their_start():
    falling = curve("rrhf", START, point(1.0, 1.0, 0.1, 0.2))
    value = common_value([LONG, SHORT, falling], "reward")
    assert value == common_value([LONG, SHORT], "reward") > common_value([falling], "reward")
    reached = {
        one.name: one.reached for one in compare_at([LONG, SHORT, falling], "reward", reference=LONG.name)
    }
    assert reached == {LONG.name: True, SHORT.name: True, falling.name: False}


def test_only_cells_of_one_reward_are_compared_at_equal_reward() -> None:
    other = replace(SHORT, reward="oracle", seed=1)
    assert [c.name for c in compare_at([LONG, SHORT, other], "kl", reference=LONG.name)][-1] == other.name
    found = compare_at([LONG, other, SHORT], "reward", reference=LONG.name)
    assert [one.name for one in found] == [LONG.name, SHORT.name]


def test_equal_reward_is_another_place_than_equal_kl() -> None:
    dear = curve("kto", START, point(1.0, 4.0, 0.6, 0.7))
    long, other = compare_at([LONG, dear], "reward", reference="ppo/approval/0")
    assert long.value == pytest.approx(0.6)
    assert (long.measures["kl"].value, other.measures["kl"].value) == (pytest.approx(2.0), pytest.approx(4.0))


def test_a_curve_that_does_not_get_there_is_read_at_its_end_and_says_so() -> None:
    _, short = compare_at([LONG, SHORT], "kl", reference="ppo/approval/0", value=3.0)
    assert not short.reached
    assert short.measures["kl"].value == pytest.approx(1.0)


def test_differences_are_paired_and_cover_the_truth() -> None:
    rng = np.random.default_rng(0)

    def noisy(recipe: str, rise: float) -> Curve:
        count = len(ITEMS)
        ends = [(0.0, 0.3), (1.0, 0.3 + rise)]
        points = [
            PathPoint(
                fraction=f,
                kl=(f + (f > 0) * rng.normal(0, 0.3, count)).tolist(),
                reward=[f] * count,
                approval=(rng.random(count) < mean).astype(float).tolist(),
                truth=[0.0] * count,
            )
            for f, mean in ends
        ]
        return curve(recipe, *points)

    covered = 0
    for _ in range(40):
        first, second = noisy("ppo", 0.2), noisy("dpo", 0.4)
        found = compare_at([first, second], "kl", reference="ppo/approval/0", value=1.0, draws=400)[1]
        difference = found.differences["approval"]
        covered += difference.low <= 0.2 <= difference.high
    assert covered >= 34  # of 40 at 95 %


def test_no_wrong_answer_is_no_rate_of_false_approval() -> None:
    perfect = curve("oracle", point(0.0, 0.0, 0.5, 1.0), point(1.0, 1.0, 0.9, 1.0))
    assert as_cells([perfect])[0]["fpr"] is None
    found = compare_at([perfect, SHORT], "kl", reference="oracle/approval/0")
    assert found[0].measures["false_positives"] is None
    assert found[1].differences["false_positives"] is None


def test_curves_on_other_items_or_without_a_start_are_refused() -> None:
    other = Curve(recipe="rrhf", reward="approval", seed=0, points=SHORT.points, items=ITEMS[::-1])
    with pytest.raises(ValueError, match="other items"):
        compare_at([LONG, other], "kl", reference="ppo/approval/0")
    with pytest.raises(ValueError, match="no curve 'nope'"):
        compare_at([LONG], "kl", reference="nope")
    with pytest.raises(ValueError, match="from fraction 0 to 1"):
        curve("dpo", START)
    with pytest.raises(ValueError, match="one number per item"):
        PathPoint(fraction=0.0, kl=[0.0], reward=[0.0, 1.0], approval=[0.0], truth=[0.0])


def test_a_curve_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    SHORT.save(tmp_path / "curve.json")
    assert Curve.load(tmp_path / "curve.json") == SHORT
