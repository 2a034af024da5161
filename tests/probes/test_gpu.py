"""Probes fitted on a GPU are those fitted on the CPU. Off by default; `make test-gpu` runs it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import QUICK, SMALL_LOGISTIC, make_directions, make_domain, orthogonal_to

from probes import AttentionProbe, Family, MLPProbe, load_probe, sweep, transfer
from probes.batched import logistic_cells
from probes.mlp_solver import MLPSpec, train_mlps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def make_rows(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, d)) * np.geomspace(0.1, 30.0, d) + rng.normal(size=d) * 5
    return X + np.geomspace(0.1, 30.0, d) * (2 * y[:, None] - 1) * 0.3, y


@pytest.mark.parametrize(("n", "d"), [(400, 64), (60, 300)])
def test_logistic_grid_equals_that_of_the_cpu(n: int, d: int) -> None:
    X, y = make_rows(n, d)
    masks = np.stack([np.arange(n) % 3 != k for k in range(3)])
    Cs = np.array([1e-3, 0.1, 10.0])
    found, expected = (
        np.einsum("msd,nd->msn", W, X) + b[..., None]
        for W, b in (logistic_cells(X, y, masks, Cs, device=device) for device in ("cuda", "cpu"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize(
    "spec",
    [
        MLPSpec(hidden=16, max_epochs=15),
        MLPSpec(hidden=16, max_epochs=15, activation="gelu", schedule="plateau", patience=4),
        MLPSpec(hidden=16, max_epochs=15, dropout=0.5, l1=0.01),
        MLPSpec(hidden=0, max_epochs=15),
    ],
    ids=["relu", "gelu and plateau", "dropout and l1", "linear"],
)
@pytest.mark.parametrize("stopped", [False, True], ids=["to the end", "early stopping"])
def test_mlps_equal_those_of_the_cpu(spec: MLPSpec, stopped: bool) -> None:
    X, y = make_rows(300, 20)
    Z = (X - X.mean(0)) / X.std(0)
    validation = np.arange(len(y)) % 4 == 0 if stopped else None
    specs = [spec, replace(spec, weight_decay=2.0)]
    gpu, cpu = (
        train_mlps(Z, y, specs, seeds=[0, 1], validation=validation, device=device).logits(Z)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-3)


def test_attention_probe_equals_that_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    rows = [rng.normal(size=(rng.integers(2, 9), 5)) + label for label in y]
    gpu, cpu = (
        AttentionProbe(max_epochs=10, device=device).fit(rows, y).decision_function(rows)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sweep_finds_what_it_finds_on_the_cpu(n_jobs: int) -> None:
    domain = make_domain("source", 3, make_directions(1))
    gpu = sweep(domain, SMALL_LOGISTIC, device="cuda", n_jobs=n_jobs)
    cpu = sweep(domain, SMALL_LOGISTIC, device="cpu")
    np.testing.assert_allclose(gpu.auroc, cpu.auroc, atol=1e-3)
    assert (gpu.layer, gpu.setting) == (cpu.layer, cpu.setting)


def test_sweep_of_mlps_finds_what_it_finds_on_the_cpu() -> None:
    domain = make_domain("source", 3, make_directions(1))
    gpu, cpu = (
        sweep(domain, Family(name="mlp", probe=probe, grid={"weight_decay": (0.1, 1.0)}))
        for probe in (
            MLPProbe(hidden=8, max_epochs=10, n_seeds=2, device=device) for device in ("cuda", "cpu")
        )
    )
    np.testing.assert_allclose(gpu.auroc, cpu.auroc, atol=2e-3)


def test_transfer_says_what_it_says_on_the_cpu() -> None:
    way = make_directions(1, n_layers=3)
    source = make_domain("source", 10, way, strength=1.2)
    targets = [make_domain("shared", 11, way), make_domain("rotated", 12, orthogonal_to(way, 2))]
    gpu, cpu = (
        transfer(source, targets, [SMALL_LOGISTIC], options=replace(QUICK, device=device))
        for device in ("cuda", "cpu")
    )
    theirs, ours = (result.to_frame() for result in (cpu, gpu))
    numbers = theirs.select_dtypes("number").columns
    np.testing.assert_allclose(ours[numbers], theirs[numbers], atol=5e-3)


def test_probe_fitted_on_a_gpu_is_saved_and_read_without_one(tmp_path: Path) -> None:
    X, y = make_rows(200, 20)
    probe = MLPProbe(hidden=8, max_epochs=10, device="cuda").fit(X, y)
    probe.save(tmp_path / "probe")
    again = load_probe(tmp_path / "probe")
    np.testing.assert_array_equal(again.decision_function(X), probe.decision_function(X))
