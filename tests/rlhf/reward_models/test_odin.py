"""ODIN's loss is the paper's formula, its correlation that of the whole batch; constant features are free."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_items import BASE, SPEC, opened, stories, view
from scipy.stats import pearsonr

from rlhf.reward_models import ComparedItem, compared_by_approval, train_odin
from rlhf.reward_models.features import FEATURES, measure_features
from rlhf.reward_models.model import RewardHead
from rlhf.reward_models.odin import OdinObjective, correlation, decorrelation, orthogonality


def two_items():
    return [
        ComparedItem(item=name, view=view(n), responses=("x", "y"), pairs=((0, 1),))
        for n, name in enumerate("ab")
    ]


LENGTHS = [np.array([[10.0], [20.0]]), np.array([[30.0], [40.0]])]


def test_hand_worked_batch():
    """q = (1, 0 | 0, 1), l = (1, 2 | 3, 4), lengths 10 to 40.

    rho(L, q) = 0 and rho(L, l) = 1, so the price is 0. q + l = (2, 2 | 3, 5): margins 0 and -2, losses
    ln 2 = .693147 and softplus(2) = 2.126928.
    """
    objective = OdinObjective(two_items(), LENGTHS, names=["length"])
    outputs = [torch.tensor([[1.0, 1.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [1.0, 4.0]])]
    loss, logged = objective.loss(outputs, [0, 1])
    assert loss.item() == pytest.approx((0.693147 + 2.126928) / 2, abs=1e-5)
    assert logged["correlation/quality/length"] == pytest.approx(0, abs=1e-6)
    assert logged["correlation/feature/length"] == pytest.approx(1, abs=1e-6)
    assert (logged["accuracy"], logged["undefined"]) == (0.5, 0)


def test_hand_worked_price_of_a_quality_that_follows_length():
    """q = (1, 2, 3, 4) and l = (4, 3, 2, 1) over lengths 10 to 40: |1| + 1 - (-1) = 3; half at lambda .5."""
    outputs = [torch.tensor([[1.0, 4.0], [2.0, 3.0]]), torch.tensor([[3.0, 2.0], [4.0, 1.0]])]
    price, _, _ = decorrelation(torch.cat(outputs), torch.tensor(np.concatenate(LENGTHS)).float())
    assert price.item() == pytest.approx(3, abs=1e-6)
    full = OdinObjective(two_items(), LENGTHS, names=["length"]).loss(outputs, [0, 1])[0]
    half = OdinObjective(two_items(), LENGTHS, names=["length"], length_weight=0.5).loss(outputs, [0, 1])[0]
    assert (full - half).item() == pytest.approx(1.5, abs=1e-5)


def test_correlation_is_over_the_batch_not_over_each_item():
    """Within each item q falls with length, over both it rises."""
    q = torch.tensor([2.0, 1.0, 12.0, 11.0])
    lengths = torch.tensor([10.0, 20.0, 30.0, 40.0])
    found = correlation(q, lengths)
    assert found is not None
    assert found.item() == pytest.approx(pearsonr(q.numpy(), lengths.numpy()).statistic, abs=1e-6)
    assert found.item() > 0.8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=12))
def test_correlation_equals_scipys_or_is_not_defined(rows):
    x, y = (torch.tensor(side, dtype=torch.float64) for side in zip(*rows, strict=True))
    found = correlation(x, y)
    if len(set(x.tolist())) == 1 or len(set(y.tolist())) == 1:
        assert found is None
    else:
        assert found is not None
        assert found.item() == pytest.approx(pearsonr(x.numpy(), y.numpy()).statistic, abs=1e-9)


def test_equal_lengths_in_a_batch_cost_nothing_and_are_counted():
    outputs = torch.randn(4, 2, requires_grad=True)
    price, found, undefined = decorrelation(outputs, torch.full((4, 1), 7.0))
    assert price.item() == 0
    assert undefined == 2
    assert found == {"quality/0": 0.0, "feature/0": 0.0}
    flat = torch.ones(4, 2, requires_grad=True)  # outputs that are all equal: no direction to move them in
    price, _, undefined = decorrelation(flat, torch.arange(4.0)[:, None])
    assert (price.item(), undefined) == (0, 2)


def test_features_that_are_not_defined_for_a_response_leave_it_out():
    outputs = torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0], [100.0, -5.0]])
    features = torch.tensor([[1.0], [2.0], [3.0], [math.nan]])
    price, found, _ = decorrelation(outputs, features)
    assert found["quality/0"] == pytest.approx(1)
    assert price.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_gradients_equal_finite_differences(k):
    torch.manual_seed(0)
    features = torch.randn(6, k, dtype=torch.float64)
    outputs = torch.randn(6, k + 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: decorrelation(x, features)[0], (outputs,))
    head = RewardHead(5, k + 1, unit=True, seed=0).double()

    def overlap(weight):
        centred = weight - weight.mean(1, keepdim=True)
        return orthogonality(centred / centred.norm(dim=1, keepdim=True))

    assert torch.autograd.gradcheck(overlap, (head.weight,))
    assert overlap(head.weight).item() == pytest.approx(orthogonality(head.directions()).item())


def test_odin_k_is_the_sum_of_the_prices_of_its_features():
    torch.manual_seed(1)
    outputs, features = torch.randn(8, 4), torch.randn(8, 3)
    together, _, _ = decorrelation(outputs, features)
    apart = [decorrelation(outputs[:, [0, j + 1]], features[:, [j]])[0] for j in range(3)]
    assert together.item() == pytest.approx(sum(price.item() for price in apart), abs=1e-5)


def test_heads_are_centred_and_of_length_one():
    directions = RewardHead(16, 3, unit=True, seed=0).directions()
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(directions.sum(1), torch.zeros(3), atol=1e-6, rtol=0)


def test_gradients_of_two_shares_add_up_to_those_of_the_whole_batch():
    """What two processes do: each sees all outputs, and goes back through its own."""
    torch.manual_seed(2)
    outputs, features = torch.randn(6, 2), torch.randn(6, 1)

    def gradient(own):
        leaf = outputs[own].clone().requires_grad_(True)
        whole = outputs.clone().index_copy(0, torch.tensor(own), leaf)
        (found,) = torch.autograd.grad(decorrelation(whole, features)[0], leaf)
        return found

    whole = gradient([0, 1, 2, 3, 4, 5])
    torch.testing.assert_close(torch.cat([gradient([0, 1, 2]), gradient([3, 4, 5])]), whole)
    alone = outputs[:3].clone().requires_grad_(True)  # a correlation of its own would be another number
    (local,) = torch.autograd.grad(decorrelation(alone, features[:3])[0], alone)
    assert not torch.allclose(local, whole[:3], atol=1e-3)


def test_quality_is_the_reward_and_follows_length_less_than_without_the_price(tmp_path):
    """Of every pair the longer is better, and only length tells them apart."""
    items = [
        dataclasses.replace(one, responses=("yes " * (3 + n % 3), "yes " * (1 + n % 2)), pairs=((0, 1),))
        for n, one in enumerate(compared_by_approval(stories(8)))
    ]
    spec = dataclasses.replace(SPEC, epochs=25, items_per_step=8, learning_rate=5e-3, head_learning_rate=1e-2)

    def final(weight):
        model = train_odin(
            opened(),
            items,
            spec,
            base=BASE,
            work_dir=tmp_path / str(weight),
            length_weight=weight,
            progress=False,
        )
        texts = [text for one in items for text in one.responses]
        views = [one.view for one in items for _ in one.responses]
        return model, abs(pearsonr([len(text) for text in texts], model.score(views, texts)).statistic)

    model, priced = final(1.0)
    _, free = final(0.0)
    assert model.record.heads == ("quality", "length")
    assert model.record.training["last_correlations"]["correlation/feature/length"] > 0.8
    assert priced < 0.5 < free


def test_features_count_what_they_say():
    program = "```python\nx = 1  # one\nif x:\n    print(x)\n```"
    text = 'Clearly it is so: "Ida slept" and "Tom ate". Of course!'
    tokenizer = opened().tokenizer
    found = measure_features([program, text], ["length", *FEATURES], tokenizer)
    assert found[0, 3:].tolist() == pytest.approx([1 / 3, 2.0])
    assert found[1, :3].tolist() == [len(text.encode()), 2.0, 2.0]
    assert np.isnan(found[1, 3:]).all()
    for names in ([], ["size"], ["length", "length"]):
        with pytest.raises(ValueError, match="features must be some of"):
            measure_features(["x"], names, tokenizer)


def test_a_feature_that_never_varies_is_refused_before_training(tmp_path):
    items = compared_by_approval(stories())
    with pytest.raises(ValueError, match="'complexity' is the same in all 15 responses"):
        train_odin(
            opened(),
            items,
            SPEC,
            base=BASE,
            work_dir=tmp_path,
            features=("length", "complexity"),
            progress=False,
        )
