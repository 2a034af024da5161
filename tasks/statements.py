"""True and false statements: `statement,label` in either order, as probe papers share them.

The form of Azaria and Mitchell (arXiv 2304.13734) and of Marks and Tegmark (The Geometry of Truth, arXiv
2310.06824). A bare statement has no prompt. It becomes the response to an empty one, so that `last`,
`response_last` and `response_mean` all read it, and the ids are those of the statement alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from sophistry.records import unknown
from tasks.tables import Record, Table, TableError

STATEMENT, LABEL = "statement", "label"


def statement_rows(table: Table, columns: Mapping[str, str]) -> tuple[Table, dict[str, str]]:
    """Give a table of statements as one of rows, and which columns its fields are.

    `columns` may map `response` (the statement), `correct` (its truth) and `group`.

    >>> from tasks.tables import Record
    >>> table = Table(source="facts.csv", columns=("label", "statement"),
    ...              records=(Record(where="row 1", values={"label": "1", "statement": "Ice is cold."}),))
    >>> rows, columns = statement_rows(table, {})
    >>> rows.records[0].values["prompt"], columns["response"], columns["correct"]
    ('', 'statement', 'label')
    """
    mapped = {"response": STATEMENT, "correct": LABEL, **columns}
    for column in (mapped["response"], mapped["correct"]):
        if column not in table.columns:
            raise TableError(
                f"{table.source}: {unknown('column', column, table.columns)} Statements need "
                f"{STATEMENT} and {LABEL} (1 = true), or --columns response=COLUMN,correct=COLUMN."
            )
    records = tuple(
        Record(where=record.where, values={**record.values, "prompt": ""}) for record in table.records
    )
    rows = Table(
        source=table.source,
        columns=(*table.columns, "prompt"),
        records=records,
        unreadable=table.unreadable,
        notes=table.notes,
    )
    return rows, mapped | {"prompt": "prompt"}
