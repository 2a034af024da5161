"""Training goes on exactly where it was killed, and two processes give one process's numbers."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reward_items import BASE, SPEC, opened, stories, view

from rlhf.reward_models import compared_by_approval, train_judge, train_odin
from rlhf.reward_models.fit import CURVE, _Fit, check_asked
from rlhf.reward_models.preference import PreferenceObjective

ROOT = Path(__file__).parents[3]


def weights(model):
    return {
        n: p.detach().clone() for n, p in (*model.model.named_parameters(), *model.head.named_parameters())
    }


@pytest.mark.parametrize("full", [False, True])
def test_a_killed_and_resumed_training_equals_an_undisturbed_one(tmp_path, monkeypatch, full):
    spec = dataclasses.replace(SPEC, rank=0 if full else 2)
    items = stories()

    def train(folder):
        return train_judge(opened(full=full), items, spec, base=BASE, work_dir=folder, progress=False)

    whole = train(tmp_path / "whole")
    step = _Fit._step

    def killed(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(_Fit, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut")
    monkeypatch.setattr(_Fit, "_step", step)
    resumed = train(tmp_path / "cut")
    logs = [(tmp_path / name / CURVE).read_text() for name in ("whole", "cut")]
    assert json.loads(logs[0]) == json.loads(logs[1])
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(whole).items())


def test_checkpoints_of_another_training_are_refused(tmp_path):
    train_judge(opened(), stories(), SPEC, base=BASE, work_dir=tmp_path, progress=False)
    other = dataclasses.replace(SPEC, visibility="none")
    with pytest.raises(ValueError, match="visibility"):
        train_judge(opened(), stories(), other, base=BASE, work_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="examples"):
        train_judge(opened(), stories(4), SPEC, base=BASE, work_dir=tmp_path, progress=False)


def test_items_that_cannot_be_learned_from_are_refused_by_name():
    (one,) = stories(1)
    with pytest.raises(ValueError, match="no item to train"):
        check_asked([])
    with pytest.raises(ValueError, match="'item-0' occurs twice"):
        check_asked([one, one])
    same = dataclasses.replace(one, responses=("x",) * 3)
    with pytest.raises(ValueError, match="all different"):
        check_asked([same])
    frozen = opened(full=True)
    frozen.model.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing in the model is trainable"):
        train_judge(frozen, stories(), SPEC, base=BASE, work_dir="unused", progress=False)


def test_a_diverging_training_stops_with_the_step_and_the_rates(tmp_path):
    wild = dataclasses.replace(SPEC, head_learning_rate=float("inf"))
    with pytest.raises(ValueError, match=r"lower learning_rate|not finite"):
        train_judge(opened(), stories(), wild, base=BASE, work_dir=tmp_path, progress=False)


def test_batches_of_an_epoch_hold_every_item_once(tmp_path):
    items = compared_by_approval(stories(7))
    model = train_odin(opened(), items, SPEC, base=BASE, work_dir=tmp_path, progress=False)
    run = _Fit(model, items, PreferenceObjective(items), tmp_path)
    first = run._epoch(0)
    assert sorted(place for batch in first for place in batch) == list(range(len(items)))
    assert max(map(len, first)) - min(map(len, first)) <= 1
    assert first != run._epoch(1)
    assert view(0) in [one.view for one in items]


@pytest.mark.slow
def test_two_processes_give_one_process_its_numbers(tmp_path):
    script = Path(__file__).parent / "shared_reward.py"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    found = {}
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, str(script), str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
        found[name] = json.loads((tmp_path / name / "found.json").read_text())
    assert (found["one"]["count"], found["two"]["count"]) == (1, 2)
    for one, two in zip(found["one"]["log"], found["two"]["log"], strict=True):
        assert "correlation/quality/length" in one
        assert one == pytest.approx(two, rel=1e-4, abs=1e-5)
    assert found["two"]["scores"] == pytest.approx(found["one"]["scores"], abs=1e-4)
    assert found["two"]["head"] == pytest.approx(found["one"]["head"], abs=1e-5)
