"""Can a model read QuALITY? Zero-shot: which letter does it find likelier, on held-out short contexts.

    SOPHISTRY_DATA=... python -m benchmarks.letter_margin qwen2.5-coder-0.5b --items 64

Nothing is sampled and nothing trained. The margin is log p(A) - log p(B) after "The answer is", one pass a
question; AUROC is that of the margin for the gold letter, resampled by article. A lean to one letter costs
accuracy and no AUROC, so accuracy is given as it is, and with the median margin taken off.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from activations import LoadedModel, load_model
from activations.tokens import encode_pairs
from organisms.rates import wilson
from probes import bootstrap_auroc
from sophistry.machine import describe_machine
from tasks.qa import ANSWER_FIRST, LETTERS, PAPER_STYLE, QAItem, qa_prompt
from tasks.qa_dataset import quality_questions

LEAD = "The answer is "


@torch.inference_mode()
def letter_margins(
    model: LoadedModel, items: list[QAItem], style: str = PAPER_STYLE
) -> Float[np.ndarray, " item"]:
    """log p(A) - log p(B) of every question, after `LEAD`.

    Raises:
        ValueError: a tokenizer that does not end "The answer is A" and "The answer is B" in one token each.
    """
    found = []
    for item in items:
        prompt = qa_prompt(item, order=ANSWER_FIRST, style=style)
        a, b = (row.ids for row in encode_pairs([(prompt, LEAD + x) for x in LETTERS], model.tokenizer))
        if len(a) != len(b) or a[:-1] != b[:-1]:
            raise ValueError(f"{LEAD + LETTERS[0]!r} and {LEAD + LETTERS[1]!r} differ in more than one token")
        logits = model.model(torch.tensor([a[:-1]], device=model.device), logits_to_keep=1).logits[0, -1]
        found.append(float(logits[a[-1]] - logits[b[-1]]))
    return np.array(found)


def measure(model: LoadedModel, items: list[QAItem], style: str = PAPER_STYLE) -> dict[str, Any]:
    """AUROC of the margin, accuracies with intervals, and how often A is chosen."""
    started = time.perf_counter()
    margins = letter_margins(model, items, style)
    is_a = np.array([item.gold == 0 for item in items])
    centred = margins - np.median(margins)
    interval = bootstrap_auroc(is_a.astype(int), margins, [item.group for item in items])
    return {
        "model": model.ref,
        "fingerprint": model.fingerprint,
        "dtype": model.dtype,
        "machine": describe_machine(),
        "style": style,
        "items": len(items),
        "articles": len({item.group for item in items}),
        "auroc": {"value": interval.value, "low": interval.low, "high": interval.high},
        "accuracy": asdict(wilson(int(((margins > 0) == is_a).sum()), len(items))),
        "accuracy_centred": asdict(wilson(int(((centred > 0) == is_a).sum()), len(items))),
        "chose_a": float((margins > 0).mean()),
        "gold_a": float(is_a.mean()),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Ask and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--items", type=int, default=64, help="the first so many held-out questions")
    parser.add_argument("--style", default=PAPER_STYLE)
    given = parser.parse_args()
    items = quality_questions("quality", "val")[: given.items]
    print(json.dumps(measure(load_model(given.model, dtype="float32"), items, given.style), indent=1))


if __name__ == "__main__":
    main()
