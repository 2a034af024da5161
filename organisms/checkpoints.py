"""Whose checkpoints a folder holds: training goes on only from its own.

Beside the checkpoints lies `recipe.json`: settings, a digest of the examples, and what the weights were at
the start. Anything else in the folder is refused, since going on from it would make another organism than the
record says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECIPE = "recipe.json"


def claim(work_dir: Path, *, settings: Mapping[str, Any], examples: str, start: str) -> bool:
    """Write down what is trained in a folder; gives whether there is a checkpoint to go on from.

    Args:
        work_dir: made when it does not exist.
        settings: plain values, by name.
        examples: a digest of what is taught.
        start: names the weights that training starts from.

    Raises:
        ValueError: the folder holds checkpoints of something else, or of nobody knows what.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    recipe = {"settings": dict(settings), "examples": examples, "start": start}
    path = work_dir / RECIPE
    resume = any(work_dir.glob("checkpoint-*"))
    if resume:
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        changed = [name for name, value in recipe.items() if before.get(name) != value]
        if "settings" in changed and "settings" in before:
            changed[:1] = [name for name, value in settings.items() if before["settings"].get(name) != value]
        if changed:
            raise ValueError(
                f"{work_dir} holds checkpoints of another recipe (other {', '.join(changed)}); "
                "delete the folder to train anew, or choose another --out"
            )
    path.write_text(json.dumps(recipe, indent=1), encoding="utf-8")
    return resume
