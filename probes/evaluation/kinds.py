"""The closed lists of words that a result is written in: each is its own text, in JSON and in tables.

>>> Design("D1") is Design.D1, f"{Design.D1}", Design.D1 == "D1"
(True, 'D1', True)
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ChanceVerdict", "ControlKind", "Design", "DomainRole", "RepairStep", "VerdictCode"]


class Design(StrEnum):
    """Who is fitted and selected where, and scored where."""

    SOURCE = "source"
    """Positive control: fitted and scored in the source, cross-fitted by group."""
    D1 = "D1"
    """Frozen: everything chosen on the source, scored once on the target (the headline)."""
    D2 = "D2"
    """Ceiling: fitted and selected in the target itself, nested and cross-fitted by group."""
    D3 = "D3"
    """Contrast pairs on each model: no labels, preset middle layer."""
    D4A = "D4a"
    """Best cell of the source-fitted grid, chosen on the target's own labels (optimistic)."""
    D4B = "D4b"
    """Best cell of the target-fitted grid, chosen on the same labels (optimistic)."""


class DomainRole(StrEnum):
    """What a domain is there for."""

    SOURCE = "source"
    """Probes are fitted and everything is chosen on it."""
    TARGET = "target"
    """Probes are only evaluated on it."""
    CONTROL = "control"
    """Another organism, on which the frozen probe must fail."""


class ControlKind(StrEnum):
    """What a control looks at instead of what the probe is meant to read."""

    TEXT = "text"
    """Words, length or answer letter of the response."""
    COLUMN = "column"
    """A number per row: log-probability, entropy."""
    PROMPT = "prompt"
    """Whether the trigger is in the prompt."""
    PROBE = "probe"
    """Directions and fits that know nothing."""
    ORGANISM = "organism"
    """The frozen probe on another organism."""
    REFITTED = "refitted"
    """The same probe, fitted in another organism."""
    SHARED_CONCEPT = "shared concept"
    """What both models surely represent, by the frozen route: it must arrive."""


class VerdictCode(StrEnum):
    """What the numbers permit to say about a target."""

    TRANSFERS = "transfers"
    PARTIAL = "partial"
    NO_TRANSFER = "no-transfer"
    UNTESTABLE = "untestable"
    INVERTED = "inverted"
    PIPELINE_FAILED = "pipeline-failed"
    READS_TRIGGER = "reads-trigger"
    ROUTE_FAILED = "route-failed"
    INCONCLUSIVE = "inconclusive"


class ChanceVerdict(StrEnum):
    """An AUROC against one half, by two one-sided tests."""

    ABOVE = "above"
    INVERTED = "inverted"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


class RepairStep(StrEnum):
    """How far a frozen probe is adapted to the target, in order."""

    FROZEN = "frozen"
    RE_CENTRE = "re-centre"
    RE_SCALE = "re-scale"
    RE_FIT_BIAS = "re-fit bias"
    RE_CHOOSE_LAYER = "re-choose layer"
    RE_FIT_DIRECTION = "re-fit direction"
