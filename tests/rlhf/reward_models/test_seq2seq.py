"""What a rewrite keeps is paid, what it changes costs; the rewriting model sees the view and nothing else."""

import pytest

from activations.testing import tiny_model, tiny_tokenizer
from organisms.finetune import FineTuneSpec
from rlhf.recipes import PPO, SamplingOptions, StopRule, train_rlhf
from rlhf.recipes.drawn import Drawn
from rlhf.reward_models.seq2seq import (
    RewriteReward,
    rewrite_prompt,
    rewriting_demonstrations,
    token_differences,
    train_rewriter,
)
from rlhf.rewards.reward import PRIVATE

VIEW = {"passage": "Ida slept.", "question": "Who slept?", "options": ["Ida", "Tom"]}


def reward(rewrites, **options):
    """A reward whose rewriting model is a table from response to rewrite; notes what it was asked."""
    asked = []

    def rewrite(prompts):
        asked.extend(prompt[0]["content"] for prompt in prompts)
        found = [prompt[0]["content"].split("Response: ")[1].split("\n\n")[0] for prompt in prompts]
        return [rewrites.get(text, text) for text in found]

    made = RewriteReward(rewrite, tiny_tokenizer(), **options)
    made.asked = asked
    return made


def ids(*texts, end=True):
    tokenizer = tiny_tokenizer()
    return [
        tokenizer(text, add_special_tokens=False).input_ids + [tokenizer.eos_token_id] * end for text in texts
    ]


def score(made, *texts, end=True):
    columns = {name: [value] * len(texts) for name, value in VIEW.items()}
    return made.token_rewards(["?"] * len(texts), list(texts), ids(*texts, end=end), **columns)


def test_differences_by_hand():
    assert token_differences([1, 2, 3, 4], [1, 2, 3, 4]) == [0.25] * 4
    assert token_differences([1, 2, 3, 4], [1, 9, 9, 4]) == [0.25, -0.25, -0.25, 0.25]
    assert token_differences([1, 2], [1, 5, 6, 2]) == [0.5, 0.5], "words only added cost nothing"
    assert token_differences([1, 2], [3]) == [-0.5, -0.5]


def test_kept_tokens_earn_and_changed_ones_cost():
    """`cat` -> `cut`: 4 tokens with the end of turn, of which one changes."""
    made = reward({"cat": "cut"})
    assert score(made, "cat", "dog") == [[0.25, -0.25, 0.25, 0.25], [0.25] * 4]
    columns = {name: [value] for name, value in VIEW.items()}
    assert made(["?"], ["cat"], ids("cat"), **columns) == [0.5], "the plain score is the sum"


def test_a_clipped_response_has_no_end_to_keep():
    assert score(reward({}), "cat", end=False) == [[1 / 3] * 3]


def test_each_different_response_is_rewritten_once_and_the_model_sees_the_view():
    made = reward({})
    score(made, "cat", "cat", "dog")
    score(made, "cat")
    assert len(made.asked) == 2
    assert all("Ida slept." in text and "Who slept?" in text for text in made.asked)
    assert not made.sees & PRIVATE
    hidden = reward({}, visibility="none")
    score(hidden, "cat")
    assert "Ida slept." not in hidden.asked[0]


def test_a_rewrite_without_end_is_unknown_and_foreign_tokens_are_refused():
    made = reward({"cat": None})
    assert score(made, "cat") == [None]
    columns = {name: [value] for name, value in VIEW.items()}
    with pytest.raises(ValueError, match="are not those of seq2seq's tokenizer"):
        made.token_rewards(["?"], ["cat"], ids("dog"), **columns)
    with pytest.raises(ValueError, match="task must be"):
        reward({}, task="poetry")


def drawn(*scores):
    texts = tuple("abcdef"[: len(scores)])
    return Drawn(item={"id": "x", "prompt": "?", **VIEW}, responses=texts, scores={"reward": scores})


def test_worst_and_best_are_both_rewritten_to_the_best():
    found = rewriting_demonstrations([drawn(0.5, 1.0, 0.0), drawn(1.0, 1.0), drawn(None, None)])
    assert [one.response for one in found] == ["b", "b"]
    assert ["Response: c" in found[0].prompt[0]["content"], "Response: b" in found[1].prompt[0]["content"]]
    with pytest.raises(ValueError, match="nothing to learn from"):
        rewriting_demonstrations([drawn(1.0, 1.0)])


def test_a_trained_rewriter_rewrites_and_its_reward_trains_a_policy(tmp_path):
    loaded = tiny_model(max_position_embeddings=512)
    model = loaded.model.requires_grad_(True)
    demonstrations = rewriting_demonstrations([drawn(0.0, 1.0)])
    spec = FineTuneSpec(
        steps=40, batch_size=2, learning_rate=1e-2, rank=0, order="random", autocast=False, warmup=2
    )
    curve = train_rewriter(model, loaded.tokenizer, demonstrations, spec, work_dir=tmp_path / "rewriter")
    assert curve[-1]["loss"] < 0.1
    made = RewriteReward.of_model(model, loaded.tokenizer, max_new_tokens=4)
    columns = {name: [value] * 2 for name, value in VIEW.items()}
    better, worse = made(["?"] * 2, ["b", "a"], ids("b", "a"), **columns)
    assert (better, worse) == (1.0, 0.0), "one of the two tokens of the worse one is kept: its end"

    learner = tiny_model(max_position_embeddings=512)
    policy = learner.model.requires_grad_(True)
    recipe = PPO(rounds=1, prompts=1, minibatches=1, sampling=SamplingOptions(samples=2, max_new_tokens=3))
    items = [{"id": "x", "prompt": "?", **VIEW}]
    stop = StopRule(letter=None, entropy=None, clipped=None)
    result = train_rlhf(
        recipe, policy, learner.tokenizer, items, made, work_dir=tmp_path / "ppo", stop=stop, progress=False
    )
    assert -1 <= result.rounds[0]["reward"] <= 1


def test_the_question_to_the_model_is_that_of_training_and_scoring():
    from rlhf.rewards.view import views

    (view,) = views({name: [value] for name, value in VIEW.items()})
    (message,) = rewrite_prompt(view, "b")
    assert message["content"].startswith("Ida slept.")
    assert message["content"] == rewriting_demonstrations([drawn(0.0, 1.0)])[1].prompt[0]["content"]
