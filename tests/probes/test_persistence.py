"""A saved probe is data: any imported class is found again, and no file makes a module be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from probes import MeanDifferenceProbe, RidgeProbe, TokenProbe, load_probe
from probes.base import Training

X, Y = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 1.5], [1.4, 0.1]]), [0, 1, 0, 1]


class MyProbe(MeanDifferenceProbe):
    """A user's own probe: twice the mean difference."""

    def __init__(self, factor: float = 2.0, whiten: bool = False, scale: str = "none"):
        super().__init__(whiten=whiten, scale=scale)
        self.factor = factor

    def _solve(self, data: Training) -> tuple[np.ndarray, float]:
        direction, bias = super()._solve(data)
        return self.factor * direction, self.factor * bias


def test_a_users_own_probe_saves_and_loads(tmp_path: Path) -> None:
    probe = MyProbe(factor=3.0).fit(X, Y)
    again = load_probe(probe.save(tmp_path / "probe"))
    assert type(again) is MyProbe
    assert again.factor == 3.0
    np.testing.assert_array_equal(again.decision_function(X), probe.decision_function(X))


def test_a_users_own_probe_inside_another_saves_and_loads(tmp_path: Path) -> None:
    rows = [np.stack([row, row]) for row in X]
    probe = TokenProbe(probe=MyProbe(factor=3.0)).fit(rows, Y)
    again = load_probe(probe.save(tmp_path / "probe"))
    np.testing.assert_array_equal(again.decision_function(rows), probe.decision_function(rows))


def test_a_module_named_by_a_file_is_never_imported(tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text("raise SystemExit('imported')\n")
    folder = MyProbe().fit(X, Y).save(tmp_path / "probe")
    record = json.loads((folder / "probe.json").read_text())
    assert record["module"] == MyProbe.__module__
    (folder / "probe.json").write_text(json.dumps(record | {"module": "strange"}))
    code = (
        "from probes import load_probe\n"
        f"try: load_probe({str(folder)!r})\n"
        "except ValueError as error: print(error)"
    )
    path = [str(tmp_path), str(Path(__file__).parents[2])]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "run `import strange` first" in run.stdout


def test_files_from_before_modules_were_written_load(tmp_path: Path) -> None:
    folder = RidgeProbe(alpha=3.0).fit(X, Y).save(tmp_path / "probe")
    record = json.loads((folder / "probe.json").read_text())
    del record["module"]
    (folder / "probe.json").write_text(json.dumps(record))
    assert load_probe(folder).get_params()["alpha"] == 3.0


def test_a_class_that_cannot_be_found_again_is_refused_when_saved(tmp_path: Path) -> None:
    class Local(MeanDifferenceProbe):
        pass

    with pytest.raises(ValueError, match="inside a function"):
        Local().fit(X, Y).save(tmp_path / "probe")


def test_an_unknown_probe_of_the_package_is_named(tmp_path: Path) -> None:
    folder = RidgeProbe().fit(X, Y).save(tmp_path / "probe")
    record = json.loads((folder / "probe.json").read_text())
    (folder / "probe.json").write_text(json.dumps(record | {"probe": "Nope"}))
    with pytest.raises(ValueError, match="'Nope' is not known; known are"):
        load_probe(folder)
