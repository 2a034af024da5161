"""The installed command: `sophistry NAME ...` runs the program NAME of this folder.

sophistry transfer --preset mini
sophistry transfer --help
"""

from __future__ import annotations

import importlib
import sys

from experiments.program import run_program_main
from sophistry.records import ConfigError, unknown

PROGRAMS = (
    "transfer",
    "adopt",
    "matrix",
    "train_backdoor",
    "train_rlhf",
    "train_reward_model",
    "rlhf_report",
    "rlhf_knowledge",
    "ablation",
    "recipes",
    "figures",
)


def main() -> None:
    """Run the program that the command line names; without one, list them."""
    run_program_main(dispatch)


def dispatch(argv: list[str]) -> None:
    """Run `argv[0]` with the other words. Raises `ConfigError` for a program that does not exist."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return
    name = argv[0].removesuffix(".py").replace("-", "_")
    if name not in PROGRAMS:
        raise ConfigError(unknown("program", argv[0], PROGRAMS))
    importlib.import_module(f"experiments.{name}").main(argv[1:])


def _usage() -> str:
    about = {name: str(importlib.import_module(f"experiments.{name}").__doc__) for name in PROGRAMS}
    lines = [f"  {name:<20}{doc.strip().splitlines()[0]}" for name, doc in about.items()]
    head = ["sophistry NAME [--preset NAME|FILE.yaml] [--out DIR] [--any.field value ...]", ""]
    return "\n".join([*head, *lines, "", "sophistry NAME --help shows every field."]) + "\n"
