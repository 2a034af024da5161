"""Progress bars for long loops, silent unless asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")

__all__ = ["track"]


def track(items: Iterable[Item], label: str, show: bool, total: int | None = None) -> Iterator[Item]:
    """Iterate over `items`, with a bar on the terminal when `show` is set.

    >>> list(track([1, 2], "counting", show=False))
    [1, 2]
    """
    if not show:
        yield from items
        return
    from rich.progress import track as bar

    yield from bar(items, description=label, total=total, transient=True)
