"""Files of rows (JSON Lines, plain or gzipped): a bad row is left out and named, and never stops the rest."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

__all__ = ["Row", "filled", "numbered_lines", "parse_json", "read_rows"]

Row = dict[str, Any]
T = TypeVar("T")
_NAMED = 3  # rows that one warning names
_LONGEST_INT = 4000  # digits that Python's own `int` reads from text


def read_rows(
    path: str | Path,
    make: Callable[[Row], T | None],
    *,
    parts: Callable[[Row], Iterable[Row]] | None = None,
    key: Callable[[T], str] | None = None,
) -> list[T]:
    """Read a file of rows; those that cannot be read are left out, counted and named in one warning.

    Args:
        path: JSON Lines, gzipped where the name ends in `.gz`.
        make: what a row becomes; None leaves it out without a word (of another split, say).
        parts: the rows inside a row, where a line holds several; each stands or falls alone.
        key: what no two rows may share; a later row with the same key is left out and named.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one row of the file can be read, or it is no gzip file though it is called so.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.jsonl"
    >>> _ = path.write_text('{"n": 1}\\n{"m": 2}\\n{"n": 3}\\n')
    >>> read_rows(path, lambda row: row["n"])
    [1, 3]
    """
    path = Path(path).expanduser()
    made: list[T] = []
    seen: set[str] = set()
    refused: list[str] = []
    sound = 0
    for number, line in numbered_lines(path):
        try:
            row = parse_json(line.decode())
            if not isinstance(row, dict):
                raise ValueError(f"a row is an object, not {type(row).__name__}")
            pieces = [row] if parts is None else list(parts(row))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            refused.append(f"{path}:{number}: {_cause(error)}")
            continue
        for piece in pieces:
            try:
                found = make(piece)
                if found is not None and key is not None and key(found) in seen:
                    raise ValueError(f"{key(found)!r} stands above already")
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                refused.append(f"{path}:{number}: {_cause(error)}")
                continue
            sound += 1
            if found is not None:
                seen.add(key(found)) if key is not None else None
                made.append(found)
    named = "; ".join(refused[:_NAMED]) + ("; ..." if len(refused) > _NAMED else "")
    if not sound:
        raise ValueError(f"{path} has no row that can be read: {named or 'it is empty'}")
    if refused:
        logger.warning("%d of %d rows are left out: %s", len(refused), len(refused) + sound, named)
    return made


def filled(row: Row, name: str) -> str:
    """The text or number of a field that a row must have, as text.

    Raises:
        ValueError: it is missing, empty, or neither text nor a whole number.

    >>> filled({"id": 7}, "id")
    '7'
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError(f"{name} must be text or a whole number, got {value!r}")
    return str(value)


def parse_json(text: str) -> Any:
    """JSON with integers of any length, which `int` does not read from text.

    >>> parse_json("[1" + "0" * 5000 + "]") == [10**5000]
    True
    """
    return json.loads(
        text, parse_int=lambda digits: int(digits) if len(digits) < _LONGEST_INT else int(Decimal(digits))
    )


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank, as bytes: one that is no UTF-8 is one bad row.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a gzip file that is damaged, or none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; see docs/data.md")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged or was not downloaded to its end: {error}") from error


def _cause(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)
