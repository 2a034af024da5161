"""MLP probes: batching changes nothing, and training does what its settings say."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from probes import MLPProbe, auroc
from probes.mlp import mlp_cells
from probes.mlp_solver import SCHEDULES, MLPSpec, train_mlps


def make_rows(n: int = 120, d: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return rng.normal(size=(n, d)) + 0.8 * (2 * y[:, None] - 1) * rng.normal(size=d), y


def test_models_in_a_batch_do_not_see_each_other() -> None:
    X, y = make_rows()
    specs = [
        MLPSpec(hidden=8, max_epochs=15, weight_decay=0.0, schedule="plateau", patience=4),
        MLPSpec(hidden=8, max_epochs=15, dropout=0.5),
        MLPSpec(hidden=8, max_epochs=15, l1=0.01, learning_rate=0.02, schedule="step"),
    ]
    held = np.arange(len(y)) % 4 == 0
    together = train_mlps(X, y, specs, seeds=[0, 1, 2], validation=held).logits(X)
    for i, spec in enumerate(specs):
        alone = train_mlps(X, y, [spec], seeds=[i], validation=held).logits(X)
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


def test_cells_equal_fitting_probes_one_by_one() -> None:
    X, y = make_rows()
    groups = np.arange(len(y)) // 3
    masks = np.stack([groups % 2 != k for k in range(2)])
    settings = [{"weight_decay": 0.0}, {"weight_decay": 5.0}, {"hidden": 0}]
    probe = MLPProbe(hidden=6, max_epochs=12, n_seeds=2, early_stopping=True, device="cpu", halving=False)
    cells = mlp_cells(probe, settings, X, y, masks, groups)
    for mask, row in zip(masks, cells, strict=True):
        for setting, fitted in zip(settings, row, strict=True):
            alone = MLPProbe(**{**probe.get_params(), **setting}).fit(X[mask], y[mask], groups=groups[mask])
            expected = alone.decision_function(X)
            np.testing.assert_allclose(fitted.decision_function(X), expected, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_training_equals_torch_adamw(hidden: int, activation: str) -> None:
    X, y = make_rows()
    spec = MLPSpec(
        hidden=hidden,
        activation=activation,
        max_epochs=20,
        weight_decay=0.3,
        learning_rate=0.01,
        schedule="cosine",
    )
    start = train_mlps(X, y, [MLPSpec(**{**vars(spec), "max_epochs": 1, "learning_rate": 1e-30})], seeds=[3])
    ours = train_mlps(X, y, [spec], seeds=[3]).logits(X)[0]
    first = torch.nn.Linear(10, max(hidden, 1))
    last = torch.nn.Linear(max(hidden, 1), 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor(start.first[:, 0].T))
        first.bias.copy_(torch.tensor(start.first_bias[0] * (hidden > 0)))
        last.weight.copy_(torch.tensor(start.last))
        last.bias.zero_()
    middle = torch.nn.ReLU() if activation == "relu" else torch.nn.GELU()
    model = torch.nn.Sequential(first, middle, last) if hidden else first
    used = [first, last] if hidden else [first]
    optimiser = torch.optim.AdamW(
        [
            {"params": [layer.weight for layer in used], "weight_decay": 0.3},
            {"params": [layer.bias for layer in used], "weight_decay": 0.0},
        ],
        lr=0.01,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: spec.rate(epoch) / 0.01)
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    for _ in range(spec.max_epochs):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(inputs)[:, 0], labels).backward()
        optimiser.step()
        schedule.step()
    np.testing.assert_allclose(ours, model(inputs)[:, 0].detach().numpy(), atol=2e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_learns(schedule: str) -> None:
    X, y = make_rows()
    probe = MLPProbe(hidden=8, schedule=schedule, n_seeds=1).fit(X, y)
    assert auroc(y, probe.decision_function(X)) > 0.9


def test_hidden_layer_learns_what_a_line_cannot() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    curved = MLPProbe(hidden=32, learning_rate=0.02, max_epochs=200).fit(X[:300], y[:300])
    straight = MLPProbe(hidden=0).fit(X[:300], y[:300])
    assert roc_auc_score(y[300:], curved.decision_function(X[300:])) > 0.95
    assert abs(roc_auc_score(y[300:], straight.decision_function(X[300:])) - 0.5) < 0.2


def test_early_stopping_never_cuts_a_group() -> None:
    _, y = make_rows()
    groups = np.repeat(np.arange(40), 3)
    held = MLPProbe(early_stopping=True)._held_out(y, groups)
    assert held is not None
    assert 0 < held.sum() < len(y)
    assert not set(groups[held]) & set(groups[~held])


def test_early_stopping_keeps_the_best_epoch() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 30)), rng.integers(0, 2, 60)
    probe = MLPProbe(early_stopping=True, learning_rate=0.05, max_epochs=80, n_seeds=1).fit(X, y)
    assert probe.n_iter_ < 20, "noise cannot be learned, so the best validation epoch comes early"


def test_seed_changes_the_start_and_nothing_else_does() -> None:
    X, y = make_rows()
    same = [MLPProbe(hidden=4, max_epochs=5, random_state=1).fit(X, y).decision_function(X) for _ in range(2)]
    other = MLPProbe(hidden=4, max_epochs=5, random_state=50).fit(X, y).decision_function(X)
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.allclose(same[0], other)


def test_bad_settings_are_refused() -> None:
    X, y = make_rows()
    with pytest.raises(ValueError, match="schedule='linear' is not known"):
        MLPProbe(schedule="linear").fit(X, y)
    with pytest.raises(ValueError, match="dropout needs a hidden layer"):
        MLPProbe(hidden=0, dropout=0.5).fit(X, y)
    with pytest.raises(ValueError, match="one class only in the validation part"):
        MLPProbe(early_stopping=True, validation_fraction=0.001).fit(X, y)
