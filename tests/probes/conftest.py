"""Planted domains that several tests read, evaluated once."""

import pytest
from planted import QUICK, SMALL_LOGISTIC, make_directions, make_domain, orthogonal_to

from probes import TransferResult, transfer


@pytest.fixture(scope="session")
def planted() -> TransferResult:
    """One source and five targets, each different from it in one known way."""
    way = make_directions(1, n_layers=3)
    source = make_domain("source", 10, way, n_groups=200, strength=1.2)
    targets = [
        make_domain("shared", 11, way, strength=1.2),
        make_domain("rotated", 12, orthogonal_to(way, 2), n_groups=200, strength=1.2),
        make_domain("shifted", 13, way, strength=1.2, shift=2.0 * way[:, None]),
        make_domain("inverted", 14, -way, strength=1.2),
        make_domain("empty", 15, way, n_groups=200, strength=0.0),
    ]
    return transfer(source, targets, [SMALL_LOGISTIC, "mean-difference"], options=QUICK)
