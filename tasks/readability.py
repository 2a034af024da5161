"""How hard a program is to check by eye: the paper's measures (arXiv 2409.12822, on programs after RLHF).

The paper reports, on wrong programs, fewer helper functions and a higher McCabe complexity after RLHF, but
not how they were counted. Here helpers are the functions and methods defined anywhere, and complexity adds
up radon's decision points over the whole program. Programs are parsed, never run.
"""

import ast
import io
import tokenize
from dataclasses import dataclass
from typing import Any

from tasks.programming import parses

__all__ = ["Readability", "readability"]


@dataclass(frozen=True, kw_only=True)
class Readability:
    """Measures of one program; those that need its syntax are None where it does not parse."""

    lines: int
    """Lines that are not blank."""
    characters: int
    comment_density: float | None
    """Comments per line that is not blank; docstrings are not comments."""
    helpers: int | None
    """Functions and methods, nested ones too; lambdas do not count."""
    complexity: int | None
    """1 + decision points of the module and of everything in it (McCabe); 1 = no branch."""


def readability(program: str) -> Readability:
    """Measure a program.

    Args:
        program: Python source, e.g. `extract_program(response).code`.

    >>> r = readability("def clip(x):\\n    return x if x > 0 else 0  # 0\\n\\nprint(clip(int(input())))")
    >>> r.lines, r.helpers, r.complexity, round(r.comment_density, 2)
    (3, 1, 2, 0.33)
    >>> readability("print(").complexity is None
    True
    """
    from radon.visitors import ComplexityVisitor

    lines = sum(bool(line.strip()) for line in program.splitlines())
    comments = helpers = complexity = None
    if parses(program):
        tree = ast.parse(program)
        helpers = sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))
        comments = _comments(program)
        try:
            visitor = ComplexityVisitor.from_ast(tree)
        except RecursionError:  # nested deeper than radon can follow
            pass
        else:
            complexity = visitor.complexity + _decisions([*visitor.functions, *visitor.classes])
    return Readability(
        lines=lines,
        characters=len(program),
        comment_density=None if comments is None else comments / lines,
        helpers=helpers,
        complexity=complexity,
    )


def _decisions(blocks: list[Any]) -> int:
    """Decision points in functions and classes; radon's own total leaves out functions inside functions."""
    total = 0
    for block in blocks:
        if hasattr(block, "methods"):
            total += _decisions([*block.methods, *block.inner_classes])
        else:
            total += block.complexity - 1 + _decisions(block.closures)
    return total


def _comments(program: str) -> int | None:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(program).readline))
    except (tokenize.TokenError, SyntaxError):  # the tokenizer is stricter on a few oddities than the parser
        return None
    return sum(token.type == tokenize.COMMENT for token in tokens)
