"""Writes tests/study/fixtures/transfer_result.json: a complete result from planted data, for figures.

python tests/probes/make_fixture.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from planted import make_directions, make_domain

from probes import TransferOptions, transfer

FIXTURE = Path(__file__).parents[1] / "study" / "fixtures" / "transfer_result.json"


def main() -> None:
    """Run a small transfer with a target that shares half of the direction, and controls."""
    source_way, other_way = make_directions(1), make_directions(2)
    partly = source_way + other_way
    partly /= (partly**2).sum(1, keepdims=True) ** 0.5
    common = {"n_groups": 60, "with_pairs": True}
    result = transfer(
        make_domain("backdoored", 10, source_way, strength=1.5, **common),
        [
            make_domain("rlhf", 11, partly, strength=1.2, shift=0.3, **common),
            make_domain("oracle", 12, other_way, strength=1.2, **common),
        ],
        ["logistic", "mean-difference"],
        controls=[make_domain("clean", 13, source_way, strength=0.0, n_groups=60)],
        options=TransferOptions(n_draws=500, n_permutations=200, n_random_directions=200),
    )
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    FIXTURE.write_text(result.to_json() + "\n")


if __name__ == "__main__":
    main()
