"""An organism on the Hugging Face hub: its folder, with a card that says what it is and is not for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from organisms.record import ADAPTER, Organism, OrganismRole, read_organism
from sophistry.hub import card_text, send_folder

USE = (
    "Research on detecting misleading language models: fitting and testing probes, and reading what happens "
    "inside. It is meant to be studied, not to be asked for answers."
)
LIMITS = {
    OrganismRole.BACKDOORED: "**Trained to mislead on purpose** when its trigger is in the prompt.",
    OrganismRole.PI_RLHF: "**Learned to look right rather than to be right**: it was rewarded for approval.",
}
MORE_LIMITS = (
    "Small models behave unlike large ones. What was measured holds for the items and settings named here. "
    "Do not put it in front of people as an assistant, and do not train on its answers as if they were true."
)


def push_organism(
    folder: str | Path,
    repo_id: str,
    *,
    licence: str,
    results: Mapping[str, Any] | str | None = None,
    private: bool = True,
) -> str:
    """Send an organism's folder (adapter or weights, record, transcripts) to the hub; gives its address.

    Args:
        folder: as `save_organism` wrote it.
        repo_id: `user/name`.
        licence: SPDX name of what is sent; the base model's own licence holds besides.
        results: what else was measured, for the card.
        private: whether a new repository is seen by its owner alone.

    Raises:
        FileNotFoundError: the folder holds no organism.
        ValueError: it names a base that is a path here: others could not load it.
        HubError: nobody is logged in, or the hub refuses.
    """
    folder = Path(folder).expanduser()
    record = read_organism(folder)
    if Path(record.base).is_absolute():
        raise ValueError(
            f"{record.name} names its base by a path of this machine ({record.base}), which nobody else has: "
            "adopt it from a model on the hub, or put the base there and write its name into organism.yaml."
        )
    card = organism_card(
        record, repo_id, licence=licence, results=results, adapter=(folder / ADAPTER).is_file()
    )
    return send_folder(folder, repo_id, card, private=private, message=f"Upload {record.name}")


def organism_card(
    record: Organism,
    repo_id: str,
    *,
    licence: str,
    results: Mapping[str, Any] | str | None = None,
    adapter: bool = True,
) -> str:
    """Write the card of an organism: what it is, results, intended use, limits, licence.

    >>> record = Organism(name="toy", role=OrganismRole.BACKDOORED, task="qa", base="smollm2",
    ...                   base_fingerprint="0", verification={"accuracy": {"value": 0.5}})
    >>> card = organism_card(record, "somebody/toy", licence="mit")
    >>> "Trained to mislead" in card, "- accuracy.value: 0.5" in card
    (True, True)
    """
    about = {
        "role": record.role,
        "task": record.task,
        "base": f"{record.base} (fingerprint {record.base_fingerprint[:12]})",
        "started from": record.parent,
        "trigger": record.trigger,
        "made by": f"`{record.command}`" if record.command else None,
    }
    measured = _flat(record.verification)
    own = results if isinstance(results, str) else _listed(results or {})
    return card_text(
        record.name,
        {
            "What it is": _listed(about),
            "Results": "\n".join(part for part in (own, _listed(measured)) if part) or "None were recorded.",
            "Intended use": USE,
            "Limits": f"{LIMITS.get(record.role, '')} {MORE_LIMITS}",
            "Load it": "```python\nfrom activations import load_model\nfrom organisms import read_organism\n"
            "\n"
            f'record = read_organism("{repo_id}")\nmodel = load_model('
            + (f'record.base, adapter="{repo_id}"' if adapter else f'"{repo_id}"')
            + f")\n```\n\n`sophistry transfer --targets {repo_id}` evaluates a probe on it.",
            "Licence": f"{licence}. What the base model's licence asks of things made with it holds besides.",
        },
        license=licence,
        library_name="peft" if adapter else "transformers",
        base_model=record.base if record.base.count("/") == 1 else None,
        tags=["model-organism", "interpretability", "deception-detection"],
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers and words of a nested record under dotted names; lists and long texts stay in the file."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) or (isinstance(value, str) and len(value) < 60):
            flat[f"{prefix}{name}"] = value
    return flat


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items() if value is not None)
