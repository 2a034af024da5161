"""Probes that read every kept token of a row: a token-level probe with a pooled score, and attention.

Both take ragged activations (see `ragged.py`). Padding does not exist here, so it cannot leak in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp
from sklearn.base import clone

from probes.base import LinearProbe, Probe, Scaler, fit_scaler, proba_slope
from probes.device import default_device
from probes.linear import LogisticProbe
from probes.ragged import Ragged, as_ragged

__all__ = ["POOLS", "AttentionProbe", "TokenProbe", "pool_scores"]

POOLS = ("mean", "last", "max", "top-k", "ema", "logsumexp")


class TokenProbe(Probe):
    """A linear probe applied to every token, its scores pooled per row.

    For `mean` this equals pooling the activations first; for the others it does not, and activations of all
    tokens are needed.

    Args:
        probe: the `[row, d]` probe that scores tokens; `LogisticProbe()` by default.
        pool: `mean`, `last`, `max`, `top-k` (mean of the k highest), `ema` (the highest exponential moving
            average), `logsumexp`.
        train_on: `mean` fits the probe on each row's mean activation; `tokens` on all tokens with the row's
            label, each row with the same total weight.
        k: tokens of `top-k`.
        decay: weight of the past in `ema`.

    >>> rows = [np.array([[0.0], [0.1]]), np.array([[0.0], [3.0]])] * 5
    >>> probe = TokenProbe(pool="max").fit(rows, [0, 1] * 5)
    >>> probe.predict(rows)[:2]
    array([0, 1])
    """

    def __init__(
        self,
        probe: LinearProbe | None = None,
        pool: str = "mean",
        train_on: str = "mean",
        k: int = 4,
        decay: float = 0.8,
    ):
        self.probe = probe
        self.pool = pool
        self.train_on = train_on
        self.k = k
        self.decay = decay

    def fit(self, X: Any, y: Any) -> TokenProbe:
        """Fit on ragged activations (list of `[token, d]`, or values and offsets) and row labels."""
        rows = as_ragged(X)
        data = self._check_training(rows.mean(), y)
        token_probe: Any = clone(self.probe) if self.probe is not None else LogisticProbe()
        if self.train_on == "mean":
            token_probe.fit(data.X, data.y)
        elif self.train_on == "tokens":
            member = rows.row_of
            token_probe.fit(rows.values, data.y[member], sample_weight=1.0 / rows.counts[member])
        else:
            raise ValueError(f"train_on={self.train_on!r} is not known; choose mean or tokens")
        self.probe_ = token_probe
        # Pooling moves scores (a maximum is above a mean), so the threshold is set again between the classes.
        pooled = self._pooled(rows)
        self.shift_ = float((pooled[data.y == 0].mean() + pooled[data.y == 1].mean()) / 2)
        # A mean of log-odds is one; everything else is calibrated as a row probe's score is.
        log_odds = self.pool == "mean" and token_probe._score_is_log_odds()
        self.slope_ = 1.0 if log_odds else proba_slope(pooled - self.shift_, data.y, data.weight)
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return the pooled score of each row."""
        return self._pooled(as_ragged(X)) - self.shift_

    def predict_proba(self, X: Any) -> Float[np.ndarray, "row 2"]:
        """Return `[row, 2]` probabilities: `sigmoid(slope_ * score)` for the positive class."""
        positive = expit(self.slope_ * self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def _pooled(self, rows: Ragged) -> np.ndarray:
        scores = self.probe_.decision_function(rows.values)
        return pool_scores(scores, rows.offsets, self.pool, k=self.k, decay=self.decay)

    def _state(self) -> dict[str, np.ndarray]:
        return {**self.probe_._state(), "shift": np.array(self.shift_), "pooled_slope": np.array(self.slope_)}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.shift_ = float(state["shift"])
        self.slope_ = float(state.get("pooled_slope", 1.0))  # files from before it was kept
        token_probe: Any = clone(self.probe) if self.probe is not None else LogisticProbe()
        token_probe.classes_, token_probe.n_features_in_ = np.array([0, 1]), self.n_features_in_
        token_probe._restore(state)
        self.probe_ = token_probe


def pool_scores(
    scores: Float[np.ndarray, " token"], offsets: np.ndarray, pool: str, k: int = 4, decay: float = 0.8
) -> Float[np.ndarray, " row"]:
    """Pool token scores per row; row i owns tokens `offsets[i]:offsets[i + 1]`.

    >>> pool_scores(np.array([1.0, 3.0, 5.0]), np.array([0, 2, 3]), "max")
    array([3., 5.])
    """
    if pool == "mean":
        return np.add.reduceat(scores, offsets[:-1]) / np.diff(offsets)
    if pool == "max":
        return np.maximum.reduceat(scores, offsets[:-1])
    if pool == "last":
        return scores[offsets[1:] - 1]
    rows = np.split(scores, offsets[1:-1])
    if pool == "top-k":
        return np.array([np.sort(row)[-k:].mean() for row in rows])
    if pool == "logsumexp":
        return np.array([logsumexp(row) - np.log(len(row)) for row in rows])
    if pool == "ema":
        return np.array([_highest_average(row, decay) for row in rows])
    raise ValueError(f"pool={pool!r} is not known; choose one of {', '.join(POOLS)}")


def _highest_average(scores: np.ndarray, decay: float) -> float:
    average = best = float(scores[0])
    for score in scores[1:]:
        average = decay * average + (1 - decay) * float(score)
        best = max(best, average)
    return best


class AttentionProbe(Probe):
    """A linear probe that learns which tokens to read.

    `score = sum_h sum_t a_ht (v_h . z_t) + b` with `a_ht = softmax_t(q_h . z_t + beta_h pos_t)`; z are scaled
    activations and `pos_t` runs from 0 to 1 over the row. Queries start at zero, so training starts from mean
    pooling. A few hundred rows overfit it; compare with `TokenProbe`.

    Args:
        n_heads: attention heads.
        max_epochs, learning_rate, weight_decay: full-batch AdamW.
        scale: as in `LogisticProbe`, from all training tokens.
        random_state: seed of the values' start.
        device: torch device; None is CUDA when present, else CPU.

    >>> rng, y = np.random.default_rng(0), [0, 1] * 10
    >>> rows = [np.r_[rng.normal(size=(3, 2)), [[4.0 * label, 0.0]]] for label in y]
    >>> AttentionProbe(max_epochs=60).fit(rows, y).predict(rows).tolist() == y
    True
    """

    def __init__(
        self,
        n_heads: int = 1,
        max_epochs: int = 150,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.1,
        scale: str = "standard",
        random_state: int = 0,
        device: str | None = None,
    ):
        self.n_heads = n_heads
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.scale = scale
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> AttentionProbe:
        """Fit on ragged activations (list of `[token, d]`, or values and offsets) and row labels."""
        import torch

        rows = as_ragged(X)
        data = self._check_training(rows.mean(), y)
        self.scaler_ = fit_scaler(rows.values, np.ones(len(rows.values)), self.scale)
        device = self.device or default_device()
        tokens, member, position = (self._tensor(part, device) for part in self._inputs(rows))
        target = torch.as_tensor(data.y, dtype=torch.float32, device=device)
        generator = torch.Generator().manual_seed(self.random_state)
        width = tokens.shape[1]
        value = torch.randn(width, self.n_heads, generator=generator) * 1e-2 / np.sqrt(width)
        start = [torch.zeros(width, self.n_heads), torch.zeros(self.n_heads), value, torch.zeros(())]
        parameters = [part.to(device).requires_grad_() for part in start]
        optimiser = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        for _ in range(self.max_epochs):
            optimiser.zero_grad()
            logits = _attend(tokens, member, position, len(rows), *parameters)
            torch.nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
            optimiser.step()
        fitted = [part.detach().cpu().double().numpy() for part in parameters]
        self.query_, self.position_, self.value_ = fitted[:3]
        self.bias_ = float(fitted[3])
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, " row"]:
        """Return the score of each row."""
        weights, rows = self.attention(X)
        values = self.scaler_(rows.values) @ self.value_
        return np.add.reduceat((weights * values).sum(1), rows.offsets[:-1]) + self.bias_

    def attention(self, X: Any) -> tuple[Float[np.ndarray, "token head"], Ragged]:
        """Return the attention of every token, summing to 1 over each row, and the rows."""
        rows = as_ragged(X)
        if rows.values.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has width {rows.values.shape[1]}, but AttentionProbe was fitted on width "
                f"{self.n_features_in_}"
            )
        tokens, member, position = self._inputs(rows)
        logits = tokens @ self.query_ + position[:, None] * self.position_
        logits = logits - np.maximum.reduceat(logits, rows.offsets[:-1])[member]
        weights = np.exp(logits)
        return weights / np.add.reduceat(weights, rows.offsets[:-1])[member], rows

    def _inputs(self, rows: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        member = rows.row_of
        place = np.arange(len(rows.values)) - rows.offsets[:-1][member]
        return self.scaler_(rows.values), member, place / np.maximum(rows.counts[member] - 1, 1)

    def _tensor(self, part: np.ndarray, device: str) -> Any:
        import torch

        kind = torch.int64 if part.dtype.kind == "i" else torch.float32
        return torch.as_tensor(part, dtype=kind, device=device)

    def _state(self) -> dict[str, np.ndarray]:
        return {
            "query": self.query_,
            "position": self.position_,
            "value": self.value_,
            "bias": np.array(self.bias_),
            "center": self.scaler_.center,
            "scale": self.scaler_.scale,
        }

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.query_, self.position_, self.value_ = state["query"], state["position"], state["value"]
        self.bias_ = float(state["bias"])
        self.scaler_ = Scaler(center=state["center"], scale=state["scale"])


def _attend(
    tokens: Any, member: Any, position: Any, n_rows: int, query: Any, slope: Any, value: Any, bias: Any
) -> Any:
    """Return row logits; softmax over the tokens of each row without padding."""
    import torch

    logits = tokens @ query + position[:, None] * slope
    top = torch.full((n_rows, logits.shape[1]), -torch.inf, device=tokens.device)
    top = top.scatter_reduce(0, member[:, None].expand_as(logits), logits.detach(), "amax")
    weights = (logits - top[member]).exp()
    empty = torch.zeros(n_rows, logits.shape[1], device=tokens.device)
    total = empty.index_add(0, member, weights)
    summed = empty.index_add(0, member, weights * (tokens @ value))
    return (summed / total).sum(1) + bias
