"""The cells of a study on disk: each is computed once, and a run that was stopped goes on behind the last.

A cell is one call of `transfer` (a source, a probe family, a site, a token selection, a seed) or one learning
curve. Its file is named by what it depends on: weights, answers, reading, probe, options, seed. Nothing else
is remembered: a cell whose file is there is done, and one that depends on something else has another name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from probes.evaluation.families import FAMILIES
from probes.evaluation.learning import LearningCurve, LearningOptions
from probes.evaluation.options import TransferOptions
from probes.evaluation.results import SCHEMA, TransferResult
from sophistry.files import write_atomic
from sophistry.records import build_json, to_plain
from study.domains import Reading
from study.opening import OpenOrganism, fingerprint_rows

__all__ = ["CellPlace", "learning_key", "load_or_make", "matrix_places", "read_cell", "read_learning"]

_COSTS_ONLY = ("n_jobs", "device")  # options that change no number
_ELSEWHERE = ("cache", "token_budget", "tokens", "site", "share_prefixes")  # reading: not in a cell's name


@dataclass(frozen=True, kw_only=True)
class CellPlace:
    """A cell of the matrix that is to be, by what it depends on."""

    source: str
    probe: str
    site: str
    tokens: str
    seed: int
    key: str
    """Hash of everything its numbers depend on."""

    @property
    def file(self) -> str:
        """Name of its file below the run's folder."""
        words = (self.source, self.probe, self.site, self.tokens, f"s{self.seed}", self.key[:10])
        return "cells/" + "-".join(_plain_word(word) for word in words) + ".json"


def matrix_places(
    organisms: Sequence[OpenOrganism],
    sources: Sequence[str],
    reading: Reading,
    *,
    sites: Sequence[str],
    probes: Sequence[str],
    seeds: Sequence[int],
    options: TransferOptions,
) -> list[CellPlace]:
    """List every cell of a study, in the order in which they are computed.

    The first seed, site, token selection and probe come first, so that the headline is there early.
    """
    models = {one.name: (one.role, one.model.fingerprint, fingerprint_rows(one.rows)) for one in organisms}
    told = {key: value for key, value in asdict(options).items() if key not in _COSTS_ONLY}
    read = {key: value for key, value in to_plain(reading).items() if key not in _ELSEWHERE}
    places = []
    for seed in seeds:
        for site in sites:
            for tokens in reading.tokens:
                for probe in probes:
                    for source in sources:
                        place = CellPlace(
                            source=source, probe=probe, site=site, tokens=tokens, seed=seed, key=""
                        )
                        depends = [SCHEMA, to_plain(place), models, told, read, _family(probe)]
                        places.append(replace(place, key=_hash(depends)))
    return places


def learning_key(place: CellPlace, target: str, options: LearningOptions) -> str:
    """Name the file of a learning curve of the cell's probe on one target."""
    key = _hash([place.key, target, to_plain(options)])
    words = ("learning", place.source, target, place.probe, f"s{place.seed}", key[:10])
    return "cells/" + "-".join(_plain_word(word) for word in words) + ".json"


def load_or_make(path: Path, make: Callable[[], str]) -> str:
    """Give a cell's text: that of its file, or what `make` gives, which is then kept there."""
    if not path.is_file():
        write_atomic(path, make())
    return path.read_text(encoding="utf-8")


def read_cell(text: str) -> TransferResult:
    """Read a cell of the matrix."""
    return TransferResult.from_json(text)


def read_learning(text: str, file: str) -> LearningCurve:
    """Read a learning curve. Raises ConfigError for a damaged file."""
    return build_json(LearningCurve, text, source=file, advice="Delete the file and run again.")


def _family(name: str) -> Mapping[str, Any]:
    family = FAMILIES[name]
    grid = {key: list(values) for key, values in family.grid.items()}
    return {
        "params": repr(sorted(family.probe.get_params().items())),
        "grid": grid,
        "layers": family.max_layers,
    }


def _hash(depends: Any) -> str:
    return hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()


def _plain_word(word: str) -> str:
    """Make a name fit for a file.

    >>> _plain_word("U-stories reads I-stories")
    'U-stories_reads_I-stories'
    """
    return re.sub(r"[^\w.-]+", "_", word)
