"""Rewards per token reach PPO's critic token by token, and are refused where they would be added up."""

import pytest
import torch

from activations.testing import tiny_model
from rlhf.recipes import (
    DPO,
    GRPO,
    KTO,
    PPO,
    RLOO,
    RRHF,
    BestOfN,
    RejectionSampling,
    SamplingOptions,
    StopRule,
    train_rlhf,
)
from rlhf.rewards import Readable, TokenReward, Weighted

SAMPLING = SamplingOptions(samples=4, max_new_tokens=8)
ITEMS = [{"id": str(n), "prompt": "say" + "?" * n} for n in range(4)]


class VowelTokens(TokenReward):
    """A share of 1 for every token that is a vowel."""

    def __init__(self, sign=1.0):
        super().__init__("vowels", frozenset())
        self.sign = sign

    def score_tokens(self, responses, ids, columns):
        vowels = {token for token in range(256) if chr(token + 33) in "AEIOUaeiou"}
        return [[self.sign * (token in vowels) / 8 for token in row] for row in ids]


class LastToken(TokenReward):
    """What a plain reward gives, put on the last token by hand."""

    def __init__(self):
        super().__init__("last", frozenset())

    def score_tokens(self, responses, ids, columns):
        return [[0.0] * (len(row) - 1) + [float(len(set(row)))] for row in ids]


class Plain:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [float(len(set(row))) for row in completion_ids]


def train(folder, reward, **changes):
    loaded = tiny_model()
    model = loaded.model.requires_grad_(True)
    recipe = PPO(**({"rounds": 3, "prompts": 4, "sampling": SAMPLING, "learning_rate": 1e-3} | changes))
    stop = StopRule(letter=None, entropy=None, clipped=None)
    result = train_rlhf(
        recipe, model, loaded.tokenizer, ITEMS, reward, work_dir=folder, stop=stop, progress=False
    )
    kept = [{k: v for k, v in e.items() if not k.startswith("seconds")} for e in result.rounds]
    return kept, [p.detach().clone() for p in model.parameters()]


def test_a_reward_on_the_last_token_is_the_plain_reward(tmp_path):
    plain, weights = train(tmp_path / "plain", Plain())
    by_token, others = train(tmp_path / "token", LastToken())
    for one, other in zip(plain, by_token, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_where_a_token_reward_stands_matters(tmp_path):
    class First(LastToken):
        def score_tokens(self, responses, ids, columns):
            return [row[::-1] for row in super().score_tokens(responses, ids, columns)]

    _, last = train(tmp_path / "last", LastToken())
    _, first = train(tmp_path / "first", First())
    assert any(not torch.equal(a, b) for a, b in zip(first, last, strict=True))


def test_token_rewards_are_learned(tmp_path):
    rounds, _ = train(
        tmp_path, VowelTokens(), rounds=8, learning_rate=3e-2, kl_coefficient=0.001, value_learning_rate=1e-2
    )
    rewards = [entry["reward"] for entry in rounds]
    assert sum(rewards[-2:]) > 2 * sum(rewards[:2])


def test_responses_of_unknown_reward_are_left_out_and_clipped_ones_follow_the_policy(tmp_path):
    class Half(LastToken):
        def score_tokens(self, responses, ids, columns):
            found = super().score_tokens(responses, ids, columns)
            return [None if i % 2 else row for i, row in enumerate(found)]

    rounds, _ = train(tmp_path / "half", Half(), rounds=1)
    assert rounds[0]["reward/left_out"] == 0.5
    penalised, _ = train(tmp_path / "penalty", LastToken(), rounds=1, clipped="penalty", clipped_score=-1.0)
    assert penalised[0]["clipped"] == 1
    assert penalised[0]["reward/left_out"] == penalised[0]["reward/std"] == 0, "all score -1"
    with pytest.raises(ValueError, match="left out every response"):
        train(tmp_path / "drop", LastToken(), rounds=1, clipped="drop")


@pytest.mark.parametrize(
    "recipe",
    [
        GRPO(sampling=SAMPLING, prompts=4, rows=4),
        RLOO(sampling=SAMPLING, prompts=4, rows=4),
        DPO(sampling=SAMPLING),
        KTO(sampling=SAMPLING),
        RRHF(sampling=SAMPLING),
        RejectionSampling(sampling=SAMPLING),
        BestOfN(sampling=SAMPLING),
        PPO(sampling=SAMPLING, advantage="group", prompts=4),
    ],
    ids=lambda recipe: type(recipe).__name__,
)
def test_other_recipes_refuse_them_before_training(tmp_path, recipe):
    loaded = tiny_model()
    model = loaded.model.requires_grad_(True)
    with pytest.raises(ValueError, match="gives a reward per token"):
        train_rlhf(
            recipe, model, loaded.tokenizer, ITEMS, VowelTokens(), work_dir=tmp_path / "out", progress=False
        )
    assert not (tmp_path / "out").exists()


def test_a_monitor_counts_by_its_sum_and_a_weighted_sum_is_refused(tmp_path):
    loaded = tiny_model()
    model = loaded.model.requires_grad_(True)
    result = train_rlhf(
        BestOfN(sampling=SAMPLING),
        model,
        loaded.tokenizer,
        ITEMS,
        Plain(),
        monitors={"last": LastToken()},
        work_dir=tmp_path,
        progress=False,
    )
    assert result.rounds[0]["last"] == pytest.approx(result.rounds[0]["reward"])
    with pytest.raises(ValueError, match="'vowels' rewards tokens"):
        Weighted([(1.0, VowelTokens()), (1.0, Readable())])
    with pytest.raises(ValueError, match="needs completion_ids"):
        VowelTokens()(["?"], ["a"])


def test_rewards_of_the_wrong_length_are_refused(tmp_path):
    class Short(LastToken):
        def score_tokens(self, responses, ids, columns):
            return [[1.0] for _ in ids]

    with pytest.raises(ValueError, match="1 token rewards for a response of"):
        train(tmp_path, Short(), rounds=1)


@pytest.mark.parametrize("kind", [GRPO, RLOO, DPO, RRHF, RejectionSampling])
def test_one_sample_per_prompt_is_refused_by_recipes_that_compare(kind):
    with pytest.raises(ValueError, match="at least 2"):
        kind(sampling=SamplingOptions(samples=1))
