"""How a program of this folder runs: log to the terminal, and turn a user's mistake into one clear line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from rich.console import Console
from rich.logging import RichHandler


def run_program_main(main: Callable[[list[str]], None]) -> None:
    """Call ``main`` with the command line; wrong input ends with its message and exit code 2.

    Errors that say what to do (`ValueError`, `FileNotFoundError`) are shown without a traceback; set
    ``SOPHISTRY_TRACEBACK=1`` to see where they came from.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(show_path=False, show_level=False)]
    )
    for name in ("experiments", "activations", "backdoor", "rlhf", "probes", "tasks"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        main(sys.argv[1:])
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get("SOPHISTRY_TRACEBACK"):
            raise
        Console(stderr=True).print(f"Error: {error}", style="red", highlight=False, markup=False)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped. The same command goes on where this run stopped.")
        raise SystemExit(130) from None
