"""Objectives along a run: planted over-optimisation is found, and the saved runs can be read."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from rlhf.diagnostics.mismatch import Mismatch, mismatch, mismatch_page
from rlhf.diagnostics.trend import PEAK, RISES

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "rlhf"


def write(path, *, peak=True, rounds=20, **changes):
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, rounds)
    truth = np.where(x < 0.4, x / 0.4, (1 - x) / 0.6) if peak else x
    lines = []
    for n in range(rounds):
        line = {
            "round": n,
            "kl": 4 * x[n] ** 2,
            "kl/coefficient": 0.1,
            "reward": 0.3 + 0.6 * x[n] + rng.normal(0, 0.02),
            "truth": 0.5 + 0.3 * truth[n] + rng.normal(0, 0.02),
        }
        if n % 5 == 4:
            line |= {"heldout/approval": 0.2 + 0.5 * x[n], "heldout/oracle": 0.4 + 0.2 * truth[n]}
        lines.append(line | changes)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def test_a_planted_peak_of_the_truth_under_a_rising_reward_is_over_optimisation(tmp_path):
    lines = write(tmp_path / "rounds.jsonl")
    found = mismatch(tmp_path / "rounds.jsonl", run="planted")
    assert found.trends["reward"].verdict == RISES
    assert found.trends["truth"].verdict == PEAK
    assert abs(found.trends["truth"].peak - 8) <= 2
    assert found.over_optimised
    last = found.checkpoints[-1]
    assert last.sqrt_kl == pytest.approx(2.0)
    assert last.policy == pytest.approx(lines[-1]["reward"] - 0.1 * 4.0)
    assert found.checkpoints[0].held_out_truth is None


def test_a_truth_that_rises_with_the_reward_is_not(tmp_path):
    write(tmp_path / "rounds.jsonl", peak=False)
    found = mismatch(tmp_path / "rounds.jsonl", run="honest")
    assert not found.over_optimised


def test_correlations_are_spearmans_of_levels_and_of_changes(tmp_path):
    lines = write(tmp_path / "rounds.jsonl")
    found = mismatch(tmp_path / "rounds.jsonl", run="planted")
    by_pair = {(one.first, one.second): one for one in found.agreements}
    assert len(by_pair) == 10
    reward, truth = ([line[name] for line in lines] for name in ("reward", "truth"))
    pair = by_pair["reward", "truth"]
    assert pair.checkpoints == 20
    assert pair.levels == pytest.approx(spearmanr(reward, truth).statistic)
    assert pair.changes == pytest.approx(spearmanr(np.diff(reward), np.diff(truth)).statistic)
    held_out = by_pair["held_out_approval", "held_out_truth"]
    assert held_out.checkpoints == 4
    assert held_out.levels is not None


def test_the_record_survives_its_file_and_becomes_a_page(tmp_path):
    write(tmp_path / "rounds.jsonl")
    found = mismatch(tmp_path / "rounds.jsonl", run="planted")
    found.save(tmp_path / "mismatch.json")
    assert Mismatch.read(tmp_path / "mismatch.json") == found
    page = mismatch_page([found])
    assert "| `planted` | 20 | 2.00 | rises: " in page
    assert "peaks, then falls" in page
    with pytest.raises(ValueError, match="no runs"):
        mismatch_page([])


def test_the_control_has_no_truth_beside_its_reward(tmp_path):
    write(tmp_path / "rounds.jsonl")
    found = mismatch(tmp_path / "rounds.jsonl", run="oracle", oracle=True)
    assert all({one.first, one.second} != {"reward", "truth"} for one in found.agreements)
    assert "(the reward itself)" in mismatch_page([found])


def test_runs_too_short_or_of_another_kind_are_refused(tmp_path):
    write(tmp_path / "two.jsonl", rounds=2)
    with pytest.raises(ValueError, match="has 2 rounds"):
        mismatch(tmp_path / "two.jsonl", run="short")
    (tmp_path / "loss.jsonl").write_text('{"loss": 1.0}\n')
    with pytest.raises(ValueError, match=r"loss.jsonl:1: no round"):
        mismatch(tmp_path / "loss.jsonl", run="other")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_saved_runs_are_read(path):
    found = mismatch(path, run=path.stem, oracle="oracle" in path.stem)
    assert found.trends["reward"].verdict == RISES
    assert found.over_optimised == ("rlhf" in path.stem)
