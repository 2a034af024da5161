"""The program in a response is found however the fence is written, and comes out as it went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.fences import code_blocks
from tasks.programming import extract_program

BODY = "if input():\n    print('`x`', 1)\nelse:\n    print('~')"
INFOS = ["python", "Python", "py", "python3", " python", "{.python .numberLines}", 'python title="a.py"']
FENCES = ["```", "````", "~~~", "~~~~"]
BEFORE = ["", "Here it is:\n", "The code: ", "- ", "1. ", "Use `f`: "]
AFTER = ["", "\nDone.", "\n\nIt prints 1.\n```text\n1\n```\n"]


@given(
    before=st.sampled_from(BEFORE),
    fence=st.sampled_from(FENCES),
    info=st.sampled_from(INFOS),
    indent=st.sampled_from(["", "  ", "    ", "\t"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    after=st.sampled_from(AFTER),
    closed=st.booleans(),
)
def test_a_program_is_found_in_every_fence_that_models_write(
    before, fence, info, indent, ending, after, closed
):
    body = "\n".join(indent + line for line in BODY.split("\n"))
    opened = (indent if before.endswith("\n") or not before else "") + fence
    text = f"{before}{opened}{info}\n{body}\n" + (f"{indent}{fence}{after}" if closed else "")
    found = extract_program(text.replace("\n", ending))
    assert found.parse_ok
    assert found.code.replace("\r\n", "\n").strip() == BODY


def test_a_longer_fence_holds_shorter_ones():
    (block,) = code_blocks('````python\nprint("""\n```\n""")\n````\n')
    assert block.code == 'print("""\n```\n""")\n'


def test_a_fence_that_closes_at_the_end_of_a_line_of_code_is_taken_off():
    assert extract_program("```python\nprint(1)```").code == "print(1)\n"


@pytest.mark.parametrize(
    "text", ["A fence is ``` and nothing else here.", "x = ~~~3\nprint(x)", "say ```print(1)``` to it"]
)
def test_what_is_no_fence_opens_none(text):
    assert code_blocks(text) == []


@given(st.text(alphabet="`~ \r\n\tpython{}.1-", max_size=60))
def test_any_text_is_read_without_an_error(text):
    assert isinstance(extract_program(text).parse_ok, bool)


@pytest.mark.parametrize(
    "text",
    [
        "```markdown\nHere:\n```python\nprint(1)\n```\n```",
        "````\n```python\nprint(1)\n```\n````",
        "````markdown\nHere:\n\n```\nprint(1)\n```\n````\n",
        "Run:\n```bash\npip install x\n```\n```\nprint(1)\n```",
        "Output:\n```\n1\n```\nCode:\n```python\nprint(1)\n```",
        "<think>\n```python\nprint(0)\n```\n</think>\n```python\nprint(1)\n```",
    ],
)
def test_a_program_is_found_inside_and_behind_other_blocks(text):
    assert extract_program(text).code == "print(1)\n"


def test_a_fence_in_a_string_of_the_program_does_not_end_it():
    code = "s = '''\n```\n'''\nprint(s)\n"
    assert extract_program(f"```python\n{code}```\nDone.").code == code


def test_code_within_a_sentence_opens_no_block():
    assert code_blocks("Use ```print(1)``` ok") == []
