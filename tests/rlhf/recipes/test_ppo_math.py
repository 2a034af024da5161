"""The mathematics against numbers worked by hand."""

import math

import pytest
import torch

from rlhf.recipes.ppo_math import (
    KLController,
    RunningScale,
    add_at_last_token,
    clipped_surrogate,
    clipped_value_loss,
    estimate_advantages,
    group_advantages,
    kl_k1,
    kl_k3,
    macro_actions,
    masked_moments,
    whiten,
)

REWARDS, VALUES = torch.tensor([[0.0, 0, 1]]), torch.full((1, 3), 0.5)


@pytest.mark.parametrize("padding", [0, 4])
def test_advantages_equal_hand_worked_numbers_whatever_the_padding(padding):
    pad = (0, padding)
    mask = torch.nn.functional.pad(torch.ones(1, 3), pad)
    rewards = torch.nn.functional.pad(REWARDS, pad, value=9.0)
    values = torch.nn.functional.pad(VALUES, pad, value=9.0)
    A, returns, real = estimate_advantages(rewards, values, mask, macro_actions(mask))
    torch.testing.assert_close(A[real > 0], torch.tensor([0.45125, 0.475, 0.5]))
    torch.testing.assert_close(returns[real > 0], torch.tensor([0.95125, 0.975, 1.0]))


def test_advantages_over_pairs_of_tokens_sum_rewards_and_average_values():
    mask = torch.ones(1, 3)
    A, returns, real = estimate_advantages(REWARDS, VALUES, mask, macro_actions(mask, 2))
    torch.testing.assert_close(A, torch.tensor([[0.475, 0.5]]))
    torch.testing.assert_close(returns, torch.tensor([[0.975, 1.0]]))
    assert real.tolist() == [[1.0, 1.0]]


def test_advantages_of_one_token_actions_equal_the_recursion_written_out():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 5, 7, generator=generator)
    mask = (torch.arange(7) < torch.tensor([[7], [5], [1], [3], [6]])).float()
    A, _, real = estimate_advantages(rewards, values, mask, macro_actions(mask), gamma=0.9, lam=0.8)
    for row in range(5):
        n = int(mask[row].sum())
        r, v = rewards[row].tolist(), [*values[row, :n].tolist(), 0.0]
        for t in range(n):
            terms = [(0.9 * 0.8) ** (k - t) * (r[k] + 0.9 * v[k + 1] - v[k]) for k in range(t, n)]
            assert float(A[row, t]) == pytest.approx(sum(terms), abs=1e-5)
    assert (A[real == 0] == 0).all()


def test_running_scale_clips_then_counts_then_divides():
    scale = RunningScale(clip=10.0)
    assert scale([0.0, 10.0]) == pytest.approx([0, 1.41421], abs=1e-5)
    assert scale([10.0, 10.0]) == pytest.approx([2, 2])
    assert (scale.mean, scale.std) == pytest.approx((7.5, 5.0))
    assert RunningScale(clip=10.0)([25.0, 10.0, 0.0]) == pytest.approx([1.73205, 1.73205, 0], abs=1e-5)


@pytest.mark.parametrize("scores", [[10.0] * 4, [3.0]])
def test_running_scale_leaves_scores_without_spread_alone(scores):
    assert RunningScale(clip=10.0)(scores) == scores


def test_running_scale_off_only_clips():
    assert RunningScale(clip=2.0, enabled=False)([5.0, 1.0, -9.0]) == [2.0, 1.0, -2.0]


def test_kl_controller_moves_by_hand_worked_step_or_not_at_all():
    adaptive, fixed = KLController(coefficient=0.01, target=4.0), KLController(coefficient=0.01)
    adaptive.update(8.0, sequences=512)
    fixed.update(8.0, sequences=512)
    assert adaptive.coefficient == pytest.approx(0.0101024)
    assert fixed.coefficient == 0.01


def test_kl_estimates_agree_with_the_exact_divergence():
    p, q = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.2, 0.5, 0.3])
    exact = float((p * (p / q).log()).sum())
    for estimate in (kl_k1, kl_k3):
        assert float((p * estimate(p.log(), q.log())).sum()) == pytest.approx(exact, abs=1e-6)
    assert float(kl_k3(torch.tensor(math.log(2)), torch.tensor(0.0))) == pytest.approx(0.1931, abs=1e-4)
    assert (kl_k3(p.log(), q.log()) >= 0).all()


def test_policy_loss_takes_the_worse_of_plain_and_clipped():
    ratio, A = torch.tensor([1.5, 0.5]), torch.tensor([1.0, -1.0])
    loss = clipped_surrogate(ratio.log(), torch.zeros(2), A, clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([-1.2, 0.8]))


def test_value_loss_takes_the_worse_of_plain_and_clipped():
    loss = clipped_value_loss(torch.tensor([0.9]), torch.tensor([0.5]), torch.tensor([1.0]), clip=0.2)
    torch.testing.assert_close(loss, torch.tensor([0.045]))


def test_whitening_ignores_padding_and_adds_up_over_parts():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 5, generator=generator)
    mask = (torch.rand(6, 5, generator=generator) > 0.3).float()
    white = whiten(values, mask)
    kept = white[mask > 0]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kept.std(unbiased=False)) == pytest.approx(1, abs=1e-5)
    moments = masked_moments(values[:2], mask[:2]) + masked_moments(values[2:], mask[2:])
    torch.testing.assert_close(whiten(values[2:], mask[2:], moments), white[2:])


def test_group_advantages_compare_rows_of_one_group_only():
    totals = torch.tensor([3.0, 0, 0, 5, 5, float("nan")])
    groups = torch.tensor([7, 7, 7, 2, 2, 2])
    torch.testing.assert_close(group_advantages(totals, groups), torch.tensor([3.0, -1.5, -1.5, 0, 0, 0]))
    scaled = group_advantages(totals, groups, scale="group")
    torch.testing.assert_close(scaled[:3], torch.tensor([3, -1.5, -1.5]) / (math.sqrt(3) + 1e-4))


def test_macro_rule_is_checked_and_padding_joins_the_last_action():
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]])
    assert macro_actions(mask, 2).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    found = macro_actions(mask, lambda ids: [i // 3 for i in range(len(ids))], [[5, 6, 7], [5, 6, 7, 8]])
    assert found.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    with pytest.raises(ValueError, match="rising by 0 or 1"):
        macro_actions(mask, lambda ids: [0, 2, 3, 4][: len(ids)], [[5, 6, 7], [5, 6, 7, 8]])
    with pytest.raises(ValueError, match="at least one token"):
        macro_actions(mask, 0)


def test_score_lands_on_the_last_real_token():
    mask = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    added = add_at_last_token(torch.zeros(2, 3), torch.tensor([2.0, 3.0]), mask)
    assert added.tolist() == [[0, 2, 0], [0, 0, 3]]
