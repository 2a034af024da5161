"""Look after stores from the command line: `python -m activations inspect|verify|prune|diagnose ...`."""

import argparse
import sys
from pathlib import Path

from activations.adapters import AdapterMismatchError
from activations.housekeeping import describe_store, find_leftovers, find_stores, remove
from activations.store import ActivationStore, StoreCorruptError
from activations.weights import WeightsError


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit status 1: a store is damaged, a model fails its checks, or nothing is there."""
    parser = argparse.ArgumentParser(prog="python -m activations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in [
        ("inspect", "show what a store (or every store in a folder) holds"),
        ("verify", "hash every file of a store (or of every store in a folder)"),
    ]:
        commands.add_parser(name, help=text, description=text).add_argument("path", type=Path)
    prune = commands.add_parser(
        "prune", help="list what can be deleted from a folder of stores; --yes deletes it"
    )
    prune.add_argument("path", type=Path, help="the folder that was passed to extract(store=...)")
    prune.add_argument("--damaged", action="store_true", help="also delete stores that fail verification")
    prune.add_argument("--yes", action="store_true", help="delete, instead of only listing")
    diagnose = commands.add_parser("diagnose", help="run the integrity checks on a model")
    diagnose.add_argument("model", help="hub id, folder, *.gguf or smollm2")
    diagnose.add_argument("--adapter", help="PEFT adapter folder")
    diagnose.add_argument("--dtype", default="auto")
    options = parser.parse_args(argv)
    try:
        return COMMANDS[options.command](options)
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1


def _inspect(options: argparse.Namespace) -> int:
    for store in find_stores(options.path):
        print(describe_store(store))
    return 0


def _verify(options: argparse.Namespace) -> int:
    damaged = 0
    for folder in find_stores(options.path):
        try:
            store = ActivationStore.open(folder, verify=True)
        except StoreCorruptError as error:
            damaged += 1
            print(f"DAMAGED {error}")
        else:
            print(f"ok      {folder} ({len(store)} rows)")
    return 1 if damaged else 0


def _prune(options: argparse.Namespace) -> int:
    found = find_leftovers(options.path, damaged=options.damaged)
    for leftover in found:
        print(f"{leftover.bytes / 1e6:10.1f} MB  {leftover.path}  ({leftover.reason})")
    if found and options.yes:
        remove(found)
        print(f"Deleted {len(found)}.")
    elif found:
        print("Nothing deleted: add --yes to delete these. No extraction may be running in this folder.")
    else:
        print("Nothing to delete.")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    from activations import diagnose, load_model

    report = diagnose(load_model(options.model, adapter=options.adapter, dtype=options.dtype))
    return 1 if report.failed else 0


EXPECTED = (StoreCorruptError, WeightsError, AdapterMismatchError, OSError)
COMMANDS = {"inspect": _inspect, "verify": _verify, "prune": _prune, "diagnose": _diagnose}

if __name__ == "__main__":
    sys.exit(main())
