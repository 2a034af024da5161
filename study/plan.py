"""What a transfer run is about to read, before anything long starts: models, answers, tokens, disk, minutes.

Everything but the rate is known without reading weights: answers are tokenised, and a cached store is found
by its key. The rate is measured on some of the source's own answers with the base model, for a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from activations.extract import MANIFEST
from activations.job import ExtractionJob, plan_job
from activations.sites import find_trunk
from probes.evaluation.kinds import DomainRole
from sophistry.machine import describe_machine
from study.domains import SHARING, Reading
from study.opening import OpenOrganism
from study.plots.style import Style

_SAMPLE = 8  # answers of a batch whose rate is measured
_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class PlannedReading:
    """One organism's answers under one token selection."""

    organism: str
    role: DomainRole
    tokens_read: str
    """The token selection."""
    rows: int
    tokens: int
    """Real tokens to compute, prefixes that are shared counted once; 0 when the activations are cached."""
    bytes: int
    """Disk that the store takes; 0 when it is there."""
    cached: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run reads."""

    readings: tuple[PlannedReading, ...]
    rate: float | None
    """Real tokens per second of the base model on this machine; None when nothing has to be computed."""
    dtype: str
    machine: str

    @property
    def tokens(self) -> int:
        """Tokens to compute."""
        return sum(reading.tokens for reading in self.readings)

    @property
    def bytes(self) -> int:
        """Bytes to write."""
        return sum(reading.bytes for reading in self.readings)

    @property
    def minutes(self) -> float:
        """Estimated minutes of reading; fits and resampling come on top.

        >>> Plan(readings=(), rate=None, dtype="float32", machine="").minutes
        0.0
        """
        return self.tokens / self.rate / 60 if self.rate else 0.0


def make_plan(organisms: Sequence[OpenOrganism], reading: Reading) -> Plan:
    """Plan the reading of all organisms, and measure the rate where something has to be computed.

    Raises:
        RowError, SiteError: answers or places that `extract` would refuse too.
    """
    readings = tuple(
        _plan_one(organism, reading, tokens) for tokens in reading.tokens for organism in organisms
    )
    source = organisms[0]
    rate = None if all(one.cached for one in readings) else measure_rate(source)
    return Plan(readings=readings, rate=rate, dtype=source.model.dtype, machine=describe_machine())


def _plan_one(organism: OpenOrganism, reading: Reading, tokens: str) -> PlannedReading:
    job = _job(organism, reading, tokens)
    keys = {job.spec.key, job.sharing(False).spec.key}  # sharing that failed its check is not in the key
    cached = reading.cache is not None and any(
        (Path(reading.cache) / key / MANIFEST).is_file() for key in keys
    )
    needed = sum(map(len, job.rows)) - job.saved_tokens()
    return PlannedReading(
        organism=organism.name,
        role=organism.role,
        tokens_read=tokens,
        rows=len(job.rows),
        tokens=0 if cached else needed,
        bytes=0 if cached else sum(map(job.bytes_of, range(len(job.rows)))),
        cached=cached,
    )


def _job(organism: OpenOrganism, reading: Reading, tokens: str) -> ExtractionJob:
    return plan_job(
        organism.model,
        organism.rows,
        sites=reading.site,
        layers=reading.layers,
        tokens=tokens,
        backend="hf",
        token_budget=reading.token_budget,
        share_prefixes=SHARING[reading.share_prefixes],
        store_dtype=None,
        strict=False,
    )


def measure_rate(source: OpenOrganism) -> float:
    """Real tokens per second that the source's model reads, on answers of middle length."""
    import torch

    job = _job(source, Reading(share_prefixes="never"), "response_last")
    ordered = sorted(job.rows, key=len)
    middle = max(0, len(ordered) // 2 - _SAMPLE // 2)
    rows = [row.ids for row in ordered[middle : middle + _SAMPLE]]
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    trunk = find_trunk(source.model.model).module
    batch = torch.as_tensor(ids, device=source.model.device)
    done, started = 0, time.perf_counter()
    with torch.inference_mode():
        trunk(input_ids=batch, use_cache=False).last_hidden_state[0, 0, 0].item()  # sets things up
        started = time.perf_counter()
        while not done or time.perf_counter() - started < _SECONDS:
            trunk(input_ids=batch, use_cache=False).last_hidden_state[0, 0, 0].item()
            done += sum(map(len, rows))
    return done / (time.perf_counter() - started)


def show_plan(plan: Plan, style: Style, console: Console) -> None:
    """Print the plan as a table and one line of sums."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("model", "role", "reads", "answers", "tokens", "minutes"):
        table.add_column(column, justify="left" if column in ("model", "role", "reads") else "right")
    for one in plan.readings:
        minutes = "cached" if one.cached else f"{one.tokens / (plan.rate or 1) / 60:.1f}"
        numbers = (str(one.rows), f"{one.tokens:,}", minutes)
        table.add_row(style.name(one.organism), one.role, one.tokens_read, *numbers)
    console.print(table)
    speed = f" at {plan.rate:,.0f} tokens/s" if plan.rate else ""
    console.print(
        f"{plan.tokens:,} tokens to read{speed}: about {plan.minutes:.0f} minutes, "
        f"{plan.bytes / 1e6:,.0f} MB of disk; fits and intervals come on top. {plan.dtype}, {plan.machine}",
        highlight=False,
    )
