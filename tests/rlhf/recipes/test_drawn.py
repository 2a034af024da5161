"""Drawn once, scored once: pairs and votes come from the same samples, and only from the policy's own."""

import json

import pytest
import torch

from activations.testing import tiny_model
from activations.tokens import encode
from organisms.finetune import FineTuneSpec, add_adapter
from rlhf.recipes import DPO, KTO, RejectionSampling, SamplingOptions, train_rlhf
from rlhf.recipes.best_of_n import BestOfN
from rlhf.recipes.checkpoint import digest_weights
from rlhf.recipes.dpo import DPOSpec
from rlhf.recipes.drawn import Drawn, draw, pairs, read_drawn, votes
from rlhf.recipes.kto import KTOSpec
from rlhf.recipes.recipe import Job

SAMPLING = SamplingOptions(samples=6, max_new_tokens=5)
ITEMS = [{"id": f"i{n}", "prompt": [{"role": "user", "content": f"Say {n}"}]} for n in range(5)]


class Even:
    """1 for responses whose first character has an even code; says how often it was asked."""

    sees = frozenset()

    def __init__(self):
        self.calls = 0

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        self.calls += 1
        return [1.0 - ord((c[0]["content"] or " ")[0]) % 2 for c in completions]


class Odd(Even):
    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [1 - score for score in super().__call__(prompts, completions)]


def policy():
    loaded = tiny_model()
    return add_adapter(loaded.model, FineTuneSpec(rank=2)), loaded.tokenizer


def job(folder, reward=None, items=ITEMS):
    model, tokenizer = policy()
    return Job(
        model=model,
        tokenizer=tokenizer,
        items=items,
        reward=reward or Even(),
        monitors={"truth": Odd()},
        work_dir=folder,
        progress=False,
    )


def test_a_draw_goes_on_where_it_stopped_and_gives_the_same(tmp_path):
    whole = job(tmp_path / "whole")
    folder = draw(whole, SAMPLING, part=2)
    again = job(tmp_path / "whole")
    (folder / "part-001").rename(tmp_path / "gone")
    draw(again, SAMPLING, part=2)
    assert again.reward.calls == 1, "only the missing part is drawn"
    for name in ("sampled.jsonl", "pairs.jsonl"):
        assert (folder / "part-001" / name).read_bytes() == (tmp_path / "gone" / name).read_bytes()


def test_parts_have_noise_of_their_own(tmp_path):
    same = [{**ITEMS[0], "id": f"same{n}"} for n in range(2)]
    one, other = read_drawn(draw(job(tmp_path, items=same), SAMPLING, part=1), same)
    assert one.responses != other.responses


def test_responses_of_another_policy_are_refused(tmp_path):
    mine = job(tmp_path)
    folder = draw(mine, SAMPLING)
    assert len(read_drawn(folder, ITEMS, weights=digest_weights(mine.model))) == len(ITEMS)
    with torch.no_grad():
        next(p for p in mine.model.parameters() if p.requires_grad).add_(0.1)
    with pytest.raises(ValueError, match="another policy"):
        read_drawn(folder, ITEMS, weights=digest_weights(mine.model))
    with pytest.raises(ValueError, match="another policy"):
        draw(mine, SAMPLING)
    with pytest.raises(ValueError, match="not given, first 'i0'"):
        read_drawn(folder, ITEMS[1:])
    with pytest.raises(FileNotFoundError, match="draw them first"):
        read_drawn(tmp_path / "elsewhere", ITEMS)


def drawn(*scores, responses="abcdefgh"):
    item = {"id": "x", "prompt": [{"role": "user", "content": "?"}]}
    return Drawn(item=item, responses=tuple(responses[: len(scores)]), scores={"reward": scores})


def test_pairs_are_those_of_best_of_n_where_samples_differ(tmp_path):
    mine = job(tmp_path)
    found = pairs(read_drawn(draw(mine, SAMPLING, part=9), ITEMS))
    BestOfN(sampling=SAMPLING, seed=0)(job(tmp_path / "once"))
    lines = (tmp_path / "once" / "pairs.jsonl").read_text().splitlines()
    assert found == [json.loads(line) for line in lines]


def test_pairs_need_a_difference_beyond_the_margin_and_a_score_on_both_sides():
    assert pairs([drawn(0.5, 0.5), drawn(None, 1.0), drawn(None, None)]) == []
    assert pairs([drawn(0.25, 0.5)], margin=0.25) == []
    (pair,) = pairs([drawn(None, 0.25, 1.0, 0.5)])
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("c", "b")
    with pytest.raises(ValueError, match="no score 'truth'"):
        pairs([drawn(0.0, 1.0)], score="truth")


def test_a_vote_is_that_of_one_individual_of_the_pool():
    many = [
        Drawn(item={"id": str(n), "prompt": "?"}, responses=("a",), scores={"reward": (0.75,)})
        for n in range(2000)
    ]
    share = sum(vote["label"] for vote in votes(many)) / len(many)
    assert share == pytest.approx(0.75, abs=0.04)
    assert votes(many) == votes(many)
    assert votes(many) != votes(many, seed=1)


def test_votes_on_truth_are_the_truth_and_equal_responses_are_voted_on_once():
    cast = votes([drawn(1.0, 0.0, 1.0, None, responses="abad")])
    assert [(vote["completion"][0]["content"], vote["label"]) for vote in cast] == [("a", True), ("b", False)]
    with pytest.raises(ValueError, match="0 to 1"):
        votes([drawn(1.5)])


@pytest.mark.parametrize("kind", ["rejection", "dpo", "kto"])
def test_offline_recipes_learn_what_the_named_score_pays_for_from_one_draw(tmp_path, kind):
    """From the same responses, the reward and a monitor that says the opposite pull apart."""
    folder = draw(job(tmp_path), SAMPLING)
    best_and_worst = pairs(read_drawn(folder, ITEMS))
    assert best_and_worst
    before, moved = margin(*policy(), best_and_worst), {}
    for score in ("reward", "truth"):
        model, tokenizer = policy()
        how = {"learning_rate": 1e-2, "batch_size": 4, "epochs": 4.0, "max_tokens": 64}
        common = {"sampling": SAMPLING, "score": score, "drawn": str(folder)}
        recipe = {
            "rejection": RejectionSampling(**common, **how),
            "dpo": DPO(**common, spec=DPOSpec(**how)),
            "kto": KTO(**common, spec=KTOSpec(**how)),
        }[kind]
        reward = Even()
        result = train_rlhf(
            recipe,
            model,
            tokenizer,
            ITEMS,
            reward,
            monitors={"truth": Odd()},
            work_dir=tmp_path / score,
            progress=False,
        )
        assert reward.calls == 0, "nothing is scored again"
        assert [entry["round"] for entry in result.rounds] == list(range(len(result.rounds)))
        moved[score] = margin(model, tokenizer, best_and_worst)
    assert moved["reward"] > moved["truth"]
    assert kind == "rejection" or moved["reward"] > before > moved["truth"], "what was worst is unlearned too"


def test_a_reward_that_tells_hardly_anything_apart_is_refused(tmp_path):
    recipe = RejectionSampling(sampling=SAMPLING, batch_size=len(ITEMS) + 1)
    model, tokenizer = policy()
    with pytest.raises(ValueError, match=f"of {len(ITEMS)} prompts, too few for a batch of {len(ITEMS) + 1}"):
        train_rlhf(recipe, model, tokenizer, ITEMS, Even(), work_dir=tmp_path, progress=False)


def margin(model, tokenizer, rows):
    """Mean over pairs: how much likelier the better response is (nats)."""
    return sum(
        log_prob(model, tokenizer, row["prompt"], row["chosen"])
        - log_prob(model, tokenizer, row["prompt"], row["rejected"])
        for row in rows
    ) / len(rows)


def log_prob(model, tokenizer, prompt, response):
    encoding = encode(prompt, response[0]["content"], tokenizer)
    ids = torch.tensor([encoding.ids])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return float(scores.gather(1, ids[0, 1:, None])[encoding.prompt_len - 1 :].sum())


def test_anchors_are_learned_where_all_is_well_and_without_them_only_differences(monkeypatch, tmp_path):
    drawn = [
        Drawn(item={"id": name, "prompt": name}, responses=("x", "y"), scores={"reward": scores})
        for name, scores in {"differs": (0.0, 0.5), "good": (1.0, 1.0), "poor": (0.5, 0.5)}.items()
    ]
    learned = []
    monkeypatch.setattr(
        "rlhf.recipes.rejection.fine_tune", lambda m, t, chosen, *a, **k: learned.append(chosen) or []
    )
    for anchors in (None, 1.0, 0.0):
        recipe = RejectionSampling(sampling=SAMPLING, drawn="unused", batch_size=1, anchors=anchors)
        recipe.learn(job(tmp_path), drawn)
    assert [[(d.prompt, d.response) for d in chosen] for chosen in learned] == [
        [("differs", "y")],
        [("differs", "y"), ("good", "x")],
        [("differs", "y"), ("good", "x"), ("poor", "x")],
    ]
