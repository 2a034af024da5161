"""dtype="auto" is what the machine computes fast: the hardware says it, a measurement may contradict it."""

import logging

import pytest
import torch

from activations import dtype, load_model
from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec
from organisms.weights import open_trainable
from sophistry import machine


@pytest.fixture(autouse=True)
def _forget_choices():
    dtype.choose_dtype.cache_clear()
    yield
    dtype.choose_dtype.cache_clear()


def pretend(monkeypatch, *instructions: str, speed: float = 4.0) -> list[str]:
    """A machine with these instructions; gives the list of measurements that were taken."""
    measured: list[str] = []
    monkeypatch.setattr(dtype, "best_device", lambda: "cpu")
    monkeypatch.setattr(dtype, "cpu_instructions", lambda: instructions)
    monkeypatch.setattr(dtype, "apple_silicon", lambda: False)
    monkeypatch.setattr(dtype, "relative_speed", lambda kind: measured.append(kind) or speed)
    return measured


@pytest.mark.parametrize("instructions", [(), ("AVX2",), ("AVX2", "AVX512", "VNNI")])
def test_a_machine_without_bfloat16_products_computes_in_float32(monkeypatch, instructions):
    measured = pretend(monkeypatch, *instructions)
    assert dtype.resolve_dtype("auto") == "float32"
    assert not dtype.resolve_autocast("auto")
    assert measured == []


@pytest.mark.parametrize("instruction", ["AVX512-bf16", "AMX-bf16", "ARM-bf16"])
def test_a_machine_with_bfloat16_products_uses_them(monkeypatch, instruction):
    pretend(monkeypatch, "AVX2", instruction)
    assert dtype.resolve_dtype("auto") == "bfloat16"
    assert dtype.resolve_autocast("auto")


def test_a_measurement_that_contradicts_the_hardware_decides(monkeypatch):
    pretend(monkeypatch, "AMX-bf16", speed=0.2)
    assert dtype.resolve_dtype("auto") == "float32"


def test_the_choice_is_measured_and_logged_once_and_names_the_instructions(monkeypatch, caplog):
    measured = pretend(monkeypatch, "AVX2", "AMX-bf16", speed=3.5)
    with caplog.at_level(logging.INFO, "activations.dtype"):
        for _ in range(3):
            dtype.resolve_dtype("auto")
    assert measured == ["cpu"]
    (line,) = caplog.messages
    assert "bfloat16" in line
    assert "AMX-bf16" in line
    assert "3.5 times" in line


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_a_gpu_uses_bfloat16_from_capability_8(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(dtype, "relative_speed", lambda kind: 5.0)
    assert dtype.resolve_dtype("auto", "cuda:1") == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_type_that_is_asked_for_is_never_changed(monkeypatch, name):
    pretend(monkeypatch)
    assert dtype.resolve_dtype(name) == name


def test_unknown_types_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="dtype='half': use one of auto, float32"):
        dtype.resolve_dtype("half")
    with pytest.raises(ValueError, match="autocast='yes': use auto"):
        dtype.resolve_autocast("yes")


def test_the_measurement_takes_under_a_second_and_gives_a_ratio():
    import time

    start = time.perf_counter()
    assert 0 < dtype.relative_speed("cpu") < 1000
    assert time.perf_counter() - start < 5, "about .1 s on a quiet machine"


@pytest.mark.parametrize(("instruction", "expected"), [("AVX2", "float32"), ("AMX-bf16", "bfloat16")])
def test_loading_and_training_follow_the_machine(monkeypatch, tmp_path, instruction, expected):
    pretend(monkeypatch, instruction)
    tiny = tiny_model()
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu").dtype == expected
    opened = open_trainable(str(tmp_path), None, FineTuneSpec(rank=2))
    kinds = {parameter.requires_grad: str(parameter.dtype) for parameter in opened.model.parameters()}
    assert kinds == {False: f"torch.{expected}", True: "torch.float32"}


def test_the_record_names_the_machines_instructions():
    described = machine.describe_machine()
    assert all(name in described for name in machine.cpu_instructions())
