"""How a program of this folder runs: log to the terminal, and turn a user's mistake into one clear line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from sophistry.quiet import quiet_libraries


def run_program_main(main: Callable[[list[str]], Any]) -> None:
    """Call `main` with the command line; wrong input ends with its message and exit code 2.

    Errors that say what to do (`ValueError`, `OSError`, and the library's own) are shown without a traceback;
    set `SOPHISTRY_TRACEBACK=1` to see where they came from.
    """
    from activations import WeightsError
    from tasks.sandbox.run import SandboxError

    handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False, show_time=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    for name in ("experiments", "activations", "backdoor", "rlhf", "probes", "tasks", "organisms", "study"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        refuse_processes()
        with quiet_libraries():
            main(sys.argv[1:])
    except (ValueError, OSError, WeightsError, SandboxError) as error:
        if os.environ.get("SOPHISTRY_TRACEBACK"):
            raise
        Console(stderr=True).print(f"Error: {error}", style="red", highlight=False, markup=False)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped. The same command goes on where this run stopped.")
        raise SystemExit(130) from None


def refuse_processes() -> None:
    """Raise ValueError under `torchrun` with several processes: each would write the same files."""
    if (count := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ValueError(
            f"{count} processes were started (WORLD_SIZE), and each would write the same files: start this "
            "program alone. Training and extraction that share work among processes: docs/cluster.md"
        )
