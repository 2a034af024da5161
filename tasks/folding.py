"""Text compared as a reader compares it: whatever its typography, in any script."""

# ruff: noqa: RUF001 (typographic signs are what this is about)

import re
import unicodedata

__all__ = ["SIGNS", "fold", "words"]

SIGNS = str.maketrans(
    {sign: plain for signs, plain in (("‘’‚‛′`´", "'"), ("“”„‟″«»", '"'), ("‐‑‒–—―−", "-")) for sign in signs}
)
"""Quotation marks and dashes as a typewriter has them."""
# Scripts that put no spaces between words: each of their letters counts as one.
_NO_SPACES = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff])"
)


def fold(text: str) -> str:
    """The text in one form: Unicode NFKC, plain quotation marks and dashes, no case, single spaces.

    >>> fold("\u201cIt\u2019s  \ufb01ne\u201d \u2014 she said") == fold('"It\\'s fine" - She said')
    True
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(SIGNS)
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


def words(text: str) -> str:
    """The words of a text, folded, with single spaces between them; punctuation and symbols are left out.

    >>> words("Das \u201eGro\u00dfe\u201c Haus!"), words("\u6211\u4eec\u53bb\u4e86\u3002")
    ('das grosse haus', '\u6211 \u4eec \u53bb \u4e86')
    """
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in fold(text))
    return " ".join(_NO_SPACES.sub(r" \1 ", "".join(kept)).split())
