"""Values travel into the sandbox and out of it as they are, or are refused at the door."""

import json
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.comparator import same_value
from tasks.grading import grade
from tasks.programming import Problem, load_problems, save_problems
from tasks.sandbox import SandboxError, pack, sandbox_record, unpack

BIG = 10**5000
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(1, 9).map(lambda n: (-1) ** n * 10 ** (5000 * n))
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
)
HASHABLE = st.recursive(SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2))
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(HASHABLE | st.text("$int", max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def sandbox():
    try:
        return sandbox_record()
    except SandboxError as error:
        pytest.skip(str(error))


def typed(value):
    if isinstance(value, dict):
        return {typed(k): typed(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(map(typed, value))
    return (type(value), value)


@settings(deadline=None)
@given(VALUES)
def test_every_plain_value_comes_back_with_its_types(value):
    assert typed(unpack(json.loads(json.dumps(pack(value))))) == typed(value)


@settings(deadline=None)
@given(VALUES)
def test_every_value_equals_itself_after_its_way_out_of_the_sandbox(value):
    assert same_value(unpack(json.loads(json.dumps(pack(value, tuples=False)))), value)


@pytest.mark.parametrize(
    "value", [{1: 2}, {(1, 2): "x"}, (1, (2,)), {1, 2}, BIG, -BIG, [{"$int": 3}], {"1": 2}], ids=range(8)
)
def test_a_program_sees_the_value_of_the_test_and_its_answer_is_compared_with_it(value, sandbox):
    test = {"fn_name": "f", "args": [value, type(value).__name__], "output": value}
    assert grade("def f(x, kind): return x if type(x).__name__ == kind else None", [test]).passed is True
    assert grade("def f(x, kind): return [x]", [test]).passed is False


def test_keys_of_a_json_file_match_the_numbers_that_they_were():
    assert same_value({1: 2, 2.5: 3}, {"1": 2, "2.5": 3})
    assert not same_value({"1": 2}, {1: 2})
    assert not same_value({True: 2}, {1: 2})
    assert not same_value({True}, {1})


def test_tests_with_equal_json_but_other_values_are_graded_apart(sandbox):
    tests = [[{"fn_name": "f", "args": [x], "output": "int"}] for x in ({1: 0}, {"1": 0})]
    code = "def f(x): return type(next(iter(x))).__name__"
    assert [grade(code, items).passed for items in tests] == [True, False]


@pytest.mark.parametrize("value", [b"x", 1j, object(), math])
@pytest.mark.parametrize("place", ["args", "output"])
def test_a_value_that_cannot_travel_is_refused_with_its_test(value, place):
    good = {"fn_name": "f", "args": [1], "output": 1}
    with pytest.raises(ValueError, match=r"program 0, test 1: .*plain types"):
        grade("def f(x): return x", [good, good | {place: [value]}])


def test_forged_answers_are_errors_and_not_crashes(sandbox):
    for text in ('{"$int": 5}', '{"$int": "x"}', '{"$set": [[1]]}', '{"$dict": [1]}', '{"$tuple": 1}'):
        code = f"import os\ndef f():\n    os.write(3, {text!r}.encode())\n    os._exit(0)"
        assert grade(code, [{"fn_name": "f", "args": [], "output": 1}]).passed is False


def test_integers_of_any_length_are_printed_and_read(sandbox):
    assert grade("print(10 ** 5000)", [{"input": "", "output": "1" + "0" * 5000}]).passed is True


def test_stored_problems_keep_the_values_of_their_tests(tmp_path):
    test = {"fn_name": "f", "args": [{1: (2,)}, {3}], "output": 10**5000}
    problem = Problem(id="p", group="g", statement="s", tests=(test,), io_format="call", fn_name="f")
    save_problems(tmp_path / "p.jsonl", [problem])
    assert load_problems(tmp_path / "p.jsonl") == [problem]


JUDGE = (
    "heappush([], 1); accumulate([1]); permutations([1]); deque(); Counter(); fabs(-1.0); log2(2)",
    "fractions.Fraction(1); time.time(); sys.maxsize; bisect_left([1], 1); lru_cache(None)(len); gcd(2, 4)",
)


@pytest.mark.parametrize("names", JUDGE)
def test_a_call_finds_the_names_that_its_judge_imports(names, sandbox):
    code = (
        f"class Solution:\n    def f(self, x: List[int]) -> Optional[int]:\n        {names}\n        return x"
    )
    assert grade(code, [{"fn_name": "f", "args": [1], "output": 1}]).passed is True


@pytest.mark.parametrize(
    "output", [float("nan"), [1, float("nan")], {"a": (float("nan"),)}, {float("nan")}], ids=repr
)
def test_a_test_that_no_answer_could_pass_is_refused(output):
    with pytest.raises(ValueError, match="test 0: no answer equals the expected output"):
        grade("def f(): return 1", [{"fn_name": "f", "args": [], "output": output}])


@pytest.mark.parametrize(
    ("test", "cause"),
    [
        ({"input": "1", "output": "1 NaN"}, "no answer equals"),
        ({"input": "\ud800", "output": "1"}, "half a character"),
        ({"input": "1", "output": "\udfff"}, "half a character"),
        ({"fn_name": "class", "args": [], "output": 1}, "needs a name"),
        ({"fn_name": "f", "args": [b"x"], "output": 1}, "bytes is no plain value"),
        ({"fn_name": "f", "args": [Decimal(1)], "output": 1}, "Decimal is no plain value"),
        ({"fn_name": "f", "args": [np.int64(1)], "output": 1}, "int64 is no plain value"),
    ],
)
def test_a_test_that_no_program_could_be_given_is_refused(test, cause):
    with pytest.raises(ValueError, match=cause):
        grade("print(1)", [{"input": "", "output": "1"}, test])


@pytest.mark.parametrize(
    "value", ["nan", np.str_("a"), np.float64(0.5), "half \ud800", float("inf"), {"nan"}]
)
def test_text_and_numbers_of_any_class_are_compared_by_what_they_are(value, sandbox):
    assert grade("def f(x): return x", [{"fn_name": "f", "args": [value], "output": value}]).passed is True
