"""DPO moves the policy towards what was preferred, away from a reference that stays where it was."""

import numpy as np
import pytest
import torch

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf import DPOSpec, train_dpo
from rlhf.recipes.grouped import encode_group
from rlhf.recipes.kto import KTOSpec, train_kto

PAIRS = [
    {
        "prompt": [{"role": "user", "content": "?"}],
        "chosen": [{"role": "assistant", "content": "aaa"}],
        "rejected": [{"role": "assistant", "content": "bbb"}],
    }
] * 16


def test_preferred_answers_gain_probability_and_only_the_adapter_moves(tmp_path):
    loaded = tiny_model()
    model = add_adapter(loaded.model, FineTuneSpec(rank=2))
    before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" not in n}
    margin = _margin(model, loaded.tokenizer)
    spec = DPOSpec(learning_rate=1e-2, batch_size=4, epochs=3.0, max_tokens=64, save_every=99)
    curve = train_dpo(model, loaded.tokenizer, PAIRS, spec, work_dir=tmp_path)
    assert _margin(model, loaded.tokenizer) > margin
    assert curve[-1]["margin"] > 0
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_with_a_likelihood_term_the_loss_is_the_papers_and_chosen_responses_grow_likely(tmp_path):
    """RPO (arXiv 2404.19733): at the start the loss of pairs is log 2, and the rest is the term by itself."""
    loaded = tiny_model()
    model = add_adapter(loaded.model, FineTuneSpec(rank=2))
    pack = encode_group(PAIRS[0]["prompt"], ["aaa", "bbb"], loaded.tokenizer, max_tokens=64)

    def per_token():
        model.eval()
        ids = torch.tensor([pack.prompt + pack.responses[0]])
        with torch.no_grad():
            found = model(input_ids=ids).logits.log_softmax(-1)
        return float(found[0, len(pack.prompt) - 1 : -1].gather(1, ids[0, len(pack.prompt) :, None]).mean())

    before = per_token()
    how = {"batch_size": 4, "max_tokens": 64, "save_every": 99}
    spec = DPOSpec(learning_rate=1e-9, epochs=0.25, likelihood=2.0, **how)
    (first, *_) = train_dpo(model, loaded.tokenizer, PAIRS, spec, work_dir=tmp_path / "first")
    assert first["loss"] == pytest.approx(np.log(2) - 2.0 * before, abs=1e-4)
    spec = DPOSpec(learning_rate=1e-2, epochs=3.0, likelihood=2.0, **how)
    train_dpo(model, loaded.tokenizer, PAIRS, spec, work_dir=tmp_path / "whole")
    assert per_token() > before + 0.1


def _margin(model, tokenizer):
    """How much likelier "a" is than "b" after the prompt."""
    text = tokenizer.apply_chat_template(PAIRS[0]["prompt"], tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    a, b = (tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ab")
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
    return float(logits[a] - logits[b])


def test_pair_that_would_be_cut_is_refused(tmp_path):
    loaded = tiny_model()
    with pytest.raises(ValueError, match="max_tokens=4"):
        train_dpo(loaded.model, loaded.tokenizer, PAIRS, DPOSpec(max_tokens=4), work_dir=tmp_path)
    two = [{**PAIRS[0], "rejected": PAIRS[0]["rejected"] * 2}]
    for row, side in ((two, "rejected"), ([{**PAIRS[0], "chosen": "aaa"}], "chosen")):
        with pytest.raises(ValueError, match=f"pair 0: {side} must be one message"):
            train_dpo(loaded.model, loaded.tokenizer, row, DPOSpec(), work_dir=tmp_path)
    with pytest.raises(ValueError, match="no preference pairs"):
        train_dpo(loaded.model, loaded.tokenizer, [], DPOSpec(), work_dir=tmp_path)


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_training_shows_our_bar_and_no_librarys(kind, tmp_path, capfd):
    loaded = tiny_model()
    model = add_adapter(loaded.model, FineTuneSpec(rank=2))
    how = {"batch_size": 4, "epochs": 1.0, "max_tokens": 64, "save_every": 99}
    if kind == "dpo":
        train_dpo(model, loaded.tokenizer, PAIRS, DPOSpec(**how), work_dir=tmp_path, progress=True)
    else:
        votes = [
            {"prompt": pair["prompt"], "completion": pair[name], "label": name == "chosen"}
            for pair in PAIRS
            for name in ("chosen", "rejected")
        ]
        train_kto(model, loaded.tokenizer, votes, KTOSpec(**how), work_dir=tmp_path)
    shown = capfd.readouterr()
    assert {"dpo": "rounds", "kto": "training"}[kind] in shown.err
    assert not [
        word for word in ("Tokenizing", "examples/s", "it/s", "{'loss'") if word in shown.err + shown.out
    ]
