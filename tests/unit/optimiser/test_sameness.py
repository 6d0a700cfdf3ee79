"""What the lossless level leaves is the same: code, JSON, XML and tables parse alike, prose differs in blanks alone."""

import ast
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from subsecond.optimiser.lossless import without_idle_blanks

DATA = Path(__file__).parents[2] / "data" / "prompts"
FENCES = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)

CODE = (
    'def f(x):\n    """Doc.   \n\n\n    More.  """\n\n\n\n    return {"a":  x}   \n\n\n\n'
    "class C:\n    s = '''  \n\n\n'''\n"
)
DATA_BLOCK = '{\n  "a": "two  blanks   ",   \n\n\n  "b": [1,\n\n\n 2, {"c": "x\\n\\n\\ny   "}]\n}'
ELEMENT = '<rules id="1">   \n\n\n  <rule>Be  brief.   \n\n\n</rule>   \n</rules>'
TABLE = "| a   | b |   \n| --- | - |\n| 1   | two  words |   "


def real_texts():
    for path in sorted(DATA.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for message in json.loads(line)["body"]["messages"]:
                if isinstance(message["content"], str):
                    yield message["content"]


def messy(text):
    """The same text as people paste it: blanks at the ends of lines, several empty lines where one was."""
    return text.replace("\n\n", "  \n\n\n\n").replace(".\n", ".  \n")


def cells(text):
    return [[cell.strip() for cell in line.strip(" |").split("|")] for line in text.split("\n") if line.startswith("|")]


@pytest.mark.parametrize("before", ["", "Some prose.   \n\n\n\n", "# Title   \n\n\n"])
@pytest.mark.parametrize("after", ["", "\n\n\n\nMore prose.   \n\n\n"])
def test_blocks_parse_to_the_same(before, after):
    fenced = f"```python\n{CODE}```"
    for block in (fenced, DATA_BLOCK, ELEMENT, TABLE):
        assert block in without_idle_blanks(before + block + after)
    found = FENCES.search(without_idle_blanks(before + fenced + after))
    assert ast.dump(ast.parse(found[2])) == ast.dump(ast.parse(CODE))
    tidy = without_idle_blanks(before + DATA_BLOCK + after)
    assert json.loads(tidy[tidy.index("{") : tidy.rindex("}") + 1]) == json.loads(DATA_BLOCK)
    tidy = without_idle_blanks(before + ELEMENT + after)
    element = tidy[tidy.index("<") : tidy.rindex(">") + 1]
    assert ET.canonicalize(element) == ET.canonicalize(ELEMENT)
    assert cells(without_idle_blanks(before + TABLE + after)) == cells(TABLE)


def test_prose_between_blocks_is_tidied():
    text = f"One.   \n\n\n\nTwo.  \n\n{TABLE}\n\nThree.\t\n\n\n\nFour."
    assert without_idle_blanks(text) == f"One.\n\nTwo.\n\n{TABLE}\n\nThree.\n\nFour."


@pytest.mark.parametrize(
    "text", ["One.\n\n\n\n    code", "    code\n\n\n\nOne.", "One.\n\n\n| a |", "{\n}\n\n\n\nOne."]
)
def test_empty_lines_beside_a_block_stay(text):
    assert without_idle_blanks(text) == text


def test_line_ends_of_windows_stay():
    assert without_idle_blanks("One.  \r\n\r\n\r\n\r\nTwo.") == "One.\r\n\r\nTwo."


def test_real_prompts_keep_every_block_and_every_word():
    texts = list(real_texts())
    assert len(texts) > 100
    for text in texts:
        for version in (text, messy(text)):
            tidy = without_idle_blanks(version)
            assert tidy.split() == version.split()
            assert FENCES.findall(tidy) == FENCES.findall(version)
            assert cells(tidy) == cells(version)
            assert re.findall(r"`[^`]*`", tidy) == re.findall(r"`[^`]*`", version)


@pytest.mark.parametrize(
    "text",
    [
        "    indented   \n\n\n\n    code   ",
        "> quoted   \nlazily   ",
        'He said "first   \n\n\n\nthen   " and left.',
        "key:   \nother: value   ",
        "~~~\nnever closed   \n\n\n\nend   ",
        "<open>\nnever closed   \n\n\n\nend   ",
        "Example 1:   \nInput: a   \n\n\n\nOutput: b   ",
        "name    value   \n\n\n\nother    2   ",
        "function() {   \n\n\n\n}   ",
    ],
)
def test_what_is_protected_stays_with_its_blanks(text):
    assert without_idle_blanks(text) == text
