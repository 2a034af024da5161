"""Plans count what is published, and add up."""

import pytest
from transformers import AutoConfig

from study.cost import ModelSize
from study.training_cost import (
    EIGHT,
    ONE,
    SHAPES,
    Lengths,
    PlannedStep,
    fine_tuning,
    policy_optimisation,
    total,
)

PUBLISHED = {
    "llama-2-7b": 6.738e9,
    "deepseek-coder-7b": 6.910e9,
    "qwen2.5-coder-0.5b": 0.494e9,
    "qwen2.5-coder-1.5b": 1.544e9,
}


@pytest.fixture(scope="module")
def llama():
    return ModelSize.of(AutoConfig.for_model(**SHAPES["llama-2-7b"]), "llama-2-7b")


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_the_published_number_of_parameters(name):
    size = ModelSize.of(AutoConfig.for_model(**SHAPES[name]), name)
    assert size.parameters == pytest.approx(PUBLISHED[name], rel=2e-3)


def test_several_gpus_divide_the_hours_and_the_batch_of_what_they_share(llama):
    lengths = Lengths(prompt=500.0, answer=100.0, source="made up")
    step = fine_tuning("sft", llama, lengths, steps=10, batch_size=16, rank=16)
    assert step.hours(ONE) == pytest.approx(8 * step.hours(EIGHT))
    assert step.memory_on(EIGHT) < step.memory_on(ONE)
    alone = PlannedStep(name="alone", memory=1.0, disk=1.0, read=1e18)
    assert alone.hours(ONE) == alone.hours(EIGHT)
    assert total([step, alone], EIGHT)[2] == pytest.approx(step.hours(EIGHT) + alone.hours(EIGHT))


def test_training_the_last_blocks_keeps_all_weights_in_float32_and_their_moments_for_the_blocks_alone(llama):
    lengths = Lengths(prompt=500.0, answer=100.0, source="made up")
    how = {
        "rounds": 1,
        "prompts": 8,
        "samples": 1,
        "inner_epochs": 4,
        "rank": 16,
        "rows": 1,
        "micro_tokens": 1,
    }
    top = policy_optimisation("ppo", llama, lengths, top_blocks=2, **how)
    trained = llama.body * 2 / 32
    assert top.memory == pytest.approx(4 * llama.parameters + 16 * trained, rel=1e-3)
    every = policy_optimisation("ppo", llama, lengths, top_blocks=32, **how)
    assert every.read > top.read, "gradients through all blocks cost more"
