"""A reward model is trained on the very ids that it scores, and they end where its head reads."""

import dataclasses

import pytest
from reward_items import BASE, SPEC, opened, stories, view

from rlhf.reward_models import RewardModel, compared_by_approval, train_judge, train_odin, train_preference
from rlhf.reward_models import model as model_module
from rlhf.rewards import LearnedReward
from rlhf.rewards.view import PromptView

TRAINERS = {
    "judge": lambda items: (train_judge, items),
    "preference": lambda items: (train_preference, compared_by_approval(items)),
    "odin": lambda items: (train_odin, compared_by_approval(items)),
}


@pytest.fixture
def seen(monkeypatch):
    """Every text that the trunk is given, as ids in full, in the order computed."""
    rows = []
    collate = model_module.collate_packs

    def spy(packs, device="cpu"):
        rows.extend([*pack.prompt, *tail[:-1]] for pack in packs for tail in pack.responses)
        return collate(packs, device)

    monkeypatch.setattr(model_module, "collate_packs", spy)
    return rows


@pytest.mark.parametrize("visibility", ["full", "cut:2", "none"])
@pytest.mark.parametrize("kind", TRAINERS)
def test_training_and_scoring_read_the_same_tokens(kind, visibility, seen, tmp_path):
    judged = stories()
    train, items = TRAINERS[kind](judged)
    spec = dataclasses.replace(SPEC, epochs=1, visibility=visibility)
    model = train(opened(), items, spec, base=BASE, work_dir=tmp_path, progress=False)
    trained = sorted(seen)
    seen.clear()
    reward = LearnedReward(model)
    texts = [text for one in items for text in one.responses]
    rows = [one.view for one in items for _ in one.responses]
    columns = {
        "passage": [row.passage for row in rows],
        "question": [row.question for row in rows],
        "options": [list(row.options) for row in rows],
    }
    reward(["?"] * len(texts), texts, **columns)
    assert sorted(seen) == trained
    assert len(seen) == len(texts)
    eos = model.tokenizer.eos_token_id
    assert all(row[-1] == eos and row.count(eos) == 1 for row in seen)
    shown = model.tokenizer.decode(seen[0])
    assert ("The other wanted" in shown) == (visibility == "full")
    assert ("slept" in shown.split("Question")[0]) == (visibility != "none")


def start(**changes):
    return RewardModel.start(
        opened(),
        kind="judge",
        heads=("agree",),
        trained_on="stories",
        spec=dataclasses.replace(SPEC, **changes),
        base=BASE,
    )


def test_texts_that_would_be_cut_or_hold_the_end_token_are_refused():
    with pytest.raises(ValueError, match=r"more than 50: raise max_tokens"):
        start(max_tokens=50).score([view(0)], ["The answer is A."])
    with pytest.raises(ValueError, match="more than 1024"):
        start(max_tokens=4000).score([view(0)], ["word " * 250])
    with pytest.raises(ValueError, match="the response holds the end-of-sequence token '</s>'"):
        start().score([view(0)], ["A.</s>"])
    with pytest.raises(ValueError, match="the view holds the end-of-sequence token"):
        start().score([PromptView(prompt="</s>")], ["A."])
    with pytest.raises(ValueError, match="visibility"):
        start(visibility="half")
