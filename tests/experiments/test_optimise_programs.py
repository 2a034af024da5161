"""Which reward, which pool and which items belong to a task, and what may not meet."""

import numpy as np
import pytest

from experiments.rl_items import items_to_train
from experiments.rl_spec import RLSpec
from rlhf.evaluators.testers import BusyTester
from rlhf.recipes import DPO, KTO
from rlhf.rewards.approval import Approval
from rlhf.rewards.oracle import ProgramOracle, StoryOracle
from tasks.dataset import DatasetSpec
from tasks.minicode.problems import CAVEAT
from tasks.sources import open_dataset

CODE = DatasetSpec(
    source="minicode",
    taught=40,
    taught_levels=(CAVEAT,),
    evaluated=40,
    evaluated_levels=(CAVEAT, "hard"),
    taught_seed=3,
    evaluated_seed=2000,
)


def test_no_combination_of_steps_that_is_evaluated_is_trained_on():
    spec = RLSpec(items=40, levels=(CAVEAT, "hard"))
    trained = {item.group for item in items_to_train(spec, CODE, open_dataset(CODE).items)}
    assert trained
    assert not trained & {item.group for item in open_dataset(CODE).items}


def test_items_of_the_evaluation_or_of_what_is_taught_are_refused():
    for seed in (CODE.taught_seed, CODE.evaluated_seed):
        with pytest.raises(ValueError, match="is taught or evaluated already"):
            items_to_train(RLSpec(items_seed=seed, levels=(CAVEAT,)), CODE, [])


def test_programs_are_judged_by_testers_and_those_who_measure_have_no_part_in_the_reward():
    spec = RLSpec(readers=3, measuring=5)
    reward, measuring = spec.reward("approval", "programming"), spec.measuring_pool("programming")
    assert isinstance(reward, Approval)
    assert all(isinstance(one, BusyTester) for pool in (reward.pool, measuring) for one in pool.evaluators)
    assert (len(reward.pool), len(measuring)) == (3, 5)
    assert reward.pool.disjoint(measuring)
    assert reward.sees == {"statement", "checks"}


def test_truth_is_that_of_the_task_and_nobody_tests_thoroughly():
    assert isinstance(RLSpec().reward("oracle", "programming"), ProgramOracle)
    assert isinstance(RLSpec().reward("oracle", "qa"), StoryOracle)
    with pytest.raises(ValueError, match="'thorough' is for stories"):
        RLSpec().reward("thorough", "programming")


@pytest.mark.parametrize(("name", "kind"), [("dpo", DPO), ("kto", KTO)])
def test_settings_reach_the_offline_recipe(tmp_path, name, kind):
    spec = RLSpec(recipe=name, learning_rate=3e-4, beta=0.3, epochs=2.0, batch_size=4, samples=5)
    recipe = spec.offline(7, tmp_path, "truth")
    assert isinstance(recipe, kind)
    assert (recipe.spec.learning_rate, recipe.spec.beta, recipe.spec.epochs) == (3e-4, 0.3, 2.0)
    assert (recipe.spec.batch_size, recipe.spec.seed, recipe.sampling.samples) == (4, 7, 5)
    assert (recipe.score, recipe.drawn) == ("truth", str(tmp_path))


def test_answers_are_greedy_or_sampled():
    with pytest.raises(ValueError, match="answers must be"):
        RLSpec(answers=("beam",))
    assert np.all([RLSpec(answers=(one,)).answers for one in ("greedy", "sampled")])
