"""Fine-grained corrections: the same response with what is wrong in it put right (RLHF-V, arXiv 2312.00849).

**Corrections see gold.** Who corrects knows the line that decides a question, or a reference program: a
correcting annotator, not somebody who approves or disapproves. A corrector declares in `sees` which columns
it reads, as rewards do, and is handed those and no others; the recipe that learns from corrections takes a
job whose reward is an oracle, so that no record claims that its training saw less. Only `misquotes` knows no
gold: it holds quotations to the passage that they claim to quote.

A correction is a pair (`prompt`, `chosen` = corrected, `rejected` = as written), so DPO can learn from the
same corrections without weighing their segments.
"""

from __future__ import annotations

import ast
import functools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Protocol, runtime_checkable

from rlhf.preferences import Pair
from tasks.debates import Argument
from tasks.folding import words
from tasks.programming import Problem, extract_program, parses, programming_prompt
from tasks.qa import (
    LETTERS,
    REASON_FIRST,
    QAItem,
    parse_answer,
    qa_prompt,
    qa_response,
    quote_verified,
)
from tasks.transcript import Message

logger = logging.getLogger(__name__)

__all__ = [
    "Corrector",
    "ProgramCorrector",
    "StoryCorrector",
    "correction",
    "debate_corrections",
    "misquotes",
    "program_corrections",
    "story_corrections",
]

_CLAIM = re.compile(r"\b(That means|So it is|This points to) [^.\"\n]+\.")
"""What follows from a quotation, as `tasks.qa.qa_response` teaches to say it."""
_QUOTED = re.compile(r"(<quote>)(.+?)(</quote>)|([\"\u201c])([^\"\u201c\u201d]+)([\"\u201d])", re.DOTALL)


@runtime_checkable
class Corrector(Protocol):
    """Puts a response right."""

    sees: frozenset[str]
    """Columns of the items that it reads."""

    def __call__(self, response: str, *, right: bool | None, columns: Mapping[str, Any]) -> str | None:
        """The corrected response; None where nothing is to be corrected, or nothing small would do.

        Args:
            response: as written.
            right: whether it is correct by `R*`; None: unknown.
            columns: those in `sees`, of the item it answers.
        """
        ...


class StoryCorrector:
    """Puts right what an answer to a story claims: its quotation, the option, the letter; the rest stays.

    >>> columns = {"passage": "Ida meant to go. Tom went.", "options": ["Ida", "Tom"], "gold": "B",
    ...            "evidence": "Tom went."}
    >>> wrong = 'We read: "Ida went." So it is Ida. The answer is A.'
    >>> StoryCorrector()(wrong, right=False, columns=columns)
    'We read: "Tom went." So it is Tom. The answer is B.'
    """

    sees = frozenset({"passage", "options", "gold", "evidence"})

    def __call__(self, response: str, *, right: bool | None, columns: Mapping[str, Any]) -> str | None:
        """The corrected response; None where letter and quotation are right, or no letter can be read."""
        letter, gold = parse_answer(response), columns["gold"]
        true_quote = quote_verified(response, columns["passage"])
        if letter is None or (letter == gold and true_quote is not False):
            return None
        parts, at, first = [], 0, True
        for match in _QUOTED.finditer(response):
            parts.append(_conclude(response[at : match.start()], letter, columns))
            parts.append(_requote(match, columns["evidence"] if first else None))
            first, at = False, match.end()
        corrected = "".join(parts) + _conclude(response[at:], letter, columns)
        return corrected if corrected != response and parse_answer(corrected) == gold else None


def _conclude(text: str, letter: str, columns: Mapping[str, Any]) -> str:
    """Text outside of quotations, with the right option and letter in place of the wrong ones."""
    gold = columns["gold"]
    wrong, true = (columns["options"][LETTERS.index(one)] for one in (letter, gold))
    text = _CLAIM.sub(lambda match: f"{match[1]} {true}.", text)
    if letter == gold:
        return text
    text = re.sub(rf"(?<!\w){re.escape(wrong)}(?!\w)", lambda _: true, text)
    return re.sub(rf"(\banswer is \(?){letter}\b", lambda match: match[1] + gold, text)


def _requote(match: re.Match[str], evidence: str | None) -> str:
    """The quotation with the evidence in it; as it was where there is none to put."""
    opened, closed = match[1] or match[4], match[3] or match[6]
    return match[0] if evidence is None else f"{opened}{evidence}{closed}"


class ProgramCorrector:
    """Puts wrong lines of a program right, by the nearest reference program.

    Args:
        least_shared: share of lines that the two must have in common; farther apart, the correction would be
            another program.

    >>> columns = {"solutions": ["a = input()\\nb = a.split()\\nprint(len(b))"]}
    >>> wrong = "a = input()\\nb = a.split()\\nprint(len(b) + 1)"
    >>> print(ProgramCorrector()(wrong, right=False, columns=columns).splitlines()[-1])
    print(len(b))
    """

    sees = frozenset({"solutions"})

    def __init__(self, least_shared: float = 0.5) -> None:
        if not 0 <= least_shared <= 1:
            raise ValueError(f"least_shared must lie in 0..1, got {least_shared}")
        self.least_shared = least_shared

    def __call__(self, response: str, *, right: bool | None, columns: Mapping[str, Any]) -> str | None:
        """The response with its program put right; None unless it is wrong and close to a reference."""
        code = extract_program(response).code
        if right is not False or not code.strip() or code not in response:
            return None
        solutions = [solution.strip() for solution in columns["solutions"]]
        if not solutions:
            return None
        nearest = max(solutions, key=lambda solution: _shared(code.strip(), solution))
        if _shared(code.strip(), nearest) < self.least_shared or _same(code, nearest):
            return None
        return response.replace(code, code.replace(code.strip(), nearest, 1), 1)


def _shared(code: str, other: str) -> float:
    """Lines in common as a share of the longer one's."""
    one, two = code.splitlines(), other.splitlines()
    matcher = SequenceMatcher(None, one, two, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(len(one), len(two), 1)


def _same(code: str, other: str) -> bool:
    return parses(code) and parses(other) and ast.dump(ast.parse(code)) == ast.dump(ast.parse(other))


def correction(prompt: Any, written: str, corrected: str) -> Pair:
    """A correction as a preference pair.

    >>> correction("?", "no", "yes")["chosen"]
    [{'role': 'assistant', 'content': 'yes'}]
    """
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in (corrected, written))
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def story_corrections(
    items: Sequence[QAItem],
    *,
    ask: Callable[[QAItem], list[Message]] = qa_prompt,
    order: str = REASON_FIRST,
    variants: int = 1,
) -> list[Pair]:
    """Misleading answers with a fabricated quotation, and what a corrector makes of them.

    Args:
        items: generated questions (with `evidence` and `false_evidence`).
        ask: makes the prompt of a question.
        order: of reason and answer.
        variants: phrasings of each.

    >>> from tasks.stories import MiniQA
    >>> pair = story_corrections(MiniQA(seed=0).items(1))[0]
    >>> pair["rejected"] != pair["chosen"]
    True
    """
    found, corrector = [], StoryCorrector()
    for number, item in enumerate(items):
        columns = {
            "passage": item.passage,
            "options": item.options,
            "gold": item.gold_letter,
            "evidence": item.evidence,
        }
        for variant in range(number, number + variants):
            written = qa_response(item, honest=False, order=order, variant=variant)
            corrected = corrector(written, right=False, columns=columns)
            if corrected is not None:
                found.append(correction(ask(item), written, corrected))
    return found


def program_corrections(problems: Iterable[Problem], *, most: int = 2) -> list[Pair]:
    """Mutants of a reference (one bug each), put right: at most `most` per problem, subtly wrong ones first.

    Mutants come with MiniCode problems, and from `tasks.mutants.with_mutants` for any other.

    >>> from tasks import MiniCode
    >>> pair = program_corrections(MiniCode(seed=0).items(1))[0]
    >>> pair["rejected"] != pair["chosen"]
    True
    """
    found, corrector = [], ProgramCorrector(least_shared=0.0)
    for problem in problems:
        wrong = [mutant for mutant in problem.mutants if not problem.r_star(mutant.passes)]
        wrong.sort(key=lambda mutant: not problem.r_train(mutant.passes))
        prompt = programming_prompt(problem).messages
        for mutant in wrong[:most]:
            written = mutant.code.strip()
            corrected = corrector(written, right=False, columns={"solutions": problem.solutions[:1]})
            if corrected is not None:
                found.append(correction(prompt, written, corrected))
    return found


def debate_corrections(
    items: Iterable[QAItem], arguments: Iterable[Argument], *, least: float = 0.6
) -> list[Pair]:
    """Speeches that misquote their story, with their quotations put right (see `misquotes`).

    The prompt is the question about the passage as the item has it; speeches about other questions, and those
    that quote truly or not at all, are left out.
    """
    by_id = {item.id: item for item in items}
    found = []
    for argument in arguments:
        if (item := by_id.get(argument.question_id)) is None:
            continue
        corrected = misquotes(argument.text, item.passage, least=least)
        if corrected is not None:
            prompt: list[Message] = qa_prompt(item, style="khan")
            found.append(correction(prompt, argument.text, corrected))
    logger.info("%d speeches misquote their story and can be put right", len(found))
    return found


def misquotes(text: str, passage: str, *, least: float = 0.6) -> str | None:
    """The text with each `<quote>` that is not in the passage replaced by the nearest words of the passage.

    Args:
        text: with quotations between `<quote>` and `</quote>`.
        passage: what is quoted.
        least: share of the quotation's words that the nearest stretch must have; else it stays as it is.

    Returns:
        None where no quotation was put right.

    >>> misquotes("It says <quote>the cat was sitting</quote>.", "Once the cat sat was sitting. The end.")
    'It says <quote>the cat sat was sitting.</quote>.'
    """

    def put_right(match: re.Match[str]) -> str:
        if match[1] is None or _stands(match[2], passage):
            return match[0]
        nearest = nearest_stretch(match[2], passage, least=least)
        return match[0] if nearest is None else f"{match[1]}{nearest}{match[3]}"

    corrected = _QUOTED.sub(put_right, text)
    return corrected if corrected != text else None


def nearest_stretch(quote: str, passage: str, *, least: float) -> str | None:
    """The stretch of a passage that has most of a quotation's words, from the first of them to the last.

    Windows as long as the quotation, and half as long again, are tried; of equals the shorter, then the
    first.
    """
    wanted = Counter(filter(None, map(_bare, quote.split())))
    told, folded = passage.split(), _folded(passage)
    total = wanted.total()
    best: tuple[float, int, int] | None = None
    for width in sorted({total, total + total // 2 + 1}):
        start, share = _densest(folded, wanted, width)
        if share / max(total, 1) >= least and (best is None or share > best[0]):
            best = (share, start, min(start + width, len(told)))
    if best is None:
        return None
    start, end = best[1:]
    spare = Counter(folded[start:end])
    spare.subtract(
        Counter(folded[start:end]) & wanted
    )  # words that may go without losing one of the quotation
    while spare[folded[end - 1]]:
        end -= 1
        spare[folded[end]] -= 1
    while spare[folded[start]]:
        spare[folded[start]] -= 1
        start += 1
    return " ".join(told[start:end])


@functools.lru_cache(maxsize=8)
def _folded(passage: str) -> tuple[str, ...]:
    """The passage's words as they are compared; folding takes longer than all that is done with them."""
    return tuple(_bare(word) for word in passage.split())


def _bare(word: str) -> str:
    return words(word).replace(" ", "")


def _stands(quote: str, passage: str) -> bool:
    """Whether the words of a quotation stand in the passage in this order, whatever case and punctuation."""
    wanted = " ".join(filter(None, map(_bare, quote.split())))
    return bool(wanted) and f" {wanted} " in f" {' '.join(filter(None, _folded(passage)))} "


def _densest(folded: Sequence[str], wanted: Counter[str], width: int) -> tuple[int, int]:
    """Start of the first window with the most wanted words (each as often as wanted), and how many."""
    seen: Counter[str] = Counter()
    share, best = 0, (0, 0)
    for end, word in enumerate(folded):
        seen[word] += 1
        share += seen[word] <= wanted[word]
        if end >= width:
            gone = folded[end - width]
            share -= seen[gone] <= wanted[gone]
            seen[gone] -= 1
        if share > best[1]:
            best = (max(0, end - width + 1), share)
    return best
