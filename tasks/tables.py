"""Rows as others write them: JSON Lines, a JSON list, CSV, Parquet, gzipped or not, or a dataset of the hub.

Every row keeps its number in the file, so that whatever is wrong with it later can be said by number. A row
that cannot be read is counted and named; a file that cannot be read at all is refused with what to do.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.rows import parse_json

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
LISTS = ("rollouts", "data", "rows", "examples")
"""Where a JSON object that is no row keeps its rows; the first is Apollo's."""
_SHOWN = 3
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_BOM, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class TableError(ValueError):
    """A file of rows that cannot be used; the message names file, cause and next step."""


@dataclass(kw_only=True)
class Tally:
    """Rows that were left out: how many for which reason, and which ones came first."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, where: str, detail: str = "") -> None:
        """Count one row; the first few of each reason are kept with their place.

        >>> tally = Tally()
        >>> tally.add("the response is empty", "line 3")
        >>> tally.first
        {'the response is empty': ['line 3']}
        """
        self.counts[reason] += 1
        shown = self.first.setdefault(reason, [])
        if len(shown) < _SHOWN:
            shown.append(f"{where}: {detail}" if detail else where)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row of a file."""

    where: str
    """Its place: `line 3` of JSON Lines, `row 3` (the first below the header is 1) of everything else."""
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a file holds."""

    source: str
    """Its path, or the name of the dataset."""
    columns: tuple[str, ...]
    """Names that its rows use, in the order of their first appearance."""
    records: tuple[Record, ...]
    unreadable: Tally = field(default_factory=Tally)
    notes: tuple[str, ...] = ()
    """What was done to read it, where that could surprise."""


def read_table(
    source: str | Path, *, subset: str | None = None, split: str | None = None, delimiter: str | None = None
) -> Table:
    """Read a file of rows, or a dataset of the hub (`user/name`).

    Args:
        source: a path that ends in one of `KINDS`, with or without `.gz`; or the name of a dataset.
        subset: configuration of a dataset that has several.
        split: part of a dataset that has several.
        delimiter: what separates the cells of a CSV; None: a comma, or a tab in `.tsv`.

    Raises:
        FileNotFoundError: there is neither a file nor a dataset of this name.
        TableError: empty, damaged, in another encoding, of an unknown kind, or without a readable row.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("statement,label\\nWater is wet.,1\\n")
    >>> rows = read_table(path)
    >>> rows.columns, rows.records[0].values["label"]
    (('statement', 'label'), '1')
    """
    path = Path(source).expanduser()
    if not path.is_file():
        return _read_dataset(source, path, subset, split)
    data = path.read_bytes()
    notes: list[str] = []
    kind = next((kind for kind in KINDS if path.name.lower().removesuffix(".gz").endswith(kind)), None)
    if data[:2] == _GZIP:
        data = _unzip(path, data)
        if path.suffix != ".gz":
            notes.append("the file is gzipped though its name does not end in .gz")
    elif path.suffix == ".gz":
        raise TableError(f"{path} is no gzip file though it is called so: download it again, or rename it.")
    if kind is None:
        known = ", ".join(KINDS)
        raise TableError(f"{path}: rows are read from {known} (also .gz); rename or convert the file.")
    if not data.strip():
        raise TableError(f"{path} is empty: it holds no row.")
    if kind == ".parquet" or data[:4] == _PARQUET:
        columns, records = _read_parquet(path, data)
        return _checked(path, columns, records, Tally(), notes)
    data = _decodable(path, data, notes)
    if kind in (".csv", ".tsv"):
        return _read_csv(path, data, delimiter or ("\t" if kind == ".tsv" else ","), notes)
    if kind == ".json" or data.lstrip()[:1] == b"[":
        found = _json_list(path, data)
        if found is not None:
            return _from_objects(path, ((f"row {i}", value) for i, value in enumerate(found, 1)), notes)
    return _from_objects(path, _lines(data), notes)


def _unzip(path: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(f"{path} is damaged or was not downloaded to its end: {error}") from error


def _decodable(path: Path, data: bytes, notes: list[str]) -> bytes:
    if data.startswith(_UTF16):
        raise TableError(
            f"{path} is UTF-16, rows are read as UTF-8: "
            f"iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}"
        )
    if data.startswith(_BOM):
        notes.append("a byte order mark at its start was skipped")
    return data.removeprefix(_BOM)


def _read_parquet(path: Path, data: bytes) -> tuple[list[str], list[tuple[str, Any]]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} is no Parquet file, or a damaged one: {error}") from error
    return table.column_names, [(f"row {i}", row) for i, row in enumerate(table.to_pylist(), 1)]


def _read_csv(path: Path, data: bytes, delimiter: str, notes: list[str]) -> Table:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableError(
            f"{path} is not UTF-8 (line {line}: {data[error.start : error.start + 1]!r}). If it is Latin-1: "
            f"iconv -f LATIN1 -t UTF-8 {path.name} > utf8-{path.name}"
        ) from error
    tally, records = Tally(), []
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a long answer is no mistake
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(reader)]
        _check_header(path, header, delimiter)
        for number, cells in enumerate(reader, 1):
            if not cells:
                continue
            if len(cells) != len(header):
                detail = f"{len(cells)} cells for {len(header)} columns"
                tally.add("has another number of cells than the header", f"row {number}", detail)
                continue
            records.append((f"row {number}", dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise TableError(
            f"{path} is no sound CSV (row {len(records) + 1}): {error}. Check its quotes."
        ) from error
    finally:
        csv.field_size_limit(limit)
    return _checked(path, header, records, tally, notes)


def _check_header(path: Path, header: list[str], delimiter: str) -> None:
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    if other:
        raise TableError(
            f"{path} seems to be separated by {other!r}, not by {delimiter!r}: save it with commas."
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise TableError(f"{path} has two columns called {twice[0]!r}: rename one.")


def _json_list(path: Path, data: bytes) -> list[Any] | None:
    """The rows of a file that is one JSON value; None when it is JSON Lines after all."""
    try:
        whole = parse_json(data.decode())
    except ValueError as error:
        if data.lstrip()[:1] != b"[":
            return None
        raise TableError(f"{path} begins as a JSON list but is none: {error}") from error
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict):
        inner = next((whole[name] for name in LISTS if isinstance(whole.get(name), list)), None)
        return [whole] if inner is None else inner
    raise TableError(f"{path} holds {type(whole).__name__}, not rows: write one JSON object a line.")


def _lines(data: bytes) -> Iterator[tuple[str, bytes]]:
    return ((f"line {number}", line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip())


def _from_objects(path: Path, values: Iterator[tuple[str, Any]], notes: list[str]) -> Table:
    tally, records, columns = Tally(), [], dict[str, None]()
    for where, value in values:
        try:
            row = parse_json(value.decode()) if isinstance(value, bytes) else value
        except UnicodeDecodeError as error:
            tally.add("is not UTF-8", where, str(error.object[error.start : error.start + 1]))
            continue
        except (ValueError, RecursionError) as error:
            tally.add("is not JSON", where, str(error))
            continue
        if not isinstance(row, dict):
            tally.add("is no JSON object", where, f"it is {type(row).__name__}")
            continue
        columns |= dict.fromkeys(map(str, row))
        records.append((where, row))
    return _checked(path, list(columns), records, tally, notes)


def _checked(
    path: Path, columns: list[str], records: list[tuple[str, Any]], tally: Tally, notes: list[str]
) -> Table:
    if not records:
        why = "; ".join(f"{first[0]} {reason}" for reason, first in tally.first.items()) or "it has no row"
        raise TableError(f"{path} has no row that can be read: {why}.")
    return Table(
        source=str(path),
        columns=tuple(columns),
        records=tuple(Record(where=where, values=values) for where, values in records),
        unreadable=tally,
        notes=tuple(notes),
    )


def _read_dataset(source: str | Path, path: Path, subset: str | None, split: str | None) -> Table:
    name = str(source)
    looks_local = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if looks_local or name.lower().removesuffix(".gz").endswith(KINDS):
        raise FileNotFoundError(f"no file {path}; a dataset of the Hugging Face hub is written user/name")
    from datasets import load_dataset

    try:
        found: Any = load_dataset(name, subset, split=split)
    except (OSError, ValueError) as error:  # includes the hub's and the library's own errors
        raise TableError(
            f"{name!r} is no file here, and no dataset that could be loaded from the hub: {error}"
        ) from error
    if hasattr(found, "keys"):  # one dataset per split
        splits = list(found.keys())
        if len(splits) != 1:
            raise TableError(f"{name} has the splits {', '.join(splits)}: say which one with --split.")
        found = found[splits[0]]
    columns = list(found.column_names)
    records = [(f"row {i}", dict(row)) for i, row in enumerate(found, 1)]
    return _checked(Path(name), columns, records, Tally(), [])
