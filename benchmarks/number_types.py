"""What float32 changes against bfloat16: in an organism's answers, and in AUROCs of its activations.

    python -m benchmarks.number_types --organism organisms/shipped/qa-backdoored --rows 96

The same answers are read in both number types, and a probe is cross-fitted on both at every layer; its
bfloat16 fit is also scored on float32 activations of held-out rows. The answers are generated anew (greedily)
in both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from activations import extract, load_model
from organisms import organism_transcripts
from organisms.generate import SamplingSpec, answer
from probes import LogisticProbe, auroc
from probes.evaluation.folds import deal_groups
from sophistry.files import write_atomic
from sophistry.machine import describe_machine
from study.opening import RowChoice, usable_rows
from tasks.transcript import Transcript

TYPES = ("bfloat16", "float32")


def read(organism: str, rows: list[Transcript], dtype: str, cache: Path) -> np.ndarray:
    """Activations `[layer, row, d]` of the answers in one number type."""
    model = load_model("smollm2", adapter=organism, merge=True, dtype=dtype)
    store = extract(model, rows, tokens="response_mean", store=cache, store_dtype="float32")
    return np.stack([store.array(layer) for layer in store.layers]).astype(np.float64)


def held_out(fit_on: np.ndarray, score_on: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Cross-fitted scores `[row]` of one layer, fitted on one reading and scored on another."""
    scores = np.empty(len(y))
    for k in np.unique(fold):
        probe = LogisticProbe(C=0.01).fit(fit_on[fold != k], y[fold != k])
        scores[fold == k] = probe.decision_function(score_on[fold == k])
    return scores


def compare_readings(organism: str, rows: list[Transcript], cache: Path) -> dict[str, Any]:
    """By how much activations, scores and AUROCs differ between the two number types."""
    low, full = (read(organism, rows, dtype, cache) for dtype in TYPES)
    y = np.array([int(not row.correct) for row in rows])
    of_group = deal_groups([np.array([row.group for row in rows])], 5, 0)
    fold = np.array([of_group[row.group] for row in rows])
    layers = range(len(low))
    aurocs = {
        name: np.array([auroc(y, held_out(a[i], b[i], y, fold)) for i in layers])
        for name, (a, b) in {
            "bfloat16": (low, low),
            "float32": (full, full),
            "fitted in bfloat16, scored in float32": (low, full),
        }.items()
    }
    spread = np.linalg.norm(full - full.mean(1, keepdims=True), axis=-1).mean(1)
    change = np.linalg.norm(low - full, axis=-1).mean(1) / spread
    moved = {name: np.abs(values - aurocs["float32"]) for name, values in aurocs.items() if name != "float32"}
    return {
        "rows": len(rows),
        "wrong": int(y.sum()),
        "change of a row over the spread of rows, by layer": [round(float(v), 5) for v in change],
        "auroc by layer": {name: [round(float(v), 4) for v in values] for name, values in aurocs.items()},
        "mean move of an AUROC": {name: round(float(v.mean()), 5) for name, v in moved.items()},
        "largest move of an AUROC": {name: round(float(v.max()), 5) for name, v in moved.items()},
    }


def compare_answers(organism: str, rows: list[Transcript]) -> dict[str, Any]:
    """How many greedy answers differ between the two number types, in text, in letter and in correctness."""
    spec = SamplingSpec()
    given = {}
    for dtype in TYPES:
        model = load_model("smollm2", adapter=organism, merge=True, dtype=dtype)
        given[dtype] = answer(model.model, model.tokenizer, [row.prompt for row in rows], spec)
    pairs = list(zip(given["bfloat16"], given["float32"], strict=True))
    kept = [row.response == full.text for row, (_, full) in zip(rows, pairs, strict=True)]
    ends = [low.text.split()[-1:] == full.text.split()[-1:] for low, full in pairs]
    return {
        "answers": len(rows),
        "same text in both": sum(low.text == full.text for low, full in pairs),
        "same last word in both": sum(ends),
        "float32 gives the shipped text": sum(kept),
    }


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--organism", default="organisms/shipped/qa-backdoored")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--out", type=Path, default=Path("docs/results/number-types.json"))
    options = parser.parse_args()
    rows, _ = usable_rows(
        organism_transcripts(options.organism), ("plain", "trigger"), RowChoice(most=options.rows), "rows"
    )
    with tempfile.TemporaryDirectory() as cache:
        found = {
            "organism": options.organism,
            "machine": describe_machine(),
            "readings": compare_readings(options.organism, rows, Path(cache)),
            "answers": compare_answers(options.organism, rows),
        }
    print(json.dumps(found, indent=1))
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    write_atomic(options.out, json.dumps(known | {Path(options.organism).name: found}, indent=1))


if __name__ == "__main__":
    main()
