"""What is written below a figure: what it shows, then n, groups, seeds and how was selected, from the JSON.

Each figure file has its caption beside it (`NAME.caption.txt`), so that a figure that is copied into a paper
keeps what has to be said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from probes.evaluation.kinds import Design, DomainRole
from probes.evaluation.results import DomainSummary, TransferResult
from rlhf.diagnostics.measures import Measures
from study.matrix import MatrixResult, stability
from study.plots.style import Style
from study.recipe_cells import RecipeCells

__all__ = ["SHOWS", "in_two", "matrix_captions", "recipe_caption", "rlhf_captions", "transfer_captions"]

SHOWS = {
    "figure8": "The paper's Figure 8 in our numbers. Hollow bars are the best of the whole search on the "
    "very answers shown, as the paper reports; each stands beside the number chosen without them.",
    "headline": "What the paper's Figure 8 asks. Bars start at chance. The frozen source probe on the target "
    "is the claim; the probe fitted in the target is what could have been found; hollow marks are chosen on "
    "the very answers they are scored on, and the tick is what such a choice reaches by luck.",
    "layers": "AUROC by depth. Marks are the layers the probes used; each was chosen in the model where the "
    "probe was fitted. The rest of a curve describes, it is not a result.",
    "roc": "ROC curves, with low false positive rates enlarged. Marks are thresholds frozen on the source.",
    "scores": "Scores by class, and probabilities said against frequencies seen.",
    "forest": "Left: does it hold in every subset? Right: is it more than the text or the prompt gives away?",
    "gap": "What adapting the frozen probe to the target repairs, step by step.",
    "nulls": "What chance alone reaches under the same search.",
    "matrix": "Every model's probe on every model. Outlined: the whole interval lies below chance.",
    "geometry": "The source's direction against the one fitted in each target, and both models' activations, "
    "by depth. Band: 95 % of random directions. Nothing is chosen from it.",
    "verification": "Whether the backdoor is there, and only there.",
    "transfer-matrix": "The probe of every source (row) on every model (column): AUROC with its interval, "
    "and wrong | right answers. Marked corner: fitted and scored on one model, cross-fitted. Last row: the "
    "same family fitted in the column's own model, which is what could have been found (in controls at the "
    "layer of the first source). Outlined: the whole interval lies below chance.",
    "cosines": "Cosine between the direction of every source (row) and the one fitted in every other "
    "model (column), at the layer that the source chose. Nothing is chosen from it.",
    "same-text": "Text and weights apart. The source's probe at home, then where other weights read the same "
    "answers, where the same weights read other answers, and where both differ. Hollow: fitted there.",
    "learning": "AUROC on target answers over labelled target examples in the fit, at the layer and setting "
    "that the source chose. Zero is the frozen probe; the broken grey line is the ceiling, which chooses and "
    "fits in all of the target. Examples come in whole groups and are never scored; AUROC within folds.",
    "recipes": "Left: what each way of RLHF does to approval and to the share of wrong answers that are "
    "approved; arrows lead from the policy before to the mean over seeds. Right: the frozen probe of planted "
    "sophistry on the same answers, with intervals; hollow: the same family fitted there.",
    "approval": "What is right, and what evaluators who had no part in any reward approve.",
    "arrows": "Approval against correctness: where each model started and where its reward led it.",
    "over-optimisation": "Training reward and correctness along each run, over the root of the KL.",
    "confidence": "Confidence in wrong answers, before and after.",
    "evaluators": "Each evaluator's error, before and after.",
    "knowledge": "Whether the model, asked out of role, knows what it got wrong.",
}
"""Beginning of a figure's name -> what it shows."""


def transfer_captions(
    names: Iterable[str], result: TransferResult, style: Style | None = None
) -> dict[str, str]:
    """Write the captions of the figures of one transfer result."""
    style = style or Style()
    facts = f"{_answers(result.domains, style)} {_choice(result, style)} {_intervals(result.provenance)}"
    return {name: f"{_shows(name)} {facts}".strip() for name in names}


def matrix_captions(
    names: Iterable[str],
    result: MatrixResult,
    rows: Mapping[str, TransferResult],
    style: Style | None = None,
) -> dict[str, str]:
    """Write the captions of a study's figures; `rows` are the results behind figures `NAME-SOURCE`."""
    style = style or Style()
    probe, site, tokens = result.readings[0]
    answers = _answers(result.models, style)
    seeds = result.provenance.get("seeds", [])
    common = f"{answers} Probe: {style.name(probe)}, {site}, {tokens}; {result.provenance.get('rule', '')}."
    common += f" {_intervals(result.provenance | {'seed': seeds[0] if seeds else None})}"
    captions = {}
    for name in names:
        source = next((s for s in rows if name.endswith(f"-{s}")), None)
        if source is not None:
            captions[name] = transfer_captions([name], rows[source], style)[name]
            continue
        more = f" {stability(result.cells)[0]}" if name == "transfer-matrix" else ""
        if name == "learning" and result.learning:
            curve = result.learning[0]
            more = f" {curve.repeats} draws of examples per count, seed {curve.seed}."
        captions[name] = f"{_shows(name)} {common}{more}"
    return captions


def rlhf_captions(names: Iterable[str], measured: Sequence[Measures]) -> dict[str, str]:
    """Write the captions of figures about RLHF."""
    facts = [
        f"{m.organism}: {m.approval.items} items"
        + (f", trained with seed {m.seed}" if m.seed is not None else "")
        for m in measured
    ]
    pool = len(measured[0].approval.pool) if measured else 0
    text = f"{'; '.join(facts)}. {pool} evaluators who had no part in a reward. 95 % intervals over items."
    return {name: f"{_shows(name)} {text}" for name in names}


def recipe_caption(found: RecipeCells) -> str:
    """Write the caption of the figure of recipes."""
    runs = [f"{recipe} on {reward}: {len(cells)}" for (recipe, reward), cells in found.trained.items()]
    return (
        f"{SHOWS['recipes']} Training seeds: {'; '.join(runs)}. Intervals of AUROCs are 95 %; layer, setting "
        "and threshold of the probe are chosen on the planted model."
    )


def in_two(name: str, caption: str) -> dict[str, str]:
    """Split a caption into what a figure shows and the facts behind it, as a page shows them."""
    shows = _shows(name)
    return {"caption": shows, "facts": caption.removeprefix(shows).strip()}


def _shows(name: str) -> str:
    known = [beginning for beginning in SHOWS if name == beginning or name.startswith(f"{beginning}-")]
    return SHOWS[max(known, key=len)] if known else ""


def _answers(domains: Sequence[Any], style: Style) -> str:
    counts = "; ".join(
        f"{style.name(d.name)} {d.sample.n_positive} | {d.sample.n_negative} ({d.sample.n_groups})"
        for d in domains
    )
    return f"Wrong | right answers (groups): {counts}."


def _choice(result: TransferResult, style: Style) -> str:
    for choice in result.selection:
        if choice.get("probe") == result.headline_probe:
            setting = ", ".join(f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}"
                                for key, value in choice["setting"].items())  # fmt: skip
            where = f"layer {choice['layer']}" + (f", {setting}" if setting else "")
            source: DomainSummary = next(d for d in result.domains if d.role == DomainRole.SOURCE)
            at = [source.meta[key] for key in ("site", "tokens") if key in source.meta]
            return (
                f"Probe: {style.name(result.headline_probe)}, {', '.join([where, *at])}; chosen on "
                f"{style.name(result.source)} alone: {choice['rule']}."
            )
    held_out = next(e for e in result.evaluations if e.design == Design.SOURCE)
    return f"Probe: {style.name(held_out.probe)}, layer {held_out.layer}."


def _intervals(provenance: Mapping[str, Any]) -> str:
    options = provenance.get("options", {})
    level, draws = options.get("level", 0.95), options.get("n_draws")
    text = f"Intervals are {level:.0%}"
    if draws:
        text += f", {draws:,} resamples of whole groups; {options.get('n_folds')} folds"
    seed = provenance.get("seed")
    return text + (f"; seed {seed}." if seed is not None else ".")
