"""The loops that a probe sweep replaces, written as their users write them: one fit after the other.

Every logistic route takes activations `[row, d]`, labels and training masks `[fold, row]` and returns the
scores of all rows under each fold and C, `[fold, C, row]`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probes.mlp_solver import MLPSpec

CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class Sklearn:
    """A loop of scikit-learn fits, in this process or in a pool of them."""

    solver: str
    tol: float
    jobs: int = 1

    def __call__(self, X: np.ndarray, y: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Fit every fold and C."""
        from joblib import Parallel, delayed

        tasks = [(mask, C) for mask in masks for C in CS]
        rows: Any
        if self.jobs == 1:
            rows = [fit_sklearn(X, y, mask, C, self.solver, self.tol) for mask, C in tasks]
        else:
            rows = Parallel(n_jobs=self.jobs)(
                delayed(fit_sklearn)(X, y, mask, C, self.solver, self.tol) for mask, C in tasks
            )
        return np.reshape(rows, (len(masks), len(CS), len(y)))


def fit_sklearn(
    X: np.ndarray, y: np.ndarray, mask: np.ndarray, C: float, solver: str, tol: float
) -> np.ndarray:
    """One fit on one fold; scores of all rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(X[mask])
    model: Any = LogisticRegression(C=C, solver=solver, tol=tol, max_iter=100_000)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # line searches that stop at rounding error
        model.fit(scaler.transform(X[mask]), y[mask])
    return model.decision_function(scaler.transform(X))


def torch_lbfgs(X: np.ndarray, y: np.ndarray, masks: np.ndarray, device: str = "cpu") -> np.ndarray:
    """A loop of torch LBFGS fits in double precision, each to a gradient of 1e-8 of the mean loss."""
    import torch

    found = np.empty((len(masks), len(CS), len(y)))
    for m, mask in enumerate(masks):
        center, spread = X[mask].mean(0), X[mask].std(0)
        Z = torch.as_tensor((X - center) / spread, dtype=torch.float64, device=device)
        train = Z[torch.as_tensor(mask, device=device)]
        labels = torch.as_tensor(y[mask], dtype=torch.float64, device=device)
        for c, C in enumerate(CS):
            w = torch.zeros(X.shape[1], dtype=torch.float64, device=device, requires_grad=True)
            b = torch.zeros((), dtype=torch.float64, device=device, requires_grad=True)
            optimiser = torch.optim.LBFGS(
                [w, b],
                max_iter=20_000,
                max_eval=40_000,
                tolerance_grad=1e-8,
                tolerance_change=1e-16,
                line_search_fn="strong_wolfe",
            )

            def loss(
                w: Any = w,
                b: Any = b,
                C: float = C,
                train: Any = train,
                labels: Any = labels,
                optimiser: Any = optimiser,
            ) -> Any:
                optimiser.zero_grad()
                value = torch.nn.functional.binary_cross_entropy_with_logits(train @ w + b, labels)
                value = value + w @ w / (2 * C * len(labels))
                value.backward()
                return value

            optimiser.step(loss)
            found[m, c] = (Z @ w + b).detach().cpu().numpy()
    return found


def torch_mlps(
    Z: np.ndarray,
    y: np.ndarray,
    specs: Sequence[MLPSpec],
    seeds: Sequence[int],
    held: np.ndarray,
    device: str = "cpu",
) -> np.ndarray:
    """A loop of torch MLPs, full batch with AdamW; scores of the rows in `held`, `[model, row]`."""
    import torch

    train, labels, test = (
        torch.as_tensor(part, dtype=torch.float32, device=device) for part in (Z[~held], y[~held], Z[held])
    )
    found = []
    for spec, seed in zip(specs, seeds, strict=True):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(Z.shape[1], spec.hidden), torch.nn.ReLU(), torch.nn.Linear(spec.hidden, 1)
        ).to(device)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
        )
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda epoch, spec=spec: spec.rate(epoch) / spec.learning_rate
        )
        for _ in range(spec.max_epochs):
            optimiser.zero_grad()
            logits = model(train)[:, 0]
            torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
            optimiser.step()
            rate.step()
        with torch.no_grad():
            found.append(model(test)[:, 0].cpu().numpy())
    return np.stack(found)


def sklearn_null(y: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The best AUROC over all cells `[cell, row]` for each permuted label vector, cell by cell."""
    from sklearn.metrics import roc_auc_score

    del y
    return np.array([max(roc_auc_score(draw, cell) for cell in scores) for draw in labels])


def sklearn_bootstrap(
    y: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """The AUROC of each score vector `[cell, row]` in each resample, by copying the drawn rows."""
    from sklearn.metrics import roc_auc_score

    rows_of = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    found = np.empty((len(scores), len(counts)))
    for draw, count in enumerate(counts):
        rows = np.concatenate([np.tile(rows_of[g], int(times)) for g, times in enumerate(count) if times])
        for cell, vector in enumerate(scores):
            found[cell, draw] = roc_auc_score(y[rows], vector[rows])
    return found
