"""Extract the activations of a file of answers. Start it once per GPU: all processes write one store.

    python docs/cluster/extract.py --model smollm2 --rows answers.jsonl --store /shared/activations
    torchrun --nproc-per-node 8 docs/cluster/extract.py --model ... --rows ... --store ...
    RAY_ADDRESS=auto python docs/cluster/extract.py --engine ray --model ... --rows ... --store ...

Every line of the file has `id`, `prompt`, `response` and, if questions have several answers, `group`.
"""

import argparse
import json
import logging
from pathlib import Path

from activations import ActivationStore, extract, load_model


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--model", required=True, help="hub id, folder or GGUF file")
    options.add_argument("--adapter", help="folder of a LoRA adapter")
    options.add_argument("--rows", required=True, type=Path, help="answers, one JSON object a line")
    options.add_argument("--store", required=True, type=Path, help="folder that all processes see")
    options.add_argument("--tokens", default="response_mean", help="token selection")
    options.add_argument("--quantisation", choices=("8bit", "4bit"), help="for a model that is too large")
    options.add_argument("--engine", default="local", choices=("local", "ray"))
    return options


def main(words: list[str] | None = None) -> ActivationStore:
    """Extract, or take part in it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = parser().parse_args(words)
    rows = [json.loads(line) for line in given.rows.read_text(encoding="utf-8").splitlines() if line.strip()]
    acts = extract(
        load_model(given.model, adapter=given.adapter, quantisation=given.quantisation),
        rows,
        tokens=given.tokens,
        store=given.store,
        engine=given.engine,
    )
    logging.info("%s", acts.path)
    return acts


if __name__ == "__main__":
    main()
