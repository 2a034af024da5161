"""Rows that are on both sides of a split: the same activations, the same statement read again, near copies.

Equal rows of source and target hand the probe the target's labels and are refused. Near copies (the same
words but for case, punctuation, and one or two of them) make held-out rows less new than they look: they are
counted and an example is named. Rows of one group are never compared, for no split parts them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from probes.evaluation.domain import Domain

__all__ = ["extracted_again", "near_copies", "row_hashes", "statements_of"]

NEAR = 0.05  # of a row's distance from the mean; number types and batches move activations by less
FEW, LONG = 5, 20  # words: fewer must be equal, from LONG on two may differ, else one
_BLOCK = 512  # rows compared at once


def row_hashes(domain: Domain, index: int) -> list[bytes]:
    """Return a hash of each row's activations at the layer at `index`: equal only for equal activations.

    >>> from probes import Domain
    >>> hashes = row_hashes(Domain("a", [[1.0], [2.0], [1.0]], [0, 1, 0], list("abc")), 0)
    >>> hashes[0] == hashes[2], hashes[0] == hashes[1]
    (True, False)
    """
    rows = np.ascontiguousarray(domain.layer(index).astype(np.float32))
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def statements_of(domain: Domain) -> list[str] | None:
    """What a domain knows of each row's text: its statements, its texts, or the tokens its store kept."""
    for known in (domain.statements, domain.texts):
        if known is not None:
            return [str(text) for text in known]
    return _kept_tokens(domain)


def extracted_again(source: Domain, other: Domain, middle: int) -> int:
    """Count rows of `other` with the text or tokens of a source row of another group, and near it.

    Text alone is no proof: many questions are answered `B`. Of one statement read twice by one model the
    activations are equal up to number type and batch.
    """
    ours, theirs = _both(source, other)
    if ours is None or theirs is None or not set(ours) & set(theirs):
        return 0
    X, Z = source.layer(middle), other.layer(middle)
    size = np.linalg.norm(X - X.mean(0), axis=1)
    rows_of, found = _places(ours), 0
    for statement, there in _places(theirs).items():
        here = np.array(rows_of.get(statement, ()), dtype=int)
        for at in range(0, len(there) if len(here) else 0, _BLOCK):
            rows = np.array(there[at : at + _BLOCK])
            # one product instead of all differences; what it loses to rounding is far below NEAR
            squared = (X[here] ** 2).sum(1) + (Z[rows] ** 2).sum(1)[:, None] - 2 * Z[rows] @ X[here].T
            near = squared <= (NEAR * size[here]) ** 2 + 1e-12 * (X[here] ** 2).sum(1)
            found += int((near & (source.groups[here] != other.groups[rows][:, None])).any(1).sum())
    return found


def near_copies(first: Domain, second: Domain) -> tuple[int, tuple[int, int] | None]:
    """Count rows of `second` that read like a row of `first` of another group; give one such pair of rows.

    Alike: the same words whatever case, punctuation and spaces, or one word exchanged, left out or put in
    (two from 20 words on). Texts that more than two rows in several groups share identify nothing ("The
    answer is B.") and are not compared.

    >>> from probes import Domain
    >>> texts = ["The city of Paris is in France.", "the city of paris is in FRANCE", "Cats sleep a lot."]
    >>> domain = Domain("a", np.eye(3), [0, 1, 0], list("abc"), texts=texts)
    >>> near_copies(domain, domain)
    (2, (1, 0))
    """
    known = _both(first, second)
    if known[0] is None or known[1] is None:
        return 0, None
    ours, left = _distinctive([_words(text) for text in known[0]], first.groups)
    theirs, right = (
        (ours, left) if second is first else _distinctive(list(map(_words, known[1])), second.groups)
    )
    alike = _pairs_alike(ours, theirs)
    kept = first.groups[left[alike[:, 0]]] != second.groups[right[alike[:, 1]]]
    pairs = alike[kept]
    if not len(pairs):
        return 0, None
    rows = sorted(zip(right[pairs[:, 1]].tolist(), left[pairs[:, 0]].tolist(), strict=True))
    return len({there for there, _ in rows}), (rows[0][1], rows[0][0])


def _both(first: Domain, second: Domain) -> tuple[list[str] | None, list[str] | None]:
    """The same kind of text of two domains."""
    for name in ("statements", "texts"):
        known = [getattr(domain, name) for domain in (first, second)]
        if None not in (known[0], known[1]):
            return [str(text) for text in known[0]], [str(text) for text in known[1]]
    return _kept_tokens(first), _kept_tokens(second)


def _kept_tokens(domain: Domain) -> list[str] | None:
    """The token ids that a store kept of each row, as text; None for arrays."""
    if not hasattr(domain.X, "tokens_of"):
        return None
    return [" ".join(map(str, domain.X.tokens_of(row)[0])) for row in range(len(domain))]


def _places(values: Sequence[Any]) -> dict[Any, list[int]]:
    places: defaultdict[Any, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        places[value].append(place)
    return places


def _words(text: str) -> tuple[str, ...]:
    """The folded words of a text, sorted; a word that comes again is numbered, so that a set counts it."""
    counts: dict[str, int] = {}
    found = []
    for word in re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()):
        before = counts.get(word, 0)
        counts[word] = before + 1
        found.append(f"{word} {before}" if before else word)
    return tuple(sorted(found))


def _distinctive(
    texts: list[tuple[str, ...]], groups: np.ndarray
) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Texts that at most two rows or one group have, and their rows."""
    rows = [
        row
        for text, places in _places(texts).items()
        if text and (len(places) <= 2 or len(set(groups[places])) == 1)
        for row in places
    ]
    rows.sort()
    return [texts[row] for row in rows], np.array(rows, dtype=int)


def _pairs_alike(ours: list[Any], theirs: list[Any]) -> np.ndarray:
    """Pairs (row of ours, row of theirs) of texts that differ in as many words as may differ.

    Two texts of n words that differ in k must share all but k of the k + 3 rarest words of either, which few
    pairs do (the prefix filter of set-similarity joins, Chaudhuri et al. 2006); only these are compared.
    """
    from scipy import sparse

    counts = Counter(word for text in (*ours, *theirs) for word in text)
    number = {word: i for i, word in enumerate(sorted(counts, key=lambda word: (counts[word], word)))}

    def matrix(texts: list[list[int]]) -> Any:
        bounds = np.cumsum([0, *map(len, texts)])
        words = np.fromiter((word for text in texts for word in text), dtype=np.int32, count=bounds[-1])
        shape = (len(texts), max(len(number), 1))
        return sparse.csr_matrix((np.ones(len(words), dtype=np.int32), words, bounds), shape=shape)

    def allowed(sizes: np.ndarray) -> np.ndarray:
        return np.where(sizes < FEW, 0, np.where(sizes < LONG, 1, 2))

    ranked = [[sorted(number[word] for word in text) for text in texts] for texts in (ours, theirs)]
    sizes = [np.array([len(text) for text in texts], dtype=int) for texts in ranked]
    whole = [matrix(texts) for texts in ranked]
    rare = [
        matrix([text[: int(k) + 3] for text, k in zip(texts, allowed(size), strict=True)])
        for texts, size in zip(ranked, sizes, strict=True)
    ]
    found = [np.empty((0, 2), dtype=int)]
    for at in range(0, len(ours), _BLOCK):
        shared = (rare[0][at : at + _BLOCK] @ rare[1].T).tocoo()
        i, j = shared.row + at, shared.col
        longer = np.maximum(sizes[0][i], sizes[1][j])
        k = allowed(longer)
        close = (abs(sizes[0][i] - sizes[1][j]) <= k) & (shared.data >= np.minimum(3, longer - k))
        i, j, k, longer = i[close], j[close], k[close], longer[close]
        overlap = np.asarray(whole[0][i].multiply(whole[1][j]).sum(1)).ravel()
        found.append(np.stack([i, j], axis=1)[overlap >= longer - k])
    return np.concatenate(found)
