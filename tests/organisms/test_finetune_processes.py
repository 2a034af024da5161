"""Fine-tuning in two processes gives one process's numbers on the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("order", ["random", "group_by_length"])
def test_two_processes_give_one_process_its_numbers(tmp_path, order):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parents[1]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    found = {}
    for name, launcher in (("one", []), ("two", torchrun)):
        script = [str(HERE / "shared_finetune_run.py"), str(tmp_path / name), order]
        done = subprocess.run(
            [sys.executable, *launcher, *script],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[name] = json.loads((tmp_path / name / "found.json").read_text())
    assert (found["one"]["count"], found["two"]["count"]) == (1, 2)
    assert found["two"]["weights"] == pytest.approx(found["one"]["weights"], rel=1e-4, abs=1e-6)
    for one, two in zip(found["one"]["curve"], found["two"]["curve"], strict=True):
        for key in ("loss", "accuracy", "decisive_accuracy", "grad_norm", "learning_rate"):
            assert two[key] == pytest.approx(one[key], rel=1e-4, abs=1e-6), key
