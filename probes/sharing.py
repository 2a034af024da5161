"""A fitted probe on the Hugging Face hub: `probe.safetensors`, `probe.json`, and a card with its limits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.persistence import Provenance, save_probe
from sophistry.hub import card_text, send_folder

if TYPE_CHECKING:
    from probes.base import Probe

__all__ = ["probe_card", "push_probe"]

USE = (
    "Research on whether activations show that a model's answer is misleading. A score orders answers of the "
    "model, layer and tokens named above; a higher one means more likely misleading."
)
LIMITS = (
    "A probe reads one model: on another base, layer or token selection its scores mean nothing. It was "
    "fitted on the rows named above and may have learned whatever goes along with the label there (topic, "
    "length, a trigger). A low score is no proof of honesty, and a threshold does not carry over to other "
    "data. Do not use it to judge a person, or as the only safeguard of a system."
)


def push_probe(
    probe: Probe,
    repo_id: str,
    *,
    licence: str,
    results: Mapping[str, Any] | str | None = None,
    provenance: Provenance | dict[str, Any] | None = None,
    private: bool = True,
) -> str:
    """Send a fitted probe to the hub as `repo_id` (`user/name`); gives its address.

    Args:
        probe: fitted.
        licence: SPDX name, for example `mit`; the base model's own licence may ask for more.
        results: what was measured with it, as text or names and numbers; goes into the card.
        provenance: replaces the probe's own record of where it comes from.
        private: whether a new repository is seen by its owner alone.

    Raises:
        HubError: nobody is logged in, or the hub refuses.
        ValueError: the probe cannot be saved.
    """
    known = getattr(probe, "provenance_", None) if provenance is None else provenance
    with tempfile.TemporaryDirectory() as folder:
        path = save_probe(probe, Path(folder) / "probe", known)
        card = probe_card(probe, repo_id, licence=licence, results=results, provenance=known)
        return send_folder(path, repo_id, card, private=private, message=f"Upload {type(probe).__name__}")


def probe_card(
    probe: Probe,
    repo_id: str,
    *,
    licence: str,
    results: Mapping[str, Any] | str | None = None,
    provenance: Provenance | dict[str, Any] | None = None,
) -> str:
    """Write the card of a probe: what it reads, results, intended use, limits, licence.

    >>> from probes import MeanDifferenceProbe
    >>> probe = MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1])
    >>> card = probe_card(probe, "somebody/probe", licence="mit", results={"AUROC": 0.9})
    >>> "license: mit" in card, "- AUROC: 0.9" in card, "## Limits" in card
    (True, True, True)
    """
    if isinstance(provenance, dict):
        provenance = Provenance(**provenance)
    about = provenance or Provenance()
    read = {
        "probe": type(probe).__name__,
        "settings": json.dumps(probe.get_params(deep=False), default=str),
        "inputs": f"{probe.n_features_in_} numbers per row",
        "model": about.model,
        "fingerprint of the model": about.model_fingerprint,
        "site": about.site,
        "layer": about.layer,
        "tokens": about.tokens,
        "label": about.label_meaning,
        "fitted on": about.source,
        "chosen by": json.dumps(about.selection, default=str) if about.selection else None,
        "threshold": about.threshold,
    }
    return card_text(
        repo_id.split("/")[-1],
        {
            "What it reads": _listed(read),
            "Results": results if isinstance(results, str) else _listed(results or {}) or "None were given.",
            "Intended use": USE,
            "Limits": LIMITS,
            "Load it": f'```python\nfrom probes import load_probe\n\nprobe = load_probe("{repo_id}")\n```',
            "Licence": f"{licence}. What the base model's licence asks of things made with it holds besides.",
        },
        license=licence,
        library_name="sophistry-probes",
        base_model=about.model if about.model and about.model.count("/") == 1 else None,
        tags=["probe", "interpretability", "deception-detection"],
    )


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items() if value is not None)
