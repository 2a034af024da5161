"""Fenced code in Markdown as models write it, which is often not as CommonMark has it.

A fence is three or more backticks or tildes; words may stand before it ("The code: ```python"), an info
string with attributes after it, and lines may end with CRLF. A fence closes at the first line that begins
with as many of its signs (one that opens Python begins a block of its own); else at the first line that ends
with them; else (a clipped response) at the end.
"""

import re
from dataclasses import dataclass

__all__ = ["CodeBlock", "code_blocks"]

_OPEN = re.compile(r"(?P<before>.*?)(?P<fence>`{3,}|~{3,})(?P<info>[^`\r\n]*)")
_INFO_BEHIND_PROSE = re.compile(r"[\w+#.-]*(\s*\{[^}]*\}|(\s+[\w.-]+=(\"[^\"]*\"|\S+))*)\s*")
_PYTHON = re.compile(r"\s*\{?\s*\.?(i?python|py)[\d.]*(?![\w-])", re.IGNORECASE)
_LIST_MARK = re.compile(r"\s*([-*+>]\s*|\d+[.)]\s+)*")


@dataclass(frozen=True, kw_only=True)
class CodeBlock:
    """One fenced block."""

    info: str
    """What stands behind the opening fence: the language, and perhaps attributes."""
    code: str
    """The lines between the fences, unchanged."""

    @property
    def is_python(self) -> bool:
        """The info string names Python.

        >>> [CodeBlock(info=i, code="").is_python for i in ("python3 title=a", "{.python}", "pycon", "")]
        [True, True, False, False]
        """
        return _PYTHON.match(self.info) is not None


def code_blocks(text: str, *, longest: bool = False) -> list[CodeBlock]:
    r"""The fenced blocks of a text, in order.

    Args:
        text: Markdown.
        longest: let a fence close at the last line that can close it, for code with fences in its strings.

    >>> code_blocks("The code: ~~~python\r\nprint(1)\r\n~~~\r\nDone.")
    [CodeBlock(info='python', code='print(1)\r\n')]
    """
    lines = text.splitlines(keepends=True)
    blocks, at = [], 0
    while at < len(lines):
        opened = _opening(lines[at])
        at += 1
        if opened is None:
            continue
        fence, info = opened
        end, last, closed = _closing(lines, at, fence, longest)
        blocks.append(CodeBlock(info=info, code="".join(lines[at:end]) + last))
        at = end + closed
    return blocks


def _opening(line: str) -> tuple[str, str] | None:
    """The fence that a line opens, and its info string."""
    match = _OPEN.fullmatch(line.rstrip("\r\n"))
    if match is None:
        return None
    before, fence, info = match["before"], match["fence"], match["info"].strip()
    if fence in before:  # code within a sentence, ```like this```
        return None
    if not _LIST_MARK.fullmatch(before):  # in a sentence: only what can be nothing but a fence
        if not _INFO_BEHIND_PROSE.fullmatch(info):
            return None
        if fence[0] == "~" and not _PYTHON.match(info):
            return None
    return fence, info


def _closing(lines: list[str], start: int, fence: str, longest: bool) -> tuple[int, str, bool]:
    """The line that closes a fence, the code on it before the fence, and whether the line is used up."""
    closes = [i for i in range(start, len(lines)) if lines[i].lstrip().startswith(fence)]
    if closes and longest:
        return closes[-1], "", True
    if closes:
        info = lines[closes[0]].strip().lstrip(fence[0])
        return closes[0], "", not _PYTHON.match(info)
    for i in range(start, len(lines)):
        if (line := lines[i].rstrip()).endswith(fence):
            return i, line.rstrip(fence[0]) + "\n", True
    return len(lines), "", True
