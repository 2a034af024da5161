"""Two processes give one process's numbers on the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_rrhf_and_ddpo_in_two_processes_give_one_process_its_numbers(tmp_path):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parents[2]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, str(HERE / "shared_offline_run.py"), str(tmp_path / name)]
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "count.json").read_text()) == 2
    for part in ("part-000", "part-003"):
        drawn = [(tmp_path / name / "drawn" / part / "sampled.jsonl").read_text() for name in ("one", "two")]
        assert drawn[0] == drawn[1]
    for recipe, steps in (("rrhf", 6), ("ddpo", 6), ("dpo", 6)):
        logs = [
            [
                json.loads(line)
                for line in (tmp_path / name / recipe / "rounds.jsonl").read_text().splitlines()
            ]
            for name in ("one", "two")
        ]
        assert len(logs[0]) == steps
        for one, two in zip(*logs, strict=True):
            assert one == pytest.approx(two, rel=1e-4, abs=1e-5)
