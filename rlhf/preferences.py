"""Human preference pairs as TRL expects them, read from `SOPHISTRY_DATA`.

Two public sets judged by people: the PandaLM test set (three annotators, majority counts, ties and split
votes dropped) and LLMBar (one agreed label). Nothing of their text is stored in this project.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from activations.tokens import encode
from tasks.quality import data_folder
from tasks.rows import Row, read_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pair = dict[str, Any]


def pandalm_pairs() -> list[Pair]:
    """Majority-preferred and other response of the PandaLM human test set."""
    return read_rows(data_folder("pandalm_human_test") / "testset_v1.jsonl.gz", _pandalm_pair)


def _pandalm_pair(row: Row) -> Pair | None:
    votes = Counter(row[f"annotator{k}"] for k in (1, 2, 3))
    winner, count = votes.most_common(1)[0]
    texts = row["response1"], row["response2"]
    if winner == 0 or count < 2 or not all(isinstance(text, str) for text in texts):
        return None  # ties, split votes, and the few responses that the file stores as non-text
    prompt = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
    return _pair(prompt, *texts, winner)


def llmbar_pairs(subsets: tuple[str, ...] = ("Natural",)) -> list[Pair]:
    """Preferred and other output of LLMBar; the adversarial subsets are off by default."""

    def make(row: Row) -> Pair | None:
        pair = _pair(row["input"], row["output_1"], row["output_2"], row["label"])
        return pair if row["subset"] in subsets else None

    return read_rows(data_folder("llmbar") / "llmbar.jsonl.gz", make)


def _pair(prompt: str, first: str, second: str, winner: int) -> Pair:
    if winner not in (1, 2):
        raise ValueError(f"the better response must be 1 or 2, got {winner!r}")
    chosen, rejected = (first, second) if winner == 1 else (second, first)
    return {
        "prompt": [{"role": "user", "content": prompt.strip()}],
        "chosen": [{"role": "assistant", "content": chosen.strip()}],
        "rejected": [{"role": "assistant", "content": rejected.strip()}],
    }


def preference_pairs(
    tokenizer: PreTrainedTokenizerBase, *, max_tokens: int, seed: int = 0
) -> tuple[list[Pair], int]:
    """All pairs that fit, shuffled, and how many were left out because they do not; none is ever cut."""
    pairs = [p for p in (*pandalm_pairs(), *llmbar_pairs()) if is_usable(p)]
    kept = [p for p in pairs if pair_tokens(p, tokenizer) <= max_tokens]
    random.Random(seed).shuffle(kept)
    return kept, len(pairs) - len(kept)


def is_usable(pair: Pair) -> bool:
    """Whether both responses say something, and not the same."""
    texts = pair["chosen"][0]["content"], pair["rejected"][0]["content"]
    return all(texts) and texts[0] != texts[1]


def pair_tokens(pair: Pair, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the longer side as it is trained on: with prompt, template and the end of its turn."""
    sides = (pair[side][0]["content"] for side in ("chosen", "rejected"))
    return 1 + max(len(encode(pair["prompt"], text, tokenizer).ids) for text in sides)
