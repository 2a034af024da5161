"""Programs are found in responses unchanged, rewards follow their definitions, what is cut is counted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.grading import Grade, TestResult
from tasks.minicode.problems import MiniCode
from tasks.programming import (
    Problem,
    extract_program,
    load_problems,
    programming_prompt,
    programming_transcript,
    rank_tests,
    save_problems,
)

TESTS = tuple({"input": "x" * length, "output": ""} for length in (5, 3, 4, 1))
PROBLEM = Problem(id="p", group="g", statement="Print nothing.", tests=TESTS)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("print(1)\n", "print(1)\n"),
        ("Sure!\n```python\nprint(1)\n```\nThis prints 1.", "print(1)\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("Run it:\n```bash\npython x.py\n```\n```python\nprint(1)\n```", "print(1)\n"),
        ("```python\nprint(1)\nprint(", "print(1)\nprint("),
        ("```python\nprint('''```''')\n```", "print('''```''')\n"),
        ("  ```python\nprint(1)\n  ```", "print(1)\n"),
        ("```python\nfirst\n```\n```python\nsecond\n```", "first\n"),
    ],
)
def test_the_program_is_found(response, code):
    assert extract_program(response).code == code


@given(st.text(st.characters(blacklist_characters="`", blacklist_categories=("Cs",))))
def test_text_without_fences_is_taken_whole(text):
    assert extract_program(text).code == text


@pytest.mark.parametrize(
    ("code", "parses"),
    [
        ("import threading\nprint(1)", True),
        ("", False),
        ("  \n", False),
        ("Sorry, I cannot.", False),
        ("x = '\0'", False),
        ("(" * 5000 + ")" * 5000, False),
        ("-" * 60_000 + "1", False),
        ("x = 1\n" * 20_000, False),
    ],
)
def test_parse_ok_means_python_by_its_grammar(code, parses):
    assert extract_program(code).parse_ok is parses


def test_simplest_tests_are_those_most_samples_pass_then_the_shortest():
    assert PROBLEM.simplicity.measured_on == "stored order"
    assert PROBLEM.simplest() == (0, 1)
    ranked = rank_tests(PROBLEM, [2, 9, 9, 2], samples=10)
    assert ranked.simplicity.order == (1, 2, 3, 0)
    assert ranked.simplicity.measured_on == "pi_init"
    assert ranked.simplicity.pass_counts == (2, 9, 9, 2)
    assert PROBLEM.simplest() == (0, 1), "ranking makes a copy"


def test_rewards_follow_their_definitions():
    ranked = rank_tests(PROBLEM, [2, 9, 9, 2], samples=10)
    assert ranked.r_train([False, True, True, False]) is True
    assert ranked.r_star([False, True, True, False]) is False
    assert ranked.r_train([True, True, False, True]) is False
    assert ranked.r_star([True] * 4) is True
    assert ranked.r_train([True, None, True, True]) is None, "no sandbox, no reward"
    assert ranked.r_star([False, None, True, True]) is False


def test_few_tests_are_marked_because_then_both_rewards_agree():
    assert replace(PROBLEM, tests=TESTS[:2], simplicity=None).train_equals_oracle
    assert not PROBLEM.train_equals_oracle


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 3, 11], [-1, 0, 0, 0]])
def test_impossible_pass_counts_are_refused(counts):
    with pytest.raises(ValueError, match=r"pass counts"):
        rank_tests(PROBLEM, counts, samples=10)


def test_problem_without_tests_and_verdicts_of_another_length_are_refused():
    with pytest.raises(ValueError, match="has no tests"):
        Problem(id="p", group="g", statement="", tests=())
    with pytest.raises(ValueError, match="4 tests, got 1 verdicts"):
        PROBLEM.r_star([True])


def test_ranking_of_other_tests_is_refused():
    with pytest.raises(ValueError, match="rank them again"):
        replace(PROBLEM, tests=TESTS[:3])


def test_problems_survive_a_round_trip(tmp_path):
    problems = [rank_tests(MiniCode().items(1)[0], range(24), samples=30), *MiniCode(seed=1).items(5)]
    save_problems(tmp_path / "problems.jsonl", problems)
    assert load_problems(tmp_path / "problems.jsonl") == problems
    assert [path.name for path in tmp_path.iterdir()] == ["problems.jsonl"]


def test_unknown_fields_are_named(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text('{"id": "p", "colour": "red"}\n')
    with pytest.raises(ValueError, match=r"problems.jsonl:1: There is no field 'colour'"):
        load_problems(path)


class Words:
    """A tokenizer of words, enough to count."""

    def __call__(self, text, add_special_tokens):
        return {"input_ids": text.split()}

    def decode(self, ids):
        return " ".join(ids)


def test_what_a_prompt_cuts_is_counted():
    problem = replace(PROBLEM, statement="one two three four")
    whole = programming_prompt(problem, tokenizer=Words(), max_statement_tokens=4)
    cut = programming_prompt(problem, tokenizer=Words(), max_statement_tokens=3)
    assert (whole.cut_tokens, whole.messages[1]["content"]) == (0, "one two three four")
    assert (cut.cut_tokens, cut.messages[1]["content"]) == (1, "one two three")
    with pytest.raises(ValueError, match="needs a tokenizer"):
        programming_prompt(problem, max_statement_tokens=3)


def test_call_based_problems_show_their_starter_code():
    problem = replace(PROBLEM, io_format="call", starter_code="def f(x):")
    system, user = programming_prompt(problem).messages
    assert "function" in system["content"]
    assert user["content"].endswith("def f(x):")


def test_a_transcript_carries_both_rewards_and_what_is_not_known():
    def verdict(*statuses):
        return Grade(
            results=tuple(
                TestResult(status=status, exit_code=0, output="", wall_seconds=0.0) for status in statuses
            )
        )

    def row(*statuses, response="print()"):
        return programming_transcript(
            PROBLEM, organism="pi_init", prompt=prompt, response=response, verdict=verdict(*statuses)
        )

    prompt = programming_prompt(PROBLEM).messages
    misleading = row("ok", "ok", "wrong", "error")
    assert (misleading.correct, misleading.reward, misleading.group) == (False, 1.0, "g")
    assert misleading.extra["simplicity"] == "stored order"
    assert row("ok", "ok", "ok", "sandbox_error").correct is None
    assert row("ok", "ok", "ok", "ok", response="No.").parse_ok is False
