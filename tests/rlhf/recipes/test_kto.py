"""KTO's loss is the paper's formula, and votes of one kind teach nothing."""

import math

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes.kto import KTOSpec, train_kto

VOTES = [
    {
        "prompt": [{"role": "user", "content": "?"}],
        "completion": [{"role": "assistant", "content": text}],
        "label": text == "aaa",
    }
    for text in ("aaa", "bbb", "bbb", "bbb") * 4
]


def policy():
    loaded = tiny_model()
    return add_adapter(loaded.model, FineTuneSpec(rank=2)), loaded.tokenizer


def test_loss_at_the_reference_is_half_of_the_weights_and_balance_is_by_count(tmp_path):
    """There r = z = 0, so every loss is sigma(0) = 1/2 of its weight: 3 for 1 approved, 1 for 3 rejected."""
    model, tokenizer = policy()
    spec = KTOSpec(learning_rate=0.0, batch_size=16, epochs=1.0, max_tokens=64)
    (entry, *_) = train_kto(model, tokenizer, VOTES, spec, work_dir=tmp_path)
    assert entry["loss"] == pytest.approx((4 * 3 * 0.5 + 12 * 1 * 0.5) / 16, abs=1e-5)


def test_logged_losses_are_the_formula_of_the_logged_rewards_and_kl(tmp_path):
    """Equations 7 and 8: in a batch of one approved and one rejected text, all of a kind have one reward."""
    model, tokenizer = policy()
    spec = KTOSpec(learning_rate=1e-2, beta=0.3, batch_size=16, epochs=4.0, max_tokens=64)
    log = train_kto(model, tokenizer, VOTES, spec, work_dir=tmp_path)
    assert log[-1]["rewards/chosen"] > log[-1]["rewards/rejected"]
    for entry in log:
        z = spec.beta * entry["kl"]
        approved = 3 * (1 - _sigma(entry["rewards/chosen"] - z))
        rejected = 1 - _sigma(z - entry["rewards/rejected"])
        assert entry["loss"] == pytest.approx((4 * approved + 12 * rejected) / 16, abs=2e-4)


def _sigma(x):
    return 1 / (1 + math.exp(-x))


def test_only_the_adapter_moves(tmp_path):
    model, tokenizer = policy()
    before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" not in n}
    train_kto(model, tokenizer, VOTES, KTOSpec(learning_rate=1e-2, max_tokens=64), work_dir=tmp_path)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_cannot_be_learned_from_is_refused_by_name(tmp_path):
    model, tokenizer = policy()
    approved = [vote for vote in VOTES if vote["label"]]
    for votes in ([], approved, [vote for vote in VOTES if not vote["label"]]):
        with pytest.raises(ValueError, match=f"of {len(votes)} votes approve"):
            train_kto(model, tokenizer, votes, KTOSpec(), work_dir=tmp_path)
    with pytest.raises(ValueError, match="max_tokens=4"):
        train_kto(model, tokenizer, VOTES, KTOSpec(max_tokens=4), work_dir=tmp_path)
    with pytest.raises(ValueError, match="batch_size=1"):
        KTOSpec(batch_size=1)
