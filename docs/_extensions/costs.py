"""The table of costs in cluster.md: `python docs/_extensions/costs.py` writes it, a test compares it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PAGE = HERE / "cluster.md"
BEGIN, END = "<!-- costs: ", "<!-- costs end -->"
LLAMA = {
    "1B (Llama 3.2)": {
        "vocab_size": 128_256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "7B (Llama 2)": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "70B (Llama 2)": {
        "vocab_size": 32_000,
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
    },
}
"""The published configurations, as far as they decide sizes."""


def sizes():
    """The models of the table, counted."""
    from transformers import AutoConfig

    from study.cost import ModelSize

    return [ModelSize.of(AutoConfig.for_model("llama", **fields), name) for name, fields in LLAMA.items()]


def computed():
    """The table as it has to stand in the page."""
    from study.cost import cost_table

    return cost_table(sizes())


def written(page):
    """The table as it stands in the page."""
    return page[page.index("\n", page.index(BEGIN)) : page.index(END)].strip()


def main():
    """Write the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    start = page.index("\n", page.index(BEGIN)) + 1
    PAGE.write_text(f"{page[:start]}\n{computed()}\n\n{page[page.index(END) :]}", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
