"""Groups of responses: sharing prompts, killing a run and cutting passes change no number; nothing is cut."""

import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes.grouped import GroupSpec, GroupTrainer, encode_group
from rlhf.recipes.rrhf import likelihood_loss, ranking_loss

TEXTS = [("yes", "no, never", "perhaps"), ("a", "bb"), ("one two", "three", "four five six", "seven")]
REWARDS = [(1.0, 0.0, 0.5), (0.0, 1.0), (0.25, 0.5, 0.75, 1.0)]


def policy(full=False):
    loaded = tiny_model()
    if full:
        return loaded.model.requires_grad_(True), loaded.tokenizer
    return add_adapter(loaded.model, FineTuneSpec(rank=2)), loaded.tokenizer


def packs(tokenizer):
    prompts = [[{"role": "user", "content": "what" * (n + 1)}] for n in range(len(TEXTS))]
    return [encode_group(p, t, tokenizer, max_tokens=99) for p, t in zip(prompts, TEXTS, strict=True)]


def loss(number, log_probs):
    total = ranking_loss(log_probs, REWARDS[number]) + likelihood_loss(log_probs, REWARDS[number])
    return total, {"best": float(log_probs[0].detach().sum())}


def train(folder, *, full=False, loss=loss, **changes):
    model, tokenizer = policy(full)
    spec = GroupSpec(**{"learning_rate": 1e-2, "batch_size": 2, "epochs": 4, "save_every": 2} | changes)
    log = GroupTrainer(model, packs(tokenizer), spec, work_dir=folder).train(loss)
    return log, {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def plain_log_probs(model, pack):
    """From the model's own logits, one row per response."""
    found = []
    for response in pack.responses:
        ids = torch.tensor([[*pack.prompt, *response]])
        scores = model(input_ids=ids).logits[0, len(pack.prompt) - 1 : -1].log_softmax(-1)
        found.append(scores.gather(1, torch.tensor(response)[:, None])[:, 0])
    return found


def test_a_group_ends_each_response_and_shares_its_prompt():
    _, tokenizer = policy()
    pack = encode_group("Hi ", ["a", "bc"], tokenizer, max_tokens=9)
    assert [len(row) for row in pack.responses] == [2, 3]
    assert {row[-1] for row in pack.responses} == {tokenizer.eos_token_id}
    with pytest.raises(ValueError, match="more than max_tokens=6"):
        encode_group("Hi ", ["a", "bc"], tokenizer, max_tokens=6)


@pytest.mark.parametrize("full", [False, True])
def test_loss_and_gradient_of_packs_are_those_of_single_rows(tmp_path, full):
    model, tokenizer = policy(full)
    groups = packs(tokenizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    expected = sum(loss(n, plain_log_probs(model, pack))[0] for n, pack in enumerate(groups)) / len(groups)
    gradients = torch.autograd.grad(expected, trained)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    spec = GroupSpec(batch_size=3, learning_rate=0.0)
    (entry,) = GroupTrainer(model, groups, spec, work_dir=tmp_path).train(loss)
    assert entry["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)
    assert entry["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)


def test_log_probs_are_the_models_own(tmp_path):
    model, tokenizer = policy()
    groups = packs(tokenizer)
    found = GroupTrainer(model, groups, GroupSpec(), work_dir=tmp_path).log_probs()
    for pack, rows in zip(groups, found, strict=True):
        for one, other in zip(rows, plain_log_probs(model, pack), strict=True):
            torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=1e-5)


def test_shared_prompts_and_the_size_of_passes_change_no_result(tmp_path):
    log, weights = train(tmp_path / "a", learning_rate=1e-3)
    for name, changes in {"b": {"share_prompts": False}, "c": {"micro_tokens": 16}}.items():
        other, others = train(tmp_path / name, learning_rate=1e-3, **changes)
        for one, two in zip(log, other, strict=True):
            assert one == pytest.approx(two, rel=1e-3, abs=1e-4)
        for key, value in weights.items():
            torch.testing.assert_close(others[key], value, atol=2e-4, rtol=1e-2)


@pytest.mark.parametrize("full", [False, True])
def test_killed_and_resumed_run_equals_an_undisturbed_one(tmp_path, full):
    whole, weights = train(tmp_path / "whole", full=full)
    calls = []

    def killed(number, log_probs):
        calls.append(number)
        if len(calls) > 8:  # of 12
            raise KeyboardInterrupt
        return loss(number, log_probs)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", full=full, loss=killed)
    resumed, again = train(tmp_path / "cut", full=full)
    assert resumed == whole
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_every_group_is_met_once_per_pass(tmp_path):
    met = []

    def noted(number, log_probs):
        met.append(number)
        return loss(number, log_probs)

    train(tmp_path, loss=noted, epochs=3)
    assert [sorted(met[i : i + 3]) for i in range(0, 9, 3)] == [[0, 1, 2]] * 3


def test_checkpoints_of_another_run_and_nothing_to_learn_from_are_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match="learning_rate"):
        train(tmp_path, learning_rate=1e-3)
    with pytest.raises(ValueError, match="no groups"):
        GroupTrainer(policy()[0], [], GroupSpec(), work_dir=tmp_path / "b")
    with pytest.raises(ValueError, match="at least 1"):
        GroupSpec(batch_size=0)
