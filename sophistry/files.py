"""Files that are there whole or not at all, and where a preset's paths lead."""

from __future__ import annotations

from pathlib import Path

from sophistry.records import ConfigError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, or the folder that the packages were installed into.

:meta hide-value:
"""


def find_path(reference: str, what: str) -> Path:
    """Find a file or folder of a preset: as given, or below the repository's root.

    Raises `ConfigError` naming both places.
    """
    places = [Path(reference).expanduser(), ROOT / reference]
    for place in places:
        if place.exists():
            return place
    tried = " or ".join(dict.fromkeys(str(place) for place in places))
    raise ConfigError(f"{what}: {reference!r} does not exist (looked for {tried}).")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
