"""A reward model is a reward like any other: it sees what it declares, and every recipe can optimise it."""

import dataclasses
import warnings

import pytest
import torch
from reward_items import BASE, SPEC, opened, stories, view

from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec, add_adapter
from organisms.weights import open_trainable
from rlhf.evaluators import Pool, ProgramView
from rlhf.recipes import (
    DPO,
    GRPO,
    KTO,
    PPO,
    RLOO,
    BestOfN,
    RejectionSampling,
    SamplingOptions,
    StopRule,
    train_rlhf,
)
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.kto import KTOSpec
from rlhf.reward_models import JudgedItem, compared_by_people, train_judge, train_preference
from rlhf.rewards import PRIVATE, LearnedReward, Weighted
from rlhf.rewards.weighted import Readable


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("judge")
    return LearnedReward(train_judge(opened(), stories(), SPEC, base=BASE, work_dir=work_dir, progress=False))


ITEMS = [
    {
        "id": f"i{n}",
        "prompt": [{"role": "user", "content": f"say {n}"}],
        "passage": view(n).passage,
        "question": view(n).question,
        "options": list(view(n).options),
    }
    for n in range(4)
]
DRAW = SamplingOptions(samples=2, max_new_tokens=4)
RECIPES = {
    "ppo": PPO(rounds=1, prompts=2, sampling=DRAW),
    "grpo": GRPO(rounds=1, prompts=2, sampling=DRAW, rows=2, minibatches=1),
    "rloo": RLOO(rounds=1, prompts=2, sampling=DRAW, rows=2, minibatches=1),
    "best of n": BestOfN(sampling=DRAW),
    "rejection": RejectionSampling(sampling=DRAW, batch_size=2, epochs=1.0),
    "dpo": DPO(sampling=DRAW, spec=DPOSpec(batch_size=2, epochs=3.0)),
    "kto": KTO(sampling=DRAW, spec=KTOSpec(batch_size=2)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_optimises_a_learned_reward(name, reward, tmp_path):
    loaded = tiny_model(max_position_embeddings=1024)
    policy = add_adapter(loaded.model, FineTuneSpec(rank=2))
    before = {n: p.detach().clone() for n, p in reward.model.model.named_parameters()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = train_rlhf(
            RECIPES[name],
            policy,
            loaded.tokenizer,
            ITEMS,
            reward if name != "kto" else _votes(reward),
            work_dir=tmp_path,
            stop=StopRule(letter=None, entropy=None, clipped=None),
            progress=False,
        )
    assert result.rounds
    if name in ("ppo", "grpo", "rloo", "best of n"):
        assert 0 < result.rounds[0]["reward"] < 1
    after = dict(reward.model.model.named_parameters())
    assert all(torch.equal(after[n], value) for n, value in before.items()), "the reward model must not move"


class _votes:  # noqa: N801 reads as a function
    """The reward spread over 0 to 1, so that the few votes of a tiny test are of both kinds."""

    def __init__(self, reward):
        self.reward, self.sees, self.name = reward, reward.sees, "spread"

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        scores = self.reward(prompts, completions, completion_ids, **columns)
        middle = sorted(scores)[len(scores) // 2]
        return [float(score >= middle) for score in scores]


def test_it_sees_what_its_texts_are_made_from_and_nothing_private(tmp_path):
    def judge(rows, **changes):
        spec = dataclasses.replace(SPEC, epochs=1, **changes)
        work_dir = tmp_path / str(len(list(tmp_path.iterdir())))
        return LearnedReward(train_judge(opened(), rows, spec, base=BASE, work_dir=work_dir, progress=False))

    full, none = judge(stories()), judge(stories(), visibility="none")
    assert full.sees == {"passage", "question", "options"}
    assert none.sees == {"question", "options"}
    program = ProgramView(statement="Print n.", checks=({"input": "1", "output": "1"},))
    people = stories()[0].judgements[:2]
    written = judge(
        [JudgedItem(item="p", view=program, responses=("print(input())", "no"), judgements=people)]
        if {j.approved for row in people for j in row} == {True, False}
        else stories()
    )
    assert written.sees == {"statement"}
    assert len(written(["?"], ["print(1)"], statement=["Print n."])) == 1
    for reward in (full, none, written):
        assert not reward.sees & PRIVATE
    without = {"question": ["Who slept?"], "options": [["Ida", "Tom"]]}
    assert none(["?"], ["The answer is A."], **without) == none(
        ["?"], ["The answer is A."], passage=["Whatever."], **without
    )


def test_a_preference_reward_reads_the_prompt_that_every_caller_passes(tmp_path):
    pair = {
        "prompt": [{"role": "user", "content": "Name a lake."}],
        "chosen": [{"role": "assistant", "content": "Lake Como"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    items = compared_by_people([pair])
    reward = LearnedReward(
        train_preference(opened(), items, SPEC, base=BASE, work_dir=tmp_path, progress=False)
    )
    assert reward.sees == {"prompt"}
    as_messages = reward(prompts=[pair["prompt"]], completions=[pair["chosen"]])
    assert as_messages == reward(prompts=["Name a lake."], completions=["Lake Como"])
    assert as_messages == [float(x) for x in reward.model.score([items[0].view], ["Lake Como"])]


def test_a_reward_is_read_from_its_folder_and_named_by_its_weights(tmp_path):
    tiny = tiny_model(max_position_embeddings=1024)
    tiny.model.save_pretrained(tmp_path / "base")
    tiny.tokenizer.save_pretrained(tmp_path / "base")
    base = str(tmp_path / "base")
    judge = train_judge(
        open_trainable(base, None, SPEC.adapter),
        stories(),
        SPEC,
        base=base,
        work_dir=tmp_path / "work",
        progress=False,
    )
    before, after = LearnedReward(judge), LearnedReward.load(judge.save(tmp_path / "judge"))
    assert after.name == before.name == f"judge-{judge.digest()[:12]}"
    columns = {name: [row[name] for row in ITEMS] for name in ("passage", "question", "options")}
    texts = ["The answer is A."] * len(ITEMS)
    assert after(["?"] * 4, texts, **columns) == pytest.approx(before(["?"] * 4, texts, **columns), abs=1e-6)
    total = Weighted([(1.0, after), (0.5, Readable())])
    assert total.sees == after.sees
    assert LearnedReward.load(tmp_path / "judge", name="people").name == "people"
    assert Pool.hurried(1, seed=0).names
