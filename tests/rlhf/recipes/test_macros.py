"""Macro actions end where the rule says, and one token per action is plain PPO to the bit."""

from dataclasses import dataclass

import pytest
import torch

from activations.testing import tiny_model, tiny_tokenizer
from rlhf.recipes import PPO, SamplingOptions, StopRule, train_rlhf
from rlhf.recipes.macros import Borders, FallingSurprise, RandomLengths, Written, macro_rule, written


def tokens(*pieces, log_probs=None):
    zeros = (0.0,) * len(pieces)
    return Written(ids=tuple(range(len(pieces))), pieces=pieces, log_probs=tuple(log_probs or zeros))


@pytest.mark.parametrize(
    ("pieces", "numbers"),
    [
        (("It", " rained", ".", " We", " left", "!", ""), [0, 0, 0, 1, 1, 1, 1]),  # sentences
        (("He", " said", ' "', "No", '."', " So", ""), [0, 0, 1, 1, 1, 2, 2]),  # a quotation
        (("<", "quote", ">", "No", "</", "quote", ">", " so"), [0, 0, 0, 0, 0, 0, 0, 1]),
        (("so", " <quote>", "No", "</quote>", " so"), [0, 1, 1, 1, 2]),
        (("a", " =", " 1", "\n", "print", "(a)", "\n"), [0, 0, 0, 0, 1, 1, 1]),  # lines of a program
        (("3", ".", "5", " is"), [0, 0, 0, 0]),  # no sentence ends inside a number
        (("one",), [0]),
        (("\n", "one"), [0, 1]),
    ],
)
def test_borders_of_sentences_quotations_and_lines(pieces, numbers):
    found = Borders()(tokens(*pieces))
    assert found == numbers


def test_lengths_are_drawn_from_the_list_and_the_rest_is_one_action():
    rule = RandomLengths(lengths=(1, 2, 3), repeats=2)
    response = tokens(*["a"] * 20)
    found = rule(response)
    runs = [found.count(number) for number in range(max(found) + 1)]
    assert sorted(runs[:6]) == [1, 1, 2, 2, 3, 3]
    assert runs[6:] == [8]
    assert rule(response) == found
    other = Written(ids=tuple(range(100, 120)), pieces=("a",) * 20, log_probs=(0.0,) * 20)
    assert rule(other) != found or RandomLengths(lengths=(1, 2, 3), repeats=2, seed=1)(response) != found


def test_an_action_ends_where_the_next_token_is_more_surprising():
    found = FallingSurprise()(tokens(*"abcdef", log_probs=[-2.0, -1.0, -1.0, -3.0, -0.5, -0.6]))
    assert found == [0, 0, 0, 1, 1, 2]


def test_pieces_add_up_to_the_text():
    tokenizer = tiny_tokenizer()
    ids = tokenizer('We read: "He left."', add_special_tokens=False).input_ids
    assert "".join(written(ids, [0.0] * len(ids), tokenizer).pieces) == 'We read: "He left."'


def test_names_are_known_or_refused():
    assert macro_rule("parse") == Borders()
    with pytest.raises(ValueError, match=r"one of \['parse', 'perplexity', 'random'\]"):
        PPO(macro="sentence")
    with pytest.raises(ValueError, match="at least one token"):
        PPO(macro=0)
    with pytest.raises(ValueError, match="need the critic"):
        PPO(macro="parse", advantage="group")
    with pytest.raises(ValueError, match="at least 1"):
        RandomLengths(lengths=(0,))


class Vowels:
    sees = frozenset()

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        return [float(sum(c in "aeiou" for c in text)) for text in completions]


@dataclass(frozen=True)
class EachAlone:
    def __call__(self, response):
        return list(range(len(response.ids)))


def train(folder, macro):
    loaded = tiny_model()
    model = loaded.model.requires_grad_(True)
    recipe = PPO(
        rounds=2,
        prompts=3,
        macro=macro,
        sampling=SamplingOptions(samples=3, max_new_tokens=6),
        learning_rate=1e-3,
    )
    items = [{"id": str(n), "prompt": "say" + "?" * n} for n in range(3)]
    stop = StopRule(letter=None, entropy=None, clipped=None)
    result = train_rlhf(
        recipe, model, loaded.tokenizer, items, Vowels(), work_dir=folder, stop=stop, progress=False
    )
    kept = [{k: v for k, v in e.items() if not k.startswith("seconds")} for e in result.rounds]
    return kept, [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("rule", [EachAlone(), RandomLengths(lengths=(1,), repeats=50)])
def test_actions_of_one_token_are_plain_ppo(tmp_path, rule):
    plain, weights = train(tmp_path / "plain", 1)
    ruled, others = train(tmp_path / "ruled", rule)
    assert ruled == plain
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


@pytest.mark.parametrize("macro", ["random", "parse", "perplexity"])
def test_every_named_rule_trains_and_differs_from_plain_ppo(tmp_path, macro):
    rounds, weights = train(tmp_path / macro, macro)
    assert len(rounds) == 2
    _, plain = train(tmp_path / "plain", 1)
    assert any(not torch.equal(a, b) for a, b in zip(weights, plain, strict=True))
