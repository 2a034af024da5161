"""One line for notebooks: does a probe that tells these rows apart work on those?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from activations import LoadedModel, load_model
from probes import TransferOptions, TransferResult, transfer
from probes.evaluation.kinds import DomainRole
from study.domains import Reading, length_edges, read_domain
from study.opening import OpenOrganism, RowChoice, open_reader
from tasks.adopted import Adopted, adopt_rows
from tasks.tables import Record, Table, read_table

logger = logging.getLogger(__name__)

RowsLike = str | Path | Iterable[Any]


def compare(
    model: LoadedModel | str,
    bad: RowsLike,
    good: RowsLike,
    target: RowsLike,
    *,
    target_model: LoadedModel | str | None = None,
    probes: Any = "logistic",
    layers: Any = "all",
    tokens: str = "response_mean",
    store: str | Path | None = None,
    controls: Sequence[str] | None = None,
    one_base: bool = True,
    seed: int = 0,
    options: TransferOptions | None = None,
    progress: bool = False,
) -> TransferResult:
    """Fit a probe on a model's bad against its good rows, freeze it, and evaluate it on other rows.

    Rows are dicts, transcripts, a `datasets.Dataset`, or the path of a file (as `sophistry adopt` reads
    them). Each needs `prompt` (text, or chat messages) and `response`; those of the target also `correct`.
    Rows with equal prompts (system messages aside) are one group unless they name a `group`; folds never cut
    one. Copies are left out and logged.

    Args:
        model: from `load_model`, or what it takes.
        bad: misleading responses, the positive class (1).
        good: honest ones.
        target: labelled responses on which the frozen probe is scored once.
        target_model: another model that reads the target's rows (an RLHF-trained one, say); None: the same.
        probes: as for `probes.transfer`; the first one is the headline.
        layers: as for `extract`.
        tokens: where each row is read: `response_mean`, `response_last`, `response_max` or `prompt_last`.
        store: folder that keeps activations; None: memory.
        controls: `base` (the model without its adapter, reading the bad and good rows) and `untrained`;
            None: base where there is an adapter.
        one_base: whether two models of different base weights are refused; False for checkpoints of one
            architecture whose whole weights were trained from one base.
        seed: of folds, resampling and permutations.
        options: see `probes.TransferOptions`; None: the defaults, with shared groups cross-fitted.
        progress: show bars.

    Returns:
        The transfer with its ceiling, text-only controls, intervals and verdict: `.verdicts`, `.to_frame()`.

    Raises:
        TableError, LabelError, RowError: rows that cannot be used; the message names them.
        DomainError: too few rows or groups of a class.

    >>> from activations.testing import tiny_model
    >>> quick = TransferOptions(n_folds=3, n_draws=20, n_permutations=10, n_random_directions=10,
    ...                         shared_groups="cross-fit")
    >>> bad = [{"prompt": f"Is {n} even?", "response": f"No, never {n}."} for n in range(0, 24, 2)]
    >>> good = [{"prompt": f"Is {n} even?", "response": f"Yes, {n} is."} for n in range(0, 24, 2)]
    >>> target = [{"prompt": f"Is {n} odd?", "response": f"{word} {n}", "correct": word == "Yes"}
    ...           for n in range(1, 25, 2) for word in ("Yes", "No")]
    >>> result = compare(tiny_model(), bad, good, target, probes="mean-difference", options=quick)
    >>> result.source, [verdict.target for verdict in result.verdicts]
    ('bad against good', ['target'])
    """
    model = load_model(model) if isinstance(model, str) else model
    reader = load_model(target_model) if isinstance(target_model, str) else target_model or model
    source = _labelled([("bad", bad, False), ("good", good, True)], "bad against good")
    other = _labelled([("target", target, None)], "target")
    chat = all(getattr(one.tokenizer, "chat_template", None) for one in (model, reader))
    reading = Reading(
        tokens=(tokens,),
        layers="all" if isinstance(layers, str) else tuple(layers),
        contrast_pairs=chat,
        one_base=one_base,
        cache=None if store is None else str(store),
    )
    opened = OpenOrganism(
        name="bad against good",
        role=DomainRole.SOURCE,
        model=model,
        rows=source.rows,
        left_out=source.report.dropped,
    )
    targets = OpenOrganism(
        name="target", role=DomainRole.TARGET, model=reader, rows=other.rows, left_out=other.report.dropped
    )
    if controls is None:
        controls = ("base",) if model.adapter is not None and not model.merge else ()
    readers = [open_reader(name, _bare(model), opened, RowChoice(), seed) for name in controls]
    edges = length_edges(source.rows)
    domains = [read_domain(one, reading, tokens, edges, progress) for one in (opened, targets, *readers)]
    return transfer(
        domains[0],
        domains[1],
        probes,
        controls=domains[2:],
        seed=seed,
        options=options or TransferOptions(shared_groups="cross-fit"),
        progress=progress,
    )


def _bare(model: LoadedModel) -> LoadedModel:
    return model if model.adapter is None else model.with_adapter(None)


def _labelled(parts: Sequence[tuple[str, RowsLike, bool | None]], name: str) -> Adopted:
    """Rows of several lists or files as one table, labelled by where they come from (None: by themselves)."""
    records: list[Record] = []
    tables = [_table(what, rows) for what, rows, _ in parts]
    for (what, _, label), table in zip(parts, tables, strict=True):
        own = {} if label is None else {"correct": label}
        records += [
            Record(where=f"{what} {row.where}", values={**row.values, **own}) for row in table.records
        ]
        for reason, count in table.unreadable.counts.items():
            logger.warning("%s: %d rows left out: %s", what, count, reason)
    # ids of several lists need not differ; rows are named by their place
    columns = dict.fromkeys(column for table in tables for column in table.columns if column != "id")
    given = [column for column in columns if column != "correct"] + ["correct"] * _has_labels(parts, columns)
    found = adopt_rows(Table(source=name, columns=tuple(given), records=tuple(records)), organism=name)
    for line in found.report.lines()[1:]:
        logger.info("%s:%s", name, line)
    for reason, count in found.report.dropped.items():
        logger.warning("%s: %d rows left out: %s (%s)", name, count, reason, found.report.first[reason][0])
    return found


def _has_labels(parts: Sequence[tuple[str, RowsLike, bool | None]], columns: Iterable[str]) -> bool:
    return all(label is not None for _, _, label in parts) or "correct" in columns


def _table(what: str, rows: RowsLike) -> Table:
    if isinstance(rows, str | Path):
        return read_table(rows)
    values = [row.to_dict() if hasattr(row, "to_dict") else dict(row) for row in rows]
    columns = dict.fromkeys(column for row in values for column in row)
    records = tuple(Record(where=f"row {i}", values=row) for i, row in enumerate(values, 1))
    return Table(source=what, columns=tuple(columns), records=records)
