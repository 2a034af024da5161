"""Docstrings as this project writes them, made into what Sphinx reads.

They are plain text for a terminal: `code` between single backticks, indented blocks, formulas with stars.
Here single backticks become double ones, an indented block becomes a literal one, and characters that Sphinx
would take for markup are escaped. Sections (Args, Returns, Raises) are left to napoleon.
"""

import re

_SECTION = re.compile(r"(Args|Returns|Raises|Yields|Note|Example|Examples):$")
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_MARKUP = re.compile(r"((?<!^)\*|\*(?! )|[|\\]|_(?=\W|$))", re.MULTILINE)  # a bullet stays one


def convert(lines):
    """Give the lines of a docstring as reStructuredText.

    >>> convert(["Gives `a*b`, or x*y of `coef_`."])
    ['Gives ``a*b``, or x\\\\*y of ``coef_``.']
    """
    done, prose = [], []

    def flush():
        done.extend(_escape("\n".join(prose)).split("\n") if prose else [])
        prose.clear()

    for is_code, block in _blocks(lines):
        if is_code:
            flush()
            done.extend(block)
        else:
            prose.extend(block)
    flush()
    return done


def _blocks(lines):
    """Split into (whether it is code, lines): doctests and indented blocks are code, the rest prose."""
    section = False
    i = 0
    while i < len(lines):
        line = lines[i]
        bare = line.strip()
        after_blank = i == 0 or not lines[i - 1].strip()
        indent = len(line) - len(line.lstrip())
        if _SECTION.fullmatch(bare) and not indent:
            section = True
        elif bare and not indent and after_blank:
            section = False
        if bare.startswith(">>>"):
            end = _until(lines, i, lambda other: not other.strip())
            yield True, lines[i:end]
            i = end
        elif bare and indent >= 4 and after_blank and not section and i > 0:
            end = _until(lines, i, lambda other: other.strip() and not other.startswith("    "))
            said = next((other for other in reversed(lines[:i]) if other.strip()), "").endswith("::")
            yield True, [*([] if said else ["::", ""]), *lines[i:end], ""]
            i = end
        else:
            yield False, [line]
            i += 1


def _until(lines, start, stops):
    return next((i for i in range(start, len(lines)) if stops(lines[i])), len(lines))


def _escape(text):
    parts, place = [], 0
    for match in _CODE.finditer(text):
        parts.append(_MARKUP.sub(r"\\\1", text[place : match.start()]))
        inside = " ".join(match[2].split()) if "\n" not in match[2] else match[2]
        follows = text[match.end() : match.end() + 1]
        parts.append(f"``{inside}``" + ("\\ " if re.match(r"[A-Za-z0-9]", follows) else ""))
        place = match.end()
    parts.append(_MARKUP.sub(r"\\\1", text[place:]))
    return "".join(parts)


def _process(app, what, name, obj, options, lines):
    lines[:] = convert(list(lines))


def _skip(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to every estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app):
    """Convert before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
