"""Tables for a paper: LaTeX with booktabs rules, every text escaped, numbers as the figures write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from study.plots.style import MINUS

__all__ = ["booktabs"]


def booktabs(
    rows: Sequence[Mapping[str, Any]],
    *,
    right: Collection[str] = (),
    environment: str | None = None,
    caption: str | None = None,
) -> str:
    r"""Set rows of plain values as a LaTeX table; the columns in `right` are numbers.

    Needs the package booktabs, and longtable where `environment` says so. No rows give an empty text.

    >>> print(booktabs([{"model": "50% & a_b", "AUROC": ".58"}], right=("AUROC",)))
    \begin{tabular}{lr}
    \toprule
    model & AUROC \\
    \midrule
    50\% \& a\_b & .58 \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    if not rows:
        return ""
    frame = pd.DataFrame(list(rows)).fillna("").astype(str)
    columns = "".join("r" if name in right else "l" for name in frame.columns)
    styled: Any = frame.style.format(escape="latex").format_index(escape="latex", axis="columns")
    text = styled.hide(axis="index").to_latex(
        hrules=True, column_format=columns, environment=environment, caption=caption
    )
    return text.replace(MINUS, "$-$").replace("|", r"\textbar{}")
