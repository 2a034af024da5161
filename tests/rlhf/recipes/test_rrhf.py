"""RRHF's loss is the paper's, by hand; a ranking is learned; what cannot be ranked is refused at the door."""

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes import RRHF, SamplingOptions, train_rlhf
from rlhf.recipes.drawn import Drawn
from rlhf.recipes.rrhf import (
    Candidates,
    RRHFSpec,
    candidates,
    likelihood_loss,
    ranking_loss,
    train_rrhf,
)

# four candidates with p = -1, -2, -3, -2.5 (means), rewards 0, 2, 1, 2
LOG_PROBS = [[-1.0, -1.0], [-2.0], [-4.0, -3.0, -2.0], [-2.5, -2.5]]
REWARDS = [0.0, 2.0, 1.0, 2.0]


def rows(dtype=torch.float64, grad=False):
    return [torch.tensor(row, dtype=dtype, requires_grad=grad) for row in LOG_PROBS]


def test_ranking_by_hand():
    """Pairs (worse, better): (0,1) 1, (0,2) 2, (0,3) 1.5, (2,1) 0, (2,3) 0; (1,3) are equal, so no pair."""
    assert float(ranking_loss(rows(), REWARDS)) == pytest.approx(4.5)


def test_length_power_of_zero_compares_sums():
    """Sums -2, -2, -9, -5: (0,1) 0, (0,2) 7, (0,3) 3, (2,1) 0, (2,3) 0."""
    assert float(ranking_loss(rows(), REWARDS, length_power=0.0)) == pytest.approx(10.0)


def test_likelihood_is_that_of_the_first_best():
    assert float(likelihood_loss(rows(), REWARDS)) == pytest.approx(2.0)
    assert float(likelihood_loss(rows(), [0, 1, 3, 2], reduce="sum")) == pytest.approx(9.0)
    assert float(likelihood_loss(rows(), [0, 1, 3, 2], reduce="mean")) == pytest.approx(3.0)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_gradients_are_those_of_finite_differences(power):
    def loss(*log_probs):
        ranking = ranking_loss(log_probs, REWARDS, length_power=power)
        return ranking + likelihood_loss(log_probs, REWARDS)

    moved = [row.detach() + 0.01 * i for i, row in enumerate(rows())]  # off the hinge's corner
    assert torch.autograd.gradcheck(loss, [row.requires_grad_(True) for row in moved])


def test_candidates_are_different_responses_of_prompts_whose_scores_differ():
    def one(*scores, responses):
        return Drawn(item={"id": "x", "prompt": "?"}, responses=responses, scores={"reward": scores})

    found = candidates(
        [one(1.0, 1.0, responses=("a", "b")), one(0.0, None, 1.0, 0.0, responses=("a", "b", "c", "a"))]
    )
    assert [(group.responses, group.rewards) for group in found] == [(("a", "c"), (0.0, 1.0))]


@pytest.mark.parametrize(
    ("responses", "rewards", "words"),
    [
        (("a",), (1.0,), "at least two"),
        (("a", "b"), (1.0,), "at least two"),
        (("a", "b"), (1.0, 1.0), "nothing to rank"),
    ],
)
def test_what_cannot_be_ranked_is_refused(responses, rewards, words):
    with pytest.raises(ValueError, match=words):
        Candidates(prompt="?", responses=responses, rewards=rewards)


GROUPS = [
    Candidates(
        prompt=[{"role": "user", "content": "?" * (n + 1)}],
        responses=("aaa", "bb", "cccc"),
        rewards=(1.0, 0.0, 0.5),
    )
    for n in range(6)
]


@pytest.mark.parametrize("full", [False, True])
def test_ranking_is_learned_and_only_what_trains_moves(tmp_path, full):
    loaded = tiny_model()
    model = loaded.model.requires_grad_(True) if full else add_adapter(loaded.model, FineTuneSpec(rank=2))
    before = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    spec = RRHFSpec(learning_rate=1e-2, batch_size=3, epochs=15, max_tokens=64)
    log = train_rrhf(model, loaded.tokenizer, GROUPS, spec, work_dir=tmp_path)
    assert len(log) == 30
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert log[-1]["ranked"] > log[0]["ranked"] or log[0]["ranked"] == 1
    assert log[0]["loss"] == pytest.approx(log[0]["ranking"] + log[0]["likelihood"], rel=1e-5)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


class Even:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [1.0 - ord((c[0]["content"] or " ")[0]) % 2 for c in completions]


class Same(Even):
    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [1.0] * len(prompts)


ITEMS = [{"id": f"i{n}", "prompt": [{"role": "user", "content": f"Say {n}"}]} for n in range(4)]


def run(recipe, folder, reward):
    loaded = tiny_model()
    model = add_adapter(loaded.model, FineTuneSpec(rank=2))
    return train_rlhf(recipe, model, loaded.tokenizer, ITEMS, reward, work_dir=folder, progress=False)


def test_the_recipe_draws_ranks_and_logs(tmp_path):
    sampling = SamplingOptions(samples=4, max_new_tokens=4)
    result = run(RRHF(sampling=sampling, spec=RRHFSpec(batch_size=2, epochs=2)), tmp_path, Even())
    assert {"loss", "ranking", "likelihood", "ranked", "gradient_norm"} <= set(result.rounds[0])
    assert (tmp_path / "drawn" / "drawn.json").is_file()


def test_equal_candidates_and_single_ones_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="at least 2 of them"):
        RRHF(sampling=SamplingOptions(samples=1))
    with pytest.raises(ValueError, match="nothing to rank"):
        run(RRHF(sampling=SamplingOptions(samples=3, max_new_tokens=3)), tmp_path, Same())
    assert not (tmp_path / "rrhf").exists()
