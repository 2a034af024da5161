"""The comparator forgives layout and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.comparator import same_text, same_value

SAME = {
    "trailing spaces": ("1 2  \n3 \n\n", "1 2\n3"),
    "Windows newlines": ("1\r\n2\r\n", "1\n2\n"),
    "no trailing newline": ("1\n2", "1\n2\n"),
    "float within tolerance": ("0.33333340", "0.3333333"),
    "float in another notation": ("1e0", "1.0"),
    "integer for a float": ("2", "2.0"),
    "nothing for nothing": ("\n \n", ""),
    "negative zero of a float": ("-0.0", "0.0"),
}
DIFFERENT = {
    "right prefix": ("1", "1\n2\n3"),
    "right and one more line": ("1\n2\n3\n4", "1\n2\n3"),
    "right and one more token": ("1 2 3 3", "1 2 3"),
    "reordered": ("2 1", "1 2"),
    "empty": ("", "1"),
    "something for nothing": ("0", ""),
    "nan": ("nan", "1.0"),
    "nan for nan": ("nan", "nan"),
    "inf": ("inf", "1.0"),
    "near miss": ("0.33334", "0.33333"),
    "near zero": ("0.00001", "0.0"),
    "tolerance on an integer": ("1.0000001", "1"),
    "float for an integer": ("1e0", "1"),
    "negative zero": ("-0", "0"),
    "leading zero": ("01", "1"),
    "underscores": ("1_0.0", "10.0"),
    "other digits": ("\u0661.\u0660", "1.0"),
    "case": ("yes", "YES"),
    "huge token": ("9" * 10**6, "1.0"),
    "joined": ("12", "1 2"),
}


@pytest.mark.parametrize("name", SAME)
def test_layout_is_forgiven(name):
    assert same_text(*SAME[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_answers_are_wrong(name):
    assert not same_text(*DIFFERENT[name])


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), min_size=1))
def test_dropping_or_adding_a_token_is_always_wrong(tokens):
    text = " ".join(tokens)
    assert not same_text(" ".join(tokens[:-1]), text)
    assert not same_text(f"{text} {tokens[-1]}", text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.sampled_from([0.5, 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_plain_values_are_equal_exactly_when_their_json_is(a, b):
    assert same_value(json.loads(json.dumps(a)), b) == (
        json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    )


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (True, 1),
        (1, True),
        (0, False),
        (None, 0),
        ("1", 1),
        ([1], 1),
        ([1, 2], [1]),
        ({"a": 1}, {"a": 1, "b": 2}),
        (float("nan"), float("nan")),
        (10**400, 1.5),
        (2.5, 2),
    ],
)
def test_values_of_other_kinds_are_wrong(actual, expected):
    assert not same_value(actual, expected)


def test_returned_floats_have_the_tolerance_of_printed_ones():
    assert same_value([0.1 + 0.2], [0.3])
    assert not same_value([0.30001], [0.3])
    assert same_value(2.0, 2)
