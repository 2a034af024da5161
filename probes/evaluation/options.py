"""How much a transfer evaluation computes, and how strictly it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """How much is computed and how strictly it is read; every field is stored in the result."""

    n_folds: int = 5
    """Group folds of every cross-fit."""
    n_splits: int = 1
    """Times that groups are dealt to folds anew; above 1 the spread over splits and seeds is reported."""
    n_draws: int = 2000
    """Cluster-bootstrap resamples."""
    n_permutations: int = 1000
    """Label permutations of the nulls."""
    n_random_directions: int = 1000
    """Random directions scored as a control."""
    level: float = 0.95
    """Coverage of every interval."""
    margin: float = 0.05
    """An AUROC shown to be within .5 +- margin counts as chance."""
    alphas: tuple[float, ...] = (0.01, 0.05)
    """False positive rates for which thresholds are frozen on the source."""
    shared_groups: str = "refuse"
    """What to do with groups that source and target share: refuse, or cross-fit (score them by fits that
    never saw them)."""
    contrast_depth: float = 0.5
    """The contrast-pair design reads the layer nearest this fraction of the depth."""
    min_stratum: int = 10
    """Rows per class below which a stratum is reported without a number."""
    text_controls: bool = True
    """Whether text-only baselines are fitted where responses are given."""
    every_control: bool = False
    """Whether controls are scored beside every family, not the headline alone (`family_controls`)."""
    shared_concepts: bool = True
    """Whether the concepts of the domains go through the frozen route, as its positive control."""
    keep_scores: bool = False
    """Whether every row's score is kept in the result."""
    n_jobs: int | None = None
    """Layers worked on at once; none: one per core, at most eight."""
    device: str | None = None
    """Where logistic grids are solved; none: a GPU when there is one and layers are large enough to gain by
    it (from 2 million numbers), else the CPU."""

    def __post_init__(self) -> None:
        if self.shared_groups not in ("refuse", "cross-fit"):
            raise ValueError(f"shared_groups={self.shared_groups!r} is not known; choose refuse or cross-fit")
        if self.n_folds < 3:
            raise ValueError(f"n_folds={self.n_folds}: nested cross-fitting needs at least 3")
        if self.n_splits < 1:
            raise ValueError(f"n_splits={self.n_splits}: at least one split of the groups is needed")
