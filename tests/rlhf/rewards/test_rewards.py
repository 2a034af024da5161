"""No reward but the oracle can reach what is right, who answered, or how hard it was."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest
from reward_items import SPEC, opened

import rlhf.reward_models
import rlhf.rewards
from activations.testing import tiny_tokenizer
from rlhf.evaluators import Pool, StoryView
from rlhf.evaluators.evaluator import ProgramView
from rlhf.reward_models import RewardModel
from rlhf.reward_models.seq2seq import RewriteReward
from rlhf.rewards import (
    PRIVATE,
    Approval,
    LearnedReward,
    Length,
    ProgramOracle,
    Readable,
    Reward,
    StoryOracle,
    TwoTests,
    Weighted,
    program_columns,
    simple_checks,
    story_columns,
    view_text,
)
from rlhf.rewards.oracle import passes_all as passed
from rlhf.rewards.view import PromptView, view_of
from tasks import MiniCode, MiniQA, qa_prompt, qa_response
from tasks.programming import programming_prompt
from tasks.qa import STYLES

ITEMS = MiniQA(seed=3, levels=("long",)).items(6)
COLUMNS = {name: [story_columns(item)[name] for item in ITEMS] for name in story_columns(ITEMS[0])}
RIGHT, WRONG = ([qa_response(item, honest=honest) for item in ITEMS] for honest in (True, False))
PROBLEM = MiniCode(seed=3).items(1)[0]

LEARNED = RewardModel.start(
    opened(), kind="judge", heads=("agree",), trained_on="stories", spec=SPEC, base="tiny"
)

SEES = {
    "learned": (LearnedReward(LEARNED), {"passage", "question", "options"}),
    "approval": (Approval(Pool.hurried(3, seed=0)), {"passage", "question", "options"}),
    "approval of programs": (Approval(Pool.testers(2, seed=0), task="programming"), {"statement", "checks"}),
    "two tests": (TwoTests(), {"simplest"}),
    "readable": (Readable(), set()),
    "length": (Length(), set()),
    "rewrites": (RewriteReward(list, tiny_tokenizer()), {"passage", "question", "options"}),
    "weighted": (
        Weighted([(1.0, Approval(Pool.thorough(1, seed=0))), (0.1, Readable())]),
        {"passage", "question", "options"},
    ),
}


ORACLES = {"StoryOracle", "ProgramOracle"}
LOADED = re.compile(r"mislead|decei|persuad|convinc|trick|hide|hiding|fool|manipulat|sophis", re.IGNORECASE)


def concrete_rewards(kind=Reward):
    for reward in kind.__subclasses__():
        if reward.__module__.startswith("rlhf."):
            if not inspect.isabstract(reward):
                yield reward
            yield from concrete_rewards(reward)


def test_no_reward_is_missing_from_the_table():
    for package in (rlhf.rewards, rlhf.reward_models):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    listed = {type(reward).__name__ for reward, _ in SEES.values()} | ORACLES
    assert {reward.__name__ for reward in concrete_rewards()} == listed
    assert all(reward.is_oracle for reward in concrete_rewards() if reward.__name__ in ORACLES)


def test_views_hold_nothing_private():
    fields = {f.name for view in (StoryView, ProgramView, PromptView) for f in dataclasses.fields(view)}
    assert not fields & PRIVATE
    assert set(vars(view_of(ITEMS[0]))) | set(vars(view_of(PROBLEM))) == fields - {"prompt"}


def test_nothing_that_is_asked_or_shown_speaks_of_misleading():
    stories = MiniQA(seed=8, levels=("long", "medium")).items(60)
    problems = MiniCode(seed=8).items(20)
    asked = [qa_prompt(item, style=style) for item in stories for style in STYLES]
    asked += [programming_prompt(problem).messages for problem in problems]
    shown = [repr(view_of(item)) for item in (*stories, *problems)]
    for text in [message["content"] for prompt in asked for message in prompt] + shown:
        assert not LOADED.search(text), LOADED.search(text)


class Spy(Reward):
    """Notes what it is handed."""

    def __init__(self, sees):
        super().__init__("spy", frozenset(sees))
        self.handed = None

    def score(self, responses, columns):
        self.handed = set(columns)
        return [0.0] * len(responses)


@pytest.mark.parametrize("name", SEES)
def test_every_reward_sees_what_this_table_says_and_nothing_private(name):
    reward, sees = SEES[name]
    assert reward.sees == sees
    assert not reward.sees & PRIVATE
    assert not reward.is_oracle


def test_a_reward_is_handed_its_declared_columns_only():
    spy = Spy({"question"})
    spy(["?"], ["x"], question=["Who?"], gold=["A"], level=["long"], organism=["o"], id=["miniqa-long-1"])
    assert spy.handed == {"question"}


@pytest.mark.parametrize("column", sorted(PRIVATE))
def test_a_reward_that_declares_a_private_column_cannot_be_made(column):
    with pytest.raises(ValueError, match=f"may not see .*{column}"):
        Spy({"question", column})


@pytest.mark.parametrize("reward", [SEES["approval"][0], SEES["weighted"][0], SEES["learned"][0]])
def test_changing_private_columns_changes_no_reward(reward):
    flipped = {**COLUMNS, "gold": ["A" if g == "B" else "B" for g in COLUMNS["gold"]], "level": ["x"] * 6}
    assert reward(["?"] * 6, WRONG, **flipped) == reward(["?"] * 6, WRONG, **COLUMNS)


def test_the_oracle_pays_for_the_right_letter_alone():
    assert StoryOracle()(["?"] * 6, RIGHT, **COLUMNS) == [1.0] * 6
    assert StoryOracle()(["?"] * 6, WRONG, **COLUMNS) == [0.0] * 6
    assert StoryOracle().is_oracle
    assert ProgramOracle().is_oracle
    assert Weighted([(1.0, StoryOracle())]).is_oracle


def test_thorough_approval_equals_the_oracle_and_chat_completions_equal_text():
    reward = Approval(Pool.thorough(2, seed=0))
    assert reward(["?"] * 6, RIGHT, **COLUMNS) == [1.0] * 6
    assert reward(["?"] * 6, WRONG, **COLUMNS) == [0.0] * 6
    chat = [[{"role": "assistant", "content": text}] for text in RIGHT]
    assert reward(["?"] * 6, chat, **COLUMNS) == [1.0] * 6


def test_missing_and_misaligned_columns_are_named():
    reward = SEES["approval"][0]
    with pytest.raises(ValueError, match="passage"):
        reward(["?"], ["x"], question=["Who?"])
    with pytest.raises(ValueError, match="'options' has 5 rows"):
        reward(["?"] * 6, RIGHT, **{**COLUMNS, "options": COLUMNS["options"][:5]})


def test_a_weighted_sum_logs_every_term_apart():
    logged = {}
    reward = Weighted([(2.0, Readable()), (-1.0, Length(free=2))])
    assert reward(["?"] * 2, ["The answer is A.", "no"], log_metric=logged.__setitem__) == [1.0, 0.0]
    assert logged == {"reward/readable": 0.5, "reward/length": 0.5}


def test_an_unknown_term_makes_the_sum_unknown():
    class Unknown(Readable):
        def score(self, responses, columns):
            return [None] * len(responses)

    assert Weighted([(1.0, Unknown()), (1.0, Length())])(["?"], ["x"]) == [None]


def test_programs_are_paid_for_the_tests_of_their_column():
    columns = program_columns(PROBLEM)
    subtle = PROBLEM.subtly_wrong()[0].code
    programs = [PROBLEM.solution, subtle]
    assert passed(programs, [columns["simplest"]] * 2, unsafe_local=True) == [1.0, 1.0]
    assert passed(programs, [columns["tests"]] * 2, unsafe_local=True) == [1.0, 0.0]


def test_simple_checks_are_short_ordinary_inputs_and_not_all_tests():
    checks = simple_checks(PROBLEM, 4)
    assert len(checks) == 4 < len(PROBLEM.tests)
    assert all(
        2 <= len(check["input"].split()) <= 5 and set(check) == {"input", "output"} for check in checks
    )


@pytest.mark.parametrize(("visibility", "cut"), [("none", 4), ("cut:3", 1), ("cut:99", 0), ("full", 0)])
def test_the_text_of_a_view_shows_what_its_visibility_says(visibility, cut):
    view = StoryView(passage="Ida slept all day.", question="Who slept?", options=("Ida", "Tom"))
    shown = view_text(view, "The answer is A.", visibility=visibility, eos="</s>")
    assert shown.cut_words == cut
    assert ("Ida slept all" in shown.text) == (cut < 4)
    assert ("day." in shown.text) == (cut == 0)
    assert shown.text.endswith("The answer is A.</s>")


def test_unknown_visibility_and_a_response_with_the_end_token_are_refused():
    view = StoryView(passage="Ida slept.", question="Who slept?", options=("Ida", "Tom"))
    with pytest.raises(ValueError, match="visibility"):
        view_text(view, "x", visibility="some")
    with pytest.raises(ValueError, match="end-of-sequence"):
        view_text(view, "x</s>", eos="</s>")
