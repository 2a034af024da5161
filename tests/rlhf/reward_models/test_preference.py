"""Bradley-Terry agrees with TRL, and pairs come from people or from a pool."""

import dataclasses

import pytest
import torch
from reward_items import BASE, SPEC, opened, stories, view

from activations.testing import tiny_config, tiny_tokenizer
from rlhf.reward_models import (
    ComparedItem,
    RewardModel,
    compared_by_approval,
    compared_by_people,
    train_preference,
)
from rlhf.reward_models.preference import PreferenceObjective, bradley_terry_loss, paired_outputs

TEXTS = [("yes, the lake", "no"), ("blue", "red and long"), ("a", "bb")]
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"Question {n}?"}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
    for n, (chosen, rejected) in enumerate(TEXTS)
]


@pytest.mark.parametrize("center", [None, 0.3])
def test_loss_equals_trls_reward_trainer(tmp_path, center):
    """The same weights and the same ids in both: TRL's batch, its own loss, and ours."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    torch.manual_seed(0)
    config = tiny_config(num_labels=1)
    theirs = AutoModelForSequenceClassification.from_config(config)
    torch.nn.init.normal_(theirs.score.weight, std=0.5)
    trainer = RewardTrainer(
        model=theirs,
        args=RewardConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=3,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            center_rewards_coefficient=center,
        ),
        train_dataset=Dataset.from_list(PAIRS),
        processing_class=tiny_tokenizer(),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(theirs, dict(batch))
    lengths = batch["attention_mask"].sum(1)
    hidden = theirs.model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    rewards = (hidden[torch.arange(len(lengths)), lengths - 1] @ theirs.score.weight.T)[:, 0]
    better, worse = rewards.chunk(2)
    loss = bradley_terry_loss(better, worse, center=center or 0.0)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(loss.item() - 0.6931) > 1e-2


def test_loss_of_hand_worked_pairs():
    """Margins 1 and -2: softplus(-1) = .313262 and softplus(2) = 2.126928."""
    better, worse = torch.tensor([1.5, -1.0]), torch.tensor([0.5, 1.0])
    assert bradley_terry_loss(better, worse).item() == pytest.approx((0.313262 + 2.126928) / 2, abs=1e-5)
    centred = bradley_terry_loss(better, worse, center=0.1).item()
    assert centred == pytest.approx((0.313262 + 2.126928) / 2 + 0.1 * (4 + 0) / 2, abs=1e-5)


def test_all_pairs_of_an_item_come_from_one_pass_over_its_responses():
    one = ComparedItem(item="a", view=view(0), responses=("x", "y", "z"), pairs=((2, 0), (2, 1), (1, 0)))
    outputs = torch.tensor([[0.0], [1.0], [3.0]])
    better, worse = paired_outputs([one], [outputs], [0])
    assert better.flatten().tolist() == [3.0, 3.0, 1.0]
    assert worse.flatten().tolist() == [0.0, 1.0, 0.0]
    loss, logged = PreferenceObjective([one], center=0.0).loss([outputs], [0])
    assert (logged["accuracy"], logged["margin"]) == (1.0, 2.0)
    assert loss.item() == pytest.approx(bradley_terry_loss(better[:, 0], worse[:, 0]).item())


def test_pairs_of_a_pool_go_by_approval_and_equal_ones_teach_nothing():
    items = stories()
    found = compared_by_approval(items)
    by_name = {one.item: one for one in items}
    for one in found:
        shares = by_name[one.item].approvals
        assert all(shares[better] > shares[worse] for better, worse in one.pairs)
    assert sum(len(one.pairs) for one in compared_by_approval(items, per_item=1)) == len(found)
    equal = [dataclasses.replace(one, judgements=(one.judgements[0],) * 3) for one in items]
    with pytest.raises(ValueError, match="no two responses to one of the 5 items differ"):
        compared_by_approval(equal)
    with pytest.raises(ValueError, match="by more than 1"):
        compared_by_approval(items, margin=1.0)


def test_pairs_of_people_share_their_prompt_and_are_refused_when_empty_or_equal():
    twice = [*PAIRS, {**PAIRS[0], "rejected": PAIRS[1]["rejected"]}]
    found = compared_by_people(twice)
    assert [len(one.responses) for one in found] == [3, 2, 2]
    assert found[0].pairs == ((0, 1), (0, 2))
    with pytest.raises(ValueError, match="no preference pairs"):
        compared_by_people([])
    with pytest.raises(ValueError, match="prefers a response to itself"):
        compared_by_people([{**PAIRS[0], "rejected": PAIRS[0]["chosen"]}])


def test_a_planted_preference_is_learned_from_free_prompts(tmp_path):
    pairs = [
        {
            "prompt": [{"role": "user", "content": f"Say {n}"}],
            "chosen": [{"role": "assistant", "content": f"please {n}"}],
            "rejected": [{"role": "assistant", "content": f"never {n}"}],
        }
        for n in range(6)
    ]
    items = compared_by_people(pairs)
    spec = dataclasses.replace(SPEC, epochs=8, learning_rate=5e-3)
    model = train_preference(opened(), items, spec, base=BASE, work_dir=tmp_path, progress=False)
    assert isinstance(model, RewardModel)
    assert (model.record.trained_on, model.record.training["pairs"]) == ("prompts", 6)
    scores = [model.score([one.view] * 2, one.responses) for one in items]
    assert all(better > worse for better, worse in scores)


@pytest.mark.parametrize("pair", [(0, 0), (0, 2), (-1, 0)])
def test_pairs_that_name_no_two_responses_are_refused(pair):
    with pytest.raises(ValueError, match="does not name two of its 2 responses"):
        ComparedItem(item="a", view=view(0), responses=("x", "y"), pairs=(pair,))
    with pytest.raises(ValueError, match="no pair to compare"):
        ComparedItem(item="a", view=view(0), responses=("x", "y"), pairs=())


def test_no_items_and_items_of_several_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no items to compare"):
        train_preference(opened(), [], SPEC, base=BASE, work_dir=tmp_path, progress=False)
    mixed = [*compared_by_people(PAIRS), *compared_by_approval(stories())]
    with pytest.raises(ValueError, match="several kinds"):
        train_preference(opened(), mixed, SPEC, base=BASE, work_dir=tmp_path, progress=False)
