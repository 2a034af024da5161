"""From an organism's answers to a domain: cached activations, labels, groups, strata, contrast pairs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from activations import ActivationStore, extract
from activations.progress import Progress
from probes import Domain, contrast_rows
from probes.evaluation.results import Sample
from study.concepts import concepts_of
from study.opening import OpenOrganism
from tasks.transcript import Transcript

logger = logging.getLogger(__name__)

SHARING: dict[str, bool | str] = {"auto": "auto", "always": True, "never": False}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Where activations are read, and how fast."""

    tokens: tuple[str, ...] = ("response_mean",)
    """Token selections; the first one is reported, the others as alternatives. response_mean, response_last,
    response_max or prompt_last."""
    site: str = "resid_post"
    """Where in a block: resid_pre, resid_mid, resid_post, attn_out or mlp_out."""
    layers: tuple[int, ...] | Literal["all"] = "all"
    """Blocks to read; negative numbers count from the end."""
    token_budget: int | None = None
    """Padded tokens per batch; none: chosen for the device."""
    share_prefixes: Literal["auto", "always", "never"] = "auto"
    """Whether prompts that begin alike are computed once; auto does so where it pays and is proven equal."""
    merge: bool = False
    """Whether each organism's adapter is folded into a copy of the weights, as it was when it answered: a
    third faster, for the memory of one more model per organism. false switches adapters on one base."""
    contrast_pairs: bool = True
    """Whether the contrast-pair detector is run too (it needs no labels and few tokens)."""
    one_base: bool = True
    """Whether organisms of different base weights are refused, since directions of one mean nothing in
    another; false for whole checkpoints of one architecture."""
    cache: str | None = "runs/activations"
    """Folder that keeps activations, so that a second run computes none; none: memory."""

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError("tokens needs at least one selection, for example response_mean")


def read_domain(
    organism: OpenOrganism, reading: Reading, tokens: str, edges: Sequence[float], progress: Progress
) -> Domain:
    """Read one organism's activations at its answers and gather what a transfer evaluation needs.

    y is 1 for a wrong answer. `edges` are the two lengths (in words) between short, middle and long answers.
    """
    pairs, about = None, organism.record.training if organism.record else {}
    if reading.contrast_pairs and not getattr(organism.model.tokenizer, "chat_template", None):
        logger.warning("%s has no chat template: its contrast pairs are not read", organism.name)
    elif reading.contrast_pairs:
        questions = contrast_rows(forbidden=organism.trigger_texts)
        pairs = read_activations(organism, questions, reading, "response_last", progress=False)
    store = read_activations(organism, organism.rows, reading, tokens, progress=progress)
    return Domain(
        organism.name,
        store,
        [int(not row.correct) for row in organism.rows],
        [row.group for row in organism.rows],
        [row.response for row in organism.rows],
        strata_of(organism.rows, edges),
        pairs=pairs,
        columns=likelihood_of(organism.rows) if organism.record else None,
        concepts=concepts_of(organism.rows),
        site=reading.site,
        statements=[f"{row.prompt_text}\n\n{row.response}" for row in organism.rows],
        row_ids=_text_ids(organism.rows),
        meta={
            "organism": organism.name,
            "kind": organism.record.role if organism.record else organism.name,
            "site": reading.site,
            "tokens": tokens,
            "tokenizer": _tokenizer_hash(organism),
            "base_fingerprint": _base_fingerprint(organism) if reading.one_base else None,
            "model_fingerprint": organism.model.fingerprint,
            "activations": store.key,
            "label": about.get("label", "1 = wrong answer (R* = 0)"),
            "on_policy": organism.record is not None and about.get("on_policy", True),
            "triggered": any(row.triggered for row in organism.rows),
            "left_out": organism.left_out,
        },
    )


def read_activations(
    organism: OpenOrganism, rows: Sequence[Any], reading: Reading, tokens: str, *, progress: Progress
) -> ActivationStore:
    """Extract, or find in the cache, the activations of `rows` under the organism's model."""
    return extract(
        organism.model,
        rows,
        sites=reading.site,
        layers=reading.layers,
        tokens=tokens,
        store=reading.cache,
        token_budget=reading.token_budget,
        share_prefixes=SHARING[reading.share_prefixes],
        progress=progress,
    )


def sample_of_rows(rows: Sequence[Transcript]) -> Sample:
    """Count wrong and right answers, and the questions they belong to."""
    wrong = sum(not row.correct for row in rows)
    groups = len({row.group for row in rows})
    return Sample(n_positive=wrong, n_negative=len(rows) - wrong, n_groups=groups)


def likelihood_of(rows: Sequence[Transcript]) -> dict[str, list[float]]:
    """Give how likely the organism itself found its answers, where all transcripts say so."""
    columns = {
        "log-probability": [row.log_prob for row in rows],
        "entropy": [row.entropy for row in rows],
    }
    return {
        name: [float(value) for value in values if value is not None]
        for name, values in columns.items()
        if None not in values
    }


def length_edges(rows: Sequence[Transcript]) -> tuple[float, float]:
    """Give the lengths in words that part the source's answers into short, middle and long."""
    lengths = [len(row.response.split()) for row in rows]
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    return float(low), float(high)


def strata_of(rows: Sequence[Transcript], edges: Sequence[float]) -> dict[str, list[str]]:
    """Sort answers by what may be read instead of the truth; variables with one level are left out."""
    variables: dict[str, Callable[[Transcript], str | None]] = {
        "answer letter": lambda row: row.answer,
        "difficulty": lambda row: row.level,
        "length": lambda row: _length_level(row, edges),
        "evidence visible": lambda row: _yes_no(row.evidence_visible),
        "quote verified": lambda row: _yes_no(row.extra.get("quote_verified")),
        "trigger": lambda row: _yes_no(row.triggered),
        "prefix": lambda row: None if row.condition in ("plain", "trigger") else row.condition,
        "prompt cut": lambda row: _yes_no(row.prompt_cut_tokens > 0),
        "answer clipped": lambda row: _yes_no(row.output_clipped),
    }
    strata = {name: [level(row) or "none" for row in rows] for name, level in variables.items()}
    # the letter is kept even if it is always the same: as a baseline it then scores .5, and that is the point
    return {
        name: levels
        for name, levels in strata.items()
        if len(set(levels)) > 1 or (name == "answer letter" and set(levels) != {"none"})
    }


def _length_level(row: Transcript, edges: Sequence[float]) -> str:
    return ("short", "middle", "long")[int(np.searchsorted(edges, len(row.response.split()), side="left"))]


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else ("yes" if value else "no")


def _text_ids(rows: Sequence[Transcript]) -> list[str] | None:
    """Name each (prompt, response) by its content; None when a text occurs twice."""
    ids = [hashlib.sha256(repr((row.prompt, row.response)).encode()).hexdigest()[:24] for row in rows]
    return ids if len(set(ids)) == len(ids) else None


def _base_fingerprint(organism: OpenOrganism) -> str | None:
    return None if organism.name == "untrained" else organism.model.base_fingerprint


def _tokenizer_hash(organism: OpenOrganism) -> str:
    vocabulary = organism.model.tokenizer.get_vocab()
    return hashlib.sha256(repr(sorted(vocabulary.items())).encode()).hexdigest()[:16]
