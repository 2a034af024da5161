"""Verdicts that are known already: what a program did on a test is looked up, not run again.

Programs are deterministic in the sandbox (fixed hash seed, no network, no clock worth the name), and an
organism before and after training writes many of the same ones; testers try inputs that are tests as well.
Verdicts that the load of the machine may have decided are never kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

_KEPT = ("ok", "wrong", "error")
"""Statuses that depend on the program alone."""
_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


class Memory:
    """Verdicts by program, test and limits; in a file too if one is given.

    >>> memory = Memory()
    >>> memory.add({"key": {"status": "ok"}, "other": {"status": "timeout"}})
    >>> memory.get("key"), memory.get("other")
    ({'status': 'ok'}, None)
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # a half-written last line is that of a killed run
                    self._known.update(json.loads(line))

    def get(self, key: str) -> dict[str, Any] | None:
        """The fields of a verdict; None: not known."""
        return self._known.get(key)

    def add(self, verdicts: Mapping[str, Any]) -> None:
        """Keep what depends on the program alone."""
        fields = {key: v if isinstance(v, dict) else asdict(v) for key, v in verdicts.items()}
        new = {key: v for key, v in fields.items() if v["status"] in _KEPT and key not in self._known}
        if not new:
            return
        self._known.update(new)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(new, ensure_ascii=False) + "\n")


@contextmanager
def remembering(path: str | Path | None = None) -> Iterator[Memory]:
    """While the context is open, `tasks.grading.grade_many` runs no program twice on one test.

    Args:
        path: file that keeps the verdicts for the next run of the same command; None: in memory only.
    """
    memory = Memory(None if path is None else Path(path))
    token = _memory.set(memory)
    try:
        yield memory
    finally:
        _memory.reset(token)


def current_memory() -> Memory | None:
    """That of the innermost open context; None outside."""
    return _memory.get()
