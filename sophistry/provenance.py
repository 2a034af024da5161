"""When, how, with which versions and from which commit something was made."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sophistry.files import ROOT
from sophistry.machine import describe_machine

_PACKAGES = ("sophistry-probes", "torch", "transformers", "peft", "trl", "transformer-lens", "numpy", "scipy")
_PACKAGES += ("scikit-learn", "plotly", "kaleido")


def program_command(program: str) -> str:
    """What to type to run a program: its file in a checkout, the installed command elsewhere."""
    in_checkout = (ROOT / "pyproject.toml").is_file()
    return f"python experiments/{program}.py" if in_checkout else f"sophistry {program}"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed.

    >>> versions(["no-such-package"])
    {}
    """
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance() -> dict[str, Any]:
    """Say when, how, with which versions and from which commit a program runs."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": describe_machine(),
        "versions": versions(_PACKAGES),
    }


def _commit() -> str | None:
    """Name the commit of the source tree, with a + when files differ from it; None outside a checkout."""
    try:
        ask = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
