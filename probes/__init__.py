"""Probes: what can be read out of activations, and whether it transfers.

Takes arrays (or anything with the interface of an activation store), labels and groups; knows no model.
Labels are 0/1 with 1 = misleading, a higher score means "more likely misleading", and an AUROC is never
turned around.
"""

from probes.contrast import CONTRAST_PAIRS, ContrastPair, ContrastPairProbe, contrast_rows
from probes.linear import LDAProbe, LogisticProbe, MeanDifferenceProbe, RidgeProbe
from probes.metrics import auroc, expected_calibration_error, tpr_at_fpr, within_group_auroc
from probes.mlp import MLPProbe
from probes.persistence import Provenance, load_probe, save_probe
from probes.results import TransferResult
from probes.statistics import bootstrap_auroc, bootstrap_difference, delong_interval, delong_test

__all__ = [
    "CONTRAST_PAIRS",
    "ContrastPair",
    "ContrastPairProbe",
    "LDAProbe",
    "LogisticProbe",
    "MLPProbe",
    "MeanDifferenceProbe",
    "Provenance",
    "RidgeProbe",
    "TransferResult",
    "auroc",
    "bootstrap_auroc",
    "bootstrap_difference",
    "contrast_rows",
    "delong_interval",
    "delong_test",
    "expected_calibration_error",
    "load_probe",
    "save_probe",
    "tpr_at_fpr",
    "within_group_auroc",
]
