"""Splits that never cut a group, and the plan of fits that makes nested cross-fitting cheap.

Groups are dealt to folds by a hash of their name, without looking at labels; a group that occurs in several
domains is in the same fold everywhere.

With K folds, three kinds of training sets suffice for everything: all rows (the final probe), all but fold
k (out-of-fold scores, and the outer fits of nested cross-validation), and all but folds j and k (the inner
fits; {j, k} serves outer fold k with inner fold j and the other way round). That is 1 + K + K(K-1)/2 fits
instead of 1 + K + K K.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Shaped

from probes.evaluation.arrays import Folds, Groups, Labels
from probes.evaluation.groups import group_names

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FoldPlan", "GroupLeakError", "deal_groups", "shared_groups"]


class GroupLeakError(ValueError):
    """A group (question, problem) would be on both sides of a split."""


def deal_groups(groups: Sequence[Shaped[np.ndarray, " _"]], n_folds: int, seed: int) -> dict[str, int]:
    """Assign every group of any domain to one fold: in hash order, each to the fold with the fewest rows.

    >>> sorted(deal_groups([np.array(["a", "b", "b"]), np.array(["c"])], n_folds=2, seed=0))
    ['a', 'b', 'c']
    """
    names, counts = np.unique(np.concatenate([group_names(g) for g in groups]), return_counts=True)
    if len(names) < n_folds:
        raise ValueError(f"{len(names)} groups cannot fill {n_folds} folds; use fewer folds or more groups")
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(f"{seed}:{names[i]}".encode()).digest())
    sizes = np.zeros(n_folds, dtype=int)
    fold_of: dict[str, int] = {}
    for i in order:
        fold = int(sizes.argmin())
        fold_of[str(names[i])] = fold
        sizes[fold] += counts[i]
    return fold_of


def shared_groups(first: Shaped[np.ndarray, " first"], second: Shaped[np.ndarray, " second"]) -> list[str]:
    """Return the groups that occur in both.

    >>> shared_groups(np.array(["a", "b"]), np.array(["b", "c"]))
    ['b']
    """
    return sorted(set(group_names(first).tolist()) & set(group_names(second).tolist()))


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldPlan:
    """Folds of one domain's rows and the training sets (as excluded folds) to be fitted."""

    fold: Folds
    n_folds: int
    nested: bool

    @classmethod
    def make(cls, groups: Groups, fold_of: dict[str, int], n_folds: int, nested: bool = True) -> FoldPlan:
        """Look up each row's fold."""
        fold = np.array([fold_of[group] for group in group_names(groups)])
        return cls(fold=fold, n_folds=n_folds, nested=nested)

    @property
    def excluded(self) -> tuple[tuple[int, ...], ...]:
        """The folds that each fit leaves out: none, then one, then two."""
        every = range(self.n_folds)
        pairs = tuple(combinations(every, 2)) if self.nested else ()
        return ((), *((k,) for k in every), *pairs)

    @property
    def masks(self) -> Bool[np.ndarray, "fit row"]:
        """Training rows of each fit."""
        return np.stack([~np.isin(self.fold, left_out) for left_out in self.excluded])

    def outer(self, k: int) -> int:
        """Index of the fit that leaves out fold k."""
        return 1 + k

    def inner(self, j: int, k: int) -> int:
        """Index of the fit that leaves out folds j and k."""
        return self.excluded.index((min(j, k), max(j, k)))

    def check(self, y: Labels, name: str) -> None:
        """Raise ValueError when a training set lacks a class."""
        for left_out, mask in zip(self.excluded, self.masks, strict=True):
            if len(np.unique(y[mask])) < 2:
                raise ValueError(
                    f"{name}: without fold {left_out} one class is left in {int(mask.sum())} training rows; "
                    "use fewer folds, another seed, or more groups of the rare class"
                )
