"""Probes: what can be read out of activations, and whether it transfers.

Takes arrays (or anything with the interface of an activation store), labels and groups; knows no model.
Labels are 0/1 with 1 = misleading, a higher score means "more likely misleading", and an AUROC is never
turned around.
"""

from probes.attention import AttentionProbe, TokenProbe
from probes.contrast import CONTRAST_PAIRS, ContrastPair, ContrastPairProbe, contrast_rows
from probes.evaluation.bootstrap import bootstrap_auroc, bootstrap_difference
from probes.evaluation.delong import delong_interval, delong_test
from probes.evaluation.domain import Domain, DomainError
from probes.evaluation.families import FAMILIES, Family
from probes.evaluation.folds import GroupLeakError
from probes.evaluation.metrics import auroc, expected_calibration_error, tpr_at_fpr, within_group_auroc
from probes.evaluation.nulls import max_statistic_null
from probes.evaluation.options import TransferOptions
from probes.evaluation.power import equivalence_test, minimum_detectable_auroc
from probes.evaluation.results import TransferResult
from probes.evaluation.sweep import SweepResult, sweep
from probes.evaluation.transfer import transfer
from probes.linear import LDAProbe, LogisticProbe, MeanDifferenceProbe, RidgeProbe
from probes.mlp import MLPProbe
from probes.persistence import Provenance, load_probe, save_probe
from probes.ragged import Ragged
from probes.unsupervised import CCSProbe, PCAProbe

__all__ = [
    "CONTRAST_PAIRS",
    "FAMILIES",
    "AttentionProbe",
    "CCSProbe",
    "ContrastPair",
    "ContrastPairProbe",
    "Domain",
    "DomainError",
    "Family",
    "GroupLeakError",
    "LDAProbe",
    "LogisticProbe",
    "MLPProbe",
    "MeanDifferenceProbe",
    "PCAProbe",
    "Provenance",
    "Ragged",
    "RidgeProbe",
    "SweepResult",
    "TokenProbe",
    "TransferOptions",
    "TransferResult",
    "auroc",
    "bootstrap_auroc",
    "bootstrap_difference",
    "contrast_rows",
    "delong_interval",
    "delong_test",
    "equivalence_test",
    "expected_calibration_error",
    "load_probe",
    "max_statistic_null",
    "minimum_detectable_auroc",
    "save_probe",
    "sweep",
    "tpr_at_fpr",
    "transfer",
    "within_group_auroc",
]
