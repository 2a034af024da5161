"""The integrity gate on its own: is this model read correctly, and how exact is it in its number type?"""

import numpy as np

from activations.anatomy import examine
from activations.integrity import Gate, ParityReport
from activations.models import LoadedModel
from activations.sites import SITES, has_site

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: which of the two answers does the passage support? Answer: the second, for it names the day.",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4))  # 12",
    "Une phrase en français, eine auf Deutsch, 日本語の文, and numbers: 3.14159, 2718, 42.",
    "She said that the letter had come on a Tuesday. He was sure that it had been a Thursday. " * 2,
    "a",
)


def diagnose(model: LoadedModel, *, show: bool = True) -> ParityReport:
    """Run every integrity check on the user's own model, on built-in texts, and print a table.

    Args:
        model: from `load_model`.
        show: print the table to standard output.

    Returns:
        The report; `report.failed` lists the checks that did not pass.

    >>> from activations.testing import tiny_model
    >>> diagnose(tiny_model(), show=False).failed
    []
    """
    anatomy = examine(model)
    layers = tuple(range(anatomy.n_layers))
    sites = [site for site in SITES if has_site(anatomy.trunk, site)]
    ids = [np.asarray(model.tokenizer(text).input_ids, dtype=np.int32) for text in TEXTS]
    sample = [(text[:24], row) for text, row in zip(TEXTS, ids, strict=True)]
    gate = Gate(model, sites, layers, masked=anatomy.padding == "right, mask")
    report = gate.check(sample)
    if anatomy.can_share_prefixes(2 * max(map(len, ids))):
        report = report.with_checks(gate.check_sharing(sample).checks)
    if show:
        _print(model, anatomy.attention, sites, report)
    return report


def _print(model: LoadedModel, attention: str, sites: list[str], report: ParityReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{model.ref}: {model.dtype} on {model.device}, {attention} attention")
    for name in ("check", "worst difference", "limit", "where", "row", ""):
        table.add_column(name, no_wrap=name == "check")
    for check in report.checks:
        verdict = "ok" if check.passed else "FAILED"
        table.add_row(
            check.name, f"{check.difference:.2g}", f"{check.limit:.2g}", check.where, check.row, verdict
        )
    console = Console()
    console.print(table)
    console.print(f"Sites: {', '.join(sites)}. Differences are relative to each token's norm.")
    if report.floor is not None:
        console.print(f"{model.dtype} lies up to {report.floor:.2g} from float32 on these texts.")
