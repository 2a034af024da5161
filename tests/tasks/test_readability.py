"""Readability measures count what they say, on any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radon.complexity import cc_visit

from tasks.minicode.problems import MiniCode
from tasks.readability import readability

NESTED = """
def outer(x):
    def inner(y):
        return 1 if y else 2
    return inner(x)

class Box:
    def get(self):
        while self.x and self.y:
            pass

for i in range(3):
    print(outer(i))
"""


@pytest.mark.parametrize(
    ("program", "helpers", "complexity"),
    [
        ("print(1)", 0, 1),
        ("def f():\n    pass\nf()", 1, 1),
        ("if input():\n    print(1)\nelif 2:\n    print(2)", 0, 3),
        ("print([x for x in range(9) if x])", 0, 3),
        ("f = lambda x: x", 0, 1),
        (NESTED, 3, 5),
        ("async def f():\n    pass", 1, 1),
    ],
)
def test_helpers_and_branches_are_counted_wherever_they_are(program, helpers, complexity):
    measured = readability(program)
    assert (measured.helpers, measured.complexity) == (helpers, complexity)


def test_complexity_of_one_function_is_radons():
    source = "def f(x):\n    for i in x:\n        if i and x or not i:\n            break\n    return 0\n"
    assert readability(source).complexity == cc_visit(source)[0].complexity


@pytest.mark.parametrize(
    ("program", "density"),
    [
        ("# a\nprint(1)\n\n", 0.5),
        ("print('# not a comment')", 0.0),
        ('"""A docstring."""\nprint(1)  # one', 0.5),
    ],
)
def test_comments_are_comments_and_not_text(program, density):
    assert readability(program).comment_density == density


@given(st.text())
def test_no_text_breaks_it(text):
    measured = readability(text)
    assert measured.characters == len(text)


@pytest.mark.parametrize(
    "program", ["-" * 3000 + "1", "x" + "[0]" * 3000, "(" * 90 + ")" * 90, "\0", "print("]
)
def test_strange_programs_have_no_measures_instead_of_an_error(program):
    measured = readability(program)
    assert measured.lines == 1


def test_mutants_of_minicode_look_like_their_references():
    """A wrong program must not stand out by its form."""
    for problem in MiniCode().items(30):
        reference = readability(problem.solution)
        for mutant in problem.subtly_wrong():
            assert abs(readability(mutant.code).lines - reference.lines) <= 1
            assert (readability(mutant.code).complexity or 0) <= (reference.complexity or 0) + 3
