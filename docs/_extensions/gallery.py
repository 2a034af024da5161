"""The gallery: every figure of the library, drawn from saved JSON when the site is built.

A picture is drawn again only when its data or the code of the figures changed. Data of the shipped study
lie in docs/results; where none are saved, a result of made-up numbers shows the form and says so.
"""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
DRAWN = HERE / "_drawn"
TRANSFER = HERE / "results" / "transfer-mini.json"
MADE_UP = ROOT / "tests" / "study" / "fixtures" / "transfer_result.json"
MATRIX = HERE / "results" / "matrix-mini.json"
RECIPES = HERE / "results" / "recipes" / "cells.json"
MEASURES = HERE / "results" / "rlhf"
BACKDOORED = ("qa-backdoored", "qa-decoy", "qa-clean")

ABOUT_RLHF = {
    "approval": "Right and approved, judged wrongly, wrong and approved, by model, with 95 % intervals over "
    "items. Hollow marks: on the items that the model and its parent both answer wrongly.",
    "arrows": "Every model's step from the one it was made of: approval across, correctness up.",
    "over-optimisation": "What is rewarded against what is right along each run, over the root of the KL "
    "from the start. Large marks: greedy answers to held-out items, by readers with no part in the reward.",
    "confidence": "How sure readers are of right and of wrong answers, before and after.",
    "evaluators": "Every evaluator before and after training, one line each.",
    "knowledge": "Does the model know better? Asked again, out of role, about what it answered wrongly.",
}
CODE = {
    "transfer": "from study.figures import {call}\n{call}(result)",
    "rlhf": "from study.rlhf_figures import draw_report\ndraw_report(folder)",
    "verification": "from study.figures import verification_figure\nverification_figure(verifications)",
    "matrix": "from study.matrix_figures import draw_matrix\ndraw_matrix(result, {{}})[{name!r}]",
    "recipes": "from study.plots.recipes import recipes_figure\nrecipes_figure(cells)",
    "training": "from study.plots.training import training_figure\ntraining_figure(curve)",
}


@dataclass(frozen=True)
class Shown:
    """One figure of the gallery."""

    name: str
    title: str
    caption: str
    data: str
    code: str
    figure: object

    @property
    def width(self):
        """Pixels on a screen, where 8 pt type is enlarged; a narrow figure stays narrow."""
        return round(1.45 * self.figure.layout.width)


def shown_figures():
    """Draw every figure as a plotly object, from the saved files."""
    from organisms.record import read_organism
    from probes import TransferResult
    from study.captions import SHOWS
    from study.figures import Style, draw_all
    from study.rlhf_figures import draw_rlhf, read_knowledge, read_measures

    path = TRANSFER if TRANSFER.is_file() else MADE_UP
    real = path == TRANSFER
    result = TransferResult.from_json(path.read_text(encoding="utf-8"))
    data = str(path.relative_to(ROOT)) if real else "made-up numbers: the form, not a finding"
    drawn, kept = draw_all(result, Style()), {}
    for name, figure in drawn.items():
        kept.setdefault(name.partition("-")[0], figure)  # of several targets the first
    figures = []
    for name, figure in kept.items():
        call = name if name == "figure8" else f"{name}_figure"
        code = CODE["transfer"].format(call=call)
        figures.append(Shown(name, _title(name), SHOWS[name], data, code, figure))
    figures += _studies()
    records = {name: read_organism(ROOT / "organisms" / "shipped" / name) for name in BACKDOORED}
    from study.figures import verification_figure

    verified = {name: record.verification for name, record in records.items()}
    about = (SHOWS["verification"], "organisms/shipped/*/organism.yaml", CODE["verification"])
    figures.append(Shown("verification", "Verification", *about, verification_figure(verified, Style())))
    measured = draw_rlhf(read_measures(MEASURES), Style(), read_knowledge(MEASURES))
    for name, figure in measured.items():
        words = (ABOUT_RLHF[name], "docs/results/rlhf/*.json", CODE["rlhf"])
        figures.append(Shown(f"rlhf-{name}", _title(name), *words, figure))
    return figures


def _studies():
    """Figures of the transfer matrix and of the study of recipes, where their results are saved."""
    from study.captions import SHOWS
    from study.matrix import MatrixResult
    from study.matrix_figures import draw_matrix
    from study.plots.recipes import recipes_figure
    from study.plots.style import Style
    from study.recipe_cells import RecipeCells

    found = []
    if MATRIX.is_file():
        result = MatrixResult.from_json(MATRIX.read_text(encoding="utf-8"))
        for name, figure in draw_matrix(result, {}, Style()).items():
            if name in SHOWS:
                about = (SHOWS[name], str(MATRIX.relative_to(ROOT)), CODE["matrix"].format(name=name))
                found.append(Shown(name, _title(name), *about, figure))
    if RECIPES.is_file():
        about = (SHOWS["recipes"], str(RECIPES.relative_to(ROOT)), CODE["recipes"])
        found.append(Shown("recipes", "Recipes", *about, recipes_figure(RecipeCells.read(RECIPES), Style())))
    return found


def _title(name):
    titles = {
        "figure8": "Figure 8",
        "roc": "ROC curves",
        "nulls": "Nulls",
        "gap": "The gap, step by step",
        "forest": "Forest",
    }
    return titles.get(name, name.replace("-", " ").capitalize())


def draw(app=None):
    """Write picture, interactive page and `gallery.json`, unless nothing changed."""
    from study.plots.export import save_figures

    key = _key()
    stamp = DRAWN / "key"
    if stamp.is_file() and stamp.read_text() == key:
        return
    for chatty in ("kaleido", "choreographer"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    shutil.rmtree(DRAWN, ignore_errors=True)
    figures = shown_figures()
    folder = DRAWN / "interactive" / "figures"
    message = save_figures({one.name: one.figure for one in figures}, folder, formats=("svg",))
    if message is not None:
        raise RuntimeError(f"The gallery shows pictures. {message}")
    for picture in folder.glob("*.svg"):
        picture.rename(DRAWN / picture.name)
    listed = [{k: v for k, v in vars(one).items() if k != "figure"} | {"width": one.width} for one in figures]
    (DRAWN / "gallery.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    stamp.write_text(key)


def _key():
    paths = [*(ROOT / "study").rglob("*.py"), *MEASURES.glob("*.json"), TRANSFER, MADE_UP, MATRIX, RECIPES]
    paths += [Path(__file__)]
    paths += [ROOT / "organisms" / "shipped" / name / "organism.yaml" for name in BACKDOORED]
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def page(listed):
    """The gallery as Markdown: a grid of thumbnails, then every figure large."""
    cards = [
        f":::{{grid-item-card}} {one['title']}\n:link: {one['name']}\n:link-type: ref\n"
        f":img-bottom: _drawn/{one['name']}.svg\n:class-card: thumbnail\n:::\n"
        for one in listed
    ]
    large = [
        f"({one['name']})=\n\n## {one['title']}\n\n"
        f"```{{image}} _drawn/{one['name']}.svg\n:alt: {one['title']}\n"
        f":class: figure\n:width: {one['width']}px\n```\n\n"
        f"{one['caption']}\n\nDrawn from: {one['data']}. "
        f'<a href="figures/{one["name"]}.html">Interactive</a>.\n\n'
        f"```python\n{one['code']}\n```\n"
        for one in listed
    ]
    return "::::{grid} 2 2 3 3\n:gutter: 2\n\n" + "\n".join(cards) + "\n::::\n\n" + "\n".join(large)


def _read(app, name, source):
    if name == "gallery":
        listed = json.loads((DRAWN / "gallery.json").read_text(encoding="utf-8"))
        source[0] = source[0].replace("<!-- figures -->", page(listed))


def setup(app):
    """Draw before pages are read; fill the page when it is."""
    (DRAWN / "interactive").mkdir(parents=True, exist_ok=True)
    app.connect("builder-inited", draw)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
