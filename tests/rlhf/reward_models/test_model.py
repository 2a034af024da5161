"""Scores do not depend on batches or on what shares a prefix, and survive a folder on disk."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from reward_items import BASE, SPEC, opened, stories, view

from activations.testing import tiny_model
from organisms.weights import open_trainable
from rlhf.evaluators import Pool
from rlhf.reward_models import (
    RewardModel,
    compared_by_approval,
    judged_items,
    read_reward_model,
    train_judge,
    train_odin,
)
from rlhf.reward_models.model import HEAD, RECORD


@pytest.fixture
def judge(tmp_path):
    return train_judge(opened(), stories(), SPEC, base=BASE, work_dir=tmp_path / "work", progress=False)


def asked():
    views = [view(n) for n in (0, 1, 0, 2, 1, 0)]
    return views, ["The answer is A.", "B", "The answer is B.", "no", "The answer is A.", ""]


def test_shared_prefixes_and_batches_change_no_score(judge):
    views, responses = asked()
    together = judge.score(views, responses)
    alone = [judge.score([one], [text])[0] for one, text in zip(views, responses, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    judge.record = dataclasses.replace(judge.record, spec=dataclasses.replace(SPEC, micro_tokens=40))
    np.testing.assert_allclose(judge.score(views, responses), together, atol=1e-5)
    assert len(set(together.round(6))) == len(together)


def test_the_head_reads_the_hidden_state_of_the_end_token(judge):
    ids = judge.encode(view(1), "The answer is A.")
    hidden = judge.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]
    logit = hidden @ judge.head.weight[0] + judge.head.bias[0]
    assert judge.score([view(1)], ["The answer is A."])[0] == pytest.approx(float(logit.sigmoid()), abs=1e-5)


@pytest.mark.parametrize("rank", [2, 0])
@pytest.mark.parametrize("kind", ["judge", "odin"])
def test_a_saved_reward_model_gives_the_same_scores(tmp_path, kind, rank):
    tiny = tiny_model(max_position_embeddings=1024)
    tiny.model.save_pretrained(tmp_path / "base")
    tiny.tokenizer.save_pretrained(tmp_path / "base")
    spec = dataclasses.replace(SPEC, rank=rank)
    base = str(tmp_path / "base")
    started = open_trainable(base, None, spec.adapter)
    items = stories()
    if kind == "odin":
        model = train_odin(
            started,
            compared_by_approval(items),
            spec,
            base=base,
            work_dir=tmp_path / "work",
            features=("length", "quotes"),
            progress=False,
        )
    else:
        model = train_judge(started, items, spec, base=base, work_dir=tmp_path / "work", progress=False)
    scores = model.score(*asked())
    folder = model.save(tmp_path / "saved")
    loaded = RewardModel.load(folder)
    np.testing.assert_allclose(loaded.score(*asked()), scores, atol=1e-6)
    assert loaded.digest() == model.digest()
    assert loaded.record == model.record == read_reward_model(folder)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".yaml"} | (
        {".json"} if rank else set()
    )
    if rank:
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == base


def test_folders_that_are_no_reward_model_or_of_another_base_are_refused(tmp_path, judge):
    with pytest.raises(FileNotFoundError, match="no reward model at"):
        RewardModel.load(tmp_path)
    for name, seed in (("base", 0), ("other", 1)):
        tiny = tiny_model(max_position_embeddings=1024, seed=seed)
        tiny.model.save_pretrained(tmp_path / name)
        tiny.tokenizer.save_pretrained(tmp_path / name)
    judge.record = dataclasses.replace(judge.record, base=str(tmp_path / "other"))
    folder = judge.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="was trained on base"):
        RewardModel.load(folder)
    text = (folder / RECORD).read_text()
    (folder / RECORD).write_text(text.replace("schema: 1", "schema: 9"))
    with pytest.raises(ValueError, match="schema 9"):
        RewardModel.load(folder)
    (folder / RECORD).write_text(text + "colour: red\n")
    with pytest.raises(ValueError, match="no field 'colour'"):
        RewardModel.load(folder)
    assert (folder / HEAD).is_file()


def test_numbers_that_are_not_finite_and_uneven_lists_are_refused(judge):
    with pytest.raises(ValueError, match="2 views but 1 responses"):
        judge.score([view(0), view(1)], ["A"])
    with torch.no_grad():
        judge.head.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        judge.score([view(0)], ["The answer is A."])


def test_a_tokenizer_without_an_end_token_is_refused():
    start = opened()
    start.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end token"):
        RewardModel.start(start, kind="judge", heads=("agree",), trained_on="stories", spec=SPEC, base=BASE)


def test_judged_items_are_not_cut_to_one_length():
    with pytest.raises(ValueError, match="1 items, 2 views"):
        judged_items(["a"], [view(0), view(1)], [["A"]], Pool.thorough(1, seed=0))
