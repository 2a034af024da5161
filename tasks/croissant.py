"""What a file of transcripts is, for machines that look for data: Croissant metadata (JSON-LD, version 1.1).

Croissant (mlcommons.org/croissant) adds to schema.org's Dataset which files there are, with their hashes, and
which fields a record has. The vocabulary is that of mlcommons' own examples.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import typing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sophistry.files import write_atomic
from sophistry.records import describe_fields
from tasks.transcript import Transcript

CROISSANT = "croissant.json"
"""Name of the file, beside the transcripts."""
VERSION = "http://mlcommons.org/croissant/1.1"
MIT = "https://opensource.org/license/mit"
"""Licence of the transcripts that are shipped: generated questions and a model's answers."""
_CR = "cr:"
_OWN = """citeAs column conformsTo containedIn extract field fileObject fileProperty fileSet format includes
    isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace
    samplingRate separator source subField transform arrayShape equivalentProperty""".split()
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"{_CR}{name}" for name in _OWN},
    "conformsTo": "dct:conformsTo",
}
"""What the short names in the file stand for."""
_TYPES = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float", str: "sc:Text"}


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """What no file says about itself."""

    name: str
    description: str
    licence: str
    """Address of the licence's text, or its SPDX name; or a sentence, where nobody has given one."""
    creator: str = "not said"
    url: str = "https://mlcommons.org/croissant"
    """Where the data can be found."""
    date: str | None = None
    """Day of publication (2026-11-27); None: the day the file was written."""


def croissant(path: Path, card: DataCard) -> dict[str, Any]:
    """Describe a file of transcripts as a Croissant dataset: its hash, size and fields.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "transcripts.jsonl"
    >>> _ = path.write_text('{"id": "1", "correct": true}\\n')
    >>> made = croissant(path, DataCard(name="toy", description="One row.", licence=MIT))
    >>> made["@type"], made["distribution"][0]["contentSize"], len(made["recordSet"][0]["field"])
    ('sc:Dataset', '29 B', 2)
    """
    data = path.read_bytes()
    day = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date().isoformat()
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": card.name,
        "description": card.description,
        "license": card.licence,
        "url": card.url,
        "creator": {"@type": "Organization", "name": card.creator},
        "datePublished": card.date or day,
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": path.name,
                "name": path.name,
                "contentUrl": path.name,
                "contentSize": f"{len(data)} B",
                "encodingFormat": "application/jsonlines",
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "transcripts",
                "name": "transcripts",
                "description": "One prompt, one response of a language model, and its labels.",
                "key": {"@id": "transcripts/id"},
                "field": _described(data, path.name),
            }
        ],
    }


def save_croissant(path: Path, card: DataCard) -> Path:
    """Write `croissant.json` beside a file of transcripts."""
    beside = path.with_name(CROISSANT)
    write_atomic(beside, json.dumps(croissant(path, card), indent=1, ensure_ascii=False) + "\n")
    return beside


def _described(data: bytes, file: str) -> list[dict[str, Any]]:
    """The fields that the file's rows have (files of version 0.1 lack some), each as its values are."""
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    documented = describe_fields(Transcript)
    found = []
    for name in (field.name for field in fields(Transcript) if field.name in rows[0]):
        place = {"fileObject": {"@id": file}, "extract": {"column": name}}
        shape = _shape(f"transcripts/{name}", [row.get(name) for row in rows], place, _data_type(name))
        if shape is not None:
            found.append(_field(f"transcripts/{name}", documented[name][1]) | shape)
    return found


def _shape(ref: str, values: list[Any], place: dict[str, Any], plain: str) -> dict[str, Any] | None:
    """Type and source of a column: plain, or parts of records (a chat's messages, `extra`).

    None for what Croissant has no type for: text in one row and a chat in another, or records without parts.
    """
    known = [value for value in values if value is not None]
    records = [part for value in known for part in (value if isinstance(value, list) else [value])]
    if not any(isinstance(one, dict | list) for one in known):
        return {"dataType": plain, "source": place}
    if len({type(value) for value in known}) > 1 or not all(isinstance(one, dict) for one in records):
        return None
    inside = {name: [record.get(name) for record in records] for record in records for name in record}
    parts = []
    for name, held in inside.items():
        single = [one for value in held for one in (value if isinstance(value, list) else [value])]
        types = {_TYPES.get(type(one)) for one in single if one is not None}
        if len(types) == 1 and None not in types:
            part = _field(f"{ref}/{name}", f"{name} of {ref.rpartition('/')[2]}.")
            part |= {"dataType": types.pop(), "source": place | {"transform": {"jsonPath": name}}}
            parts.append(part | ({"repeated": True} if len(single) > len(held) else {}))
    return {"subField": parts} | ({"repeated": True} if isinstance(known[0], list) else {}) if parts else None


def _field(ref: str, doc: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": ref, "name": ref.rpartition("/")[2], "description": doc}


def _data_type(name: str) -> str:
    """Type of a field that holds one value per row."""
    hint = typing.get_type_hints(Transcript)[name]
    choices = [choice for choice in typing.get_args(hint) or (hint,) if choice is not type(None)]
    return _TYPES.get(choices[0], "sc:Text") if len(choices) == 1 else "sc:Text"
