r"""ODIN (arXiv 2402.07319): a head of its own for length, so that the reward need not pay for it.

Both heads read the same hidden state; their weights are centred and normalised. With quality :math:`q`,
length head :math:`l`, and Pearson's correlation :math:`\rho` over all responses of the (global) batch, the
loss is

.. math:: -\log\sigma\big((q + l)_w - (q + l)_l\big) + \lambda_L \big(|\rho(L, q)| + 1 - \rho(L, l)\big)
          + \lambda_O |W_q \cdot W_l|

and the reward is :math:`q` alone. **ODIN-k** has one such head for each of k features (length, quotations,
words of certainty, comment density, complexity): their outputs are added in the pair loss, and the penalties
are summed.

Where a feature or an output is equal in all responses of a batch, its correlation is not defined. Then the
term is 0 and has no gradient (a constant feature cannot be followed), and the step's log counts it as
`undefined`. A feature that is equal in *all* responses is refused before training: there is nothing to
disentangle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from organisms.weights import Trainable
from rlhf.reward_models.features import LENGTH, measure_features
from rlhf.reward_models.fit import check_asked, fit
from rlhf.reward_models.model import ODIN, RewardHead, RewardModel, RewardModelSpec
from rlhf.reward_models.preference import (
    ComparedItem,
    bradley_terry_loss,
    counts,
    kind_of_view,
    paired_outputs,
)


def correlation(x: Float[Tensor, " row"], y: Float[Tensor, " row"]) -> Float[Tensor, ""] | None:
    """Pearson's correlation over the rows in which `y` is known (not NaN); None where it is not defined.

    It is not defined for fewer than two rows, or when one of the two is constant (up to rounding).

    >>> round(correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])).item(), 5)
    1.0
    >>> correlation(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 5.0])) is None
    True
    """
    known = torch.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2 or _constant(x) or _constant(y):
        return None
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / (x.norm() * y.norm())


def _constant(values: Tensor) -> bool:
    values = values.detach()
    spread, size = float(values.max() - values.min()), float(values.abs().max())
    return spread <= 8 * torch.finfo(values.dtype).eps * size


def decorrelation(
    outputs: Float[Tensor, "response head"], features: Float[Tensor, "response feature"]
) -> tuple[Float[Tensor, ""], dict[str, float], int]:
    r"""Sum over features j of :math:`|\rho(f_j, q)| + 1 - \rho(f_j, l_j)`.

    Args:
        outputs: quality in column 0, then one head per feature.
        features: of the same responses; NaN where one is not defined.

    Returns:
        The sum; `quality/J` and `feature/J`, the correlations by number of the feature (0 where not
        defined); and how many were not defined.
    """
    total = outputs.new_zeros(())
    found: dict[str, float] = {}
    undefined = 0
    for j, feature in enumerate(features.T):
        with_quality, with_own = (correlation(outputs[:, head], feature) for head in (0, j + 1))
        if with_quality is not None:
            total = total + with_quality.abs()
        if with_own is not None:
            total = total + 1 - with_own
        undefined += (with_quality is None) + (with_own is None)
        found[f"quality/{j}"] = 0.0 if with_quality is None else float(with_quality.detach())
        found[f"feature/{j}"] = 0.0 if with_own is None else float(with_own.detach())
    return total, found, undefined


def orthogonality(directions: Float[Tensor, "head d"]) -> Float[Tensor, ""]:
    r"""Sum over features j of :math:`|W_q \cdot W_j|`.

    >>> round(orthogonality(torch.tensor([[1.0, 0.0], [-0.6, 0.8]])).item(), 4)
    0.6
    """
    return (directions[1:] @ directions[0]).abs().sum()


class OdinObjective:
    """Pair loss of the summed heads, and the price of correlations.

    Args:
        items: with pairs.
        features: of the responses of each item.
        length_weight: lambda_L, of the correlations.
        orthogonal_weight: lambda_O, of the overlap of the heads.

    Raises:
        ValueError: a feature that is equal, or not defined, in all responses.
    """

    def __init__(
        self,
        items: Sequence[ComparedItem],
        features: Sequence[Float[np.ndarray, "response feature"]],
        *,
        names: Sequence[str],
        length_weight: float = 1.0,
        orthogonal_weight: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, column in zip(names, np.concatenate(list(features)).T, strict=True):
            known = column[np.isfinite(column)]
            if len(known) < 2 or known.min() == known.max():
                raise ValueError(
                    f"feature {name!r} is the same in all {len(column)} responses (or nowhere defined): "
                    "there is nothing to disentangle; leave it out"
                )
        self.items, self.names = items, tuple(names)
        self.length_weight, self.orthogonal_weight = length_weight, orthogonal_weight
        self._features = [torch.tensor(rows, dtype=torch.float32, device=device) for rows in features]

    def loss(self, outputs: Sequence[Tensor], places: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Pair loss and correlations over the whole batch; logs both, and the accuracy of quality alone."""
        better, worse = paired_outputs(self.items, outputs, places)
        features = torch.cat([self._features[place] for place in places])
        price, found, undefined = decorrelation(torch.cat(list(outputs)), features)
        pair = bradley_terry_loss(better.sum(1), worse.sum(1))
        logged = {
            "loss/pair": float(pair.detach()),
            "accuracy": float((better[:, 0] > worse[:, 0]).float().mean()),
            "undefined": float(undefined),
        }
        for name, value in found.items():
            side, _, number = name.partition("/")
            logged[f"correlation/{side}/{self.names[int(number)]}"] = value
        return pair + self.length_weight * price, logged

    def penalty(self, head: RewardHead) -> Tensor:
        """Overlap of the quality head with the others."""
        return self.orthogonal_weight * orthogonality(head.directions())


def train_odin(
    opened: Trainable,
    items: Sequence[ComparedItem],
    spec: RewardModelSpec,
    *,
    base: str,
    parent: str | None = None,
    work_dir: str | Path,
    features: Sequence[str] = (LENGTH,),
    length_weight: float = 1.0,
    orthogonal_weight: float = 1.0,
    progress: bool = True,
) -> RewardModel:
    """Train an ODIN reward model; its score is the quality head.

    Args:
        features: `length` alone is ODIN; more are ODIN-k (`rlhf.reward_models.features`).
        length_weight: lambda_L, of the correlations.
        orthogonal_weight: lambda_O, of the overlap of the heads.

    The other arguments are those of `rlhf.reward_models.judge.train_judge`.

    Raises:
        ValueError: no items, items of several kinds, an unknown feature or one that never varies, or texts
            that do not fit.
    """
    kind = kind_of_view(items)
    check_asked(items)
    rows = [measure_features(one.responses, features, opened.tokenizer) for one in items]
    objective = OdinObjective(
        items,
        rows,
        names=features,
        length_weight=length_weight,
        orthogonal_weight=orthogonal_weight,
        device=next(opened.model.parameters()).device,
    )
    model = RewardModel.start(
        opened,
        kind=ODIN,
        heads=("quality", *features),
        trained_on=kind,
        spec=spec,
        base=base,
        parent=parent,
    )
    log = fit(model, items, objective, work_dir=work_dir, start=opened.start, progress=progress)
    weights = {"length_weight": length_weight, "orthogonal_weight": orthogonal_weight}
    last = {name: log[-1][name] for name in log[-1] if name.startswith("correlation/")}
    training = counts(items, log) | weights | {"last_correlations": last}
    model.record = dataclasses.replace(model.record, training=training)
    return model
