"""Rows that read alike on both sides of a split are counted and named, quickly, and never within a group."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import Domain, TransferOptions, transfer
from probes.evaluation.copies import extracted_again, near_copies

WORDS = [f"w{i}" for i in range(60)]


def make(texts, groups=None, name="a", seed=0, **more) -> Domain:
    n = len(texts)
    X = np.random.default_rng(seed).normal(size=(n, 16)) + 2 * (np.arange(n) % 2)[:, None]
    groups = [f"{name}{i}" for i in range(n)] if groups is None else groups
    return Domain(name, X, np.arange(n) % 2, groups, texts=texts, **more)


SHORT = "The city of Paris lies in France."
LONG = " ".join(WORDS[:24])


@pytest.mark.parametrize(
    ("text", "copy", "alike"),
    [
        (SHORT, "the city  of PARIS lies, in France", True),
        (SHORT, "\uff34he city of Paris lies in\u00a0France!", True),
        (SHORT, "The city of Paris lies in Japan.", True),
        (SHORT, "The city of Paris lies in southern France.", True),
        (SHORT, "The city of Paris lies France.", True),
        (SHORT, "The city of Lyon lies in Japan.", False),
        (LONG, LONG.replace("w3 ", "x ").replace("w9 ", "y "), True),
        (LONG, LONG.replace("w3 ", "x ").replace("w9 ", "y ").replace("w12 ", "z "), False),
        ("He is in.", "he is in", True),
        ("He is in.", "He is out.", False),
        ("", "", False),
    ],
)
def test_alike_is_the_same_words_or_one_or_two_others(text, copy, alike) -> None:
    a, b = make([text, "Nothing of the kind was ever said."]), make(["Quite another thing.", copy], name="b")
    assert near_copies(a, b) == ((1, (0, 1)) if alike else (0, None))


@given(
    st.lists(st.lists(st.sampled_from(WORDS[:9]), min_size=1, max_size=24), min_size=2, max_size=6),
    st.lists(st.lists(st.sampled_from(WORDS[:9]), min_size=1, max_size=24), min_size=2, max_size=6),
)
def test_no_pair_is_missed_that_a_comparison_of_all_pairs_finds(ours, theirs) -> None:
    def alike(a, b):
        longer = max(len(a), len(b))
        left = list(b)
        shared = sum(1 for word in a if word in left and not left.remove(word))
        return shared >= longer - (0 if longer < 5 else 1 if longer < 20 else 2)

    def kept(texts):
        bags = [tuple(sorted(text)) for text in texts]
        return [text for text, bag in zip(texts, bags, strict=True) if bags.count(bag) <= 2]

    a, b = make([" ".join(t) for t in ours]), make([" ".join(t) for t in theirs], name="b")
    expected = sum(any(alike(x, y) for x in kept(ours)) for y in kept(theirs))
    assert near_copies(a, b)[0] == expected


def test_rows_of_one_group_are_no_copies_of_each_other() -> None:
    texts = [SHORT, SHORT.lower(), "Cats sleep nearly all day long."]
    assert near_copies(*[make(texts, ["q", "q", "r"])] * 2) == (0, None)
    assert near_copies(*[make(texts, ["q", "s", "r"])] * 2)[0] == 2


def test_answers_that_many_questions_share_identify_nothing() -> None:
    answers = make([f"The answer to it is {'AB'[i % 2]}." for i in range(20)])
    assert near_copies(answers, answers) == (0, None)


def test_statements_tell_apart_equal_answers_to_other_questions() -> None:
    texts = [f"It was surely number {i}." for i in range(6)]
    stories = [f"{' '.join(WORDS[i * 9 : i * 9 + 9])} {text}" for i, text in enumerate(texts)]
    others = [f"{' '.join(WORDS[i * 9 : i * 9 + 9][::-1])} z{i} y{i} {t}" for i, t in enumerate(texts[::-1])]
    one, two = make(texts), make(texts, name="b", seed=1)
    assert near_copies(one, two)[0] == 6
    one = make(texts, statements=stories)
    two = make(texts, name="b", seed=1, statements=others)
    assert near_copies(one, two) == (0, None)


def test_transfer_warns_of_near_copies_with_their_number_and_an_example() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 12)) for _ in range(60)]
    others = [" ".join(rng.choice(WORDS, 12)) for _ in range(60)]
    source = make(texts)
    target = make([texts[7].upper() + "!", texts[9] + " more", *others[2:]], name="b", seed=1)
    options = TransferOptions(n_draws=50, n_permutations=50, n_random_directions=10, text_controls=False)
    (warning,) = [
        w for w in transfer(source, target, "mean-difference", options=options).warnings if "nearly" in w
    ]
    assert warning.startswith("b: 2 rows read nearly like rows of a, for example row 0")
    assert texts[7][:20] in warning
    inside = make([*texts[:59], texts[3].title()])
    found = transfer(inside, make(others, name="c", seed=1), "mean-difference", options=options).warnings
    assert any(w.startswith("a: 2 rows read nearly like a row, for example") for w in found)


def test_five_thousand_rows_are_compared_within_seconds() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(500)]
    stories = make([" ".join(rng.choice(vocabulary, 90)) for _ in range(5000)])
    same = make(["one and the same answer"] * 5000)
    started = time.process_time()
    assert near_copies(stories, stories) == near_copies(same, same) == (0, None)
    assert extracted_again(same, make(["one and the same answer"] * 5000, name="b", seed=1), 0) == 0
    assert time.process_time() - started < 10
