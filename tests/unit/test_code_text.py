"""Plain prompts that are code, and those that are not."""

import pytest

from subsecond.dialects.code_text import LONGEST, looks_like_code

CODE = [
    "def f():\n    ",
    "const bla",
    "<PRE>\tif x:\n <SUF>",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>",
    "<fim_prefix>a<fim_suffix>b<fim_middle>",
    "a = ",
    "a =",
    "total += price * ",
    "x := 5",
    "import os\nimport sys\n\n",
    "from collections import Counter\n",
    "#include <stdio.h>\nint main() {",
    "#!/bin/bash\n",
    "public static void main(String[] args) {",
    "function add(a, b) {\n  return a",
    "items.map(x => x",
    "SELECT name, age FROM users WHERE",
    "INSERT INTO users VALUES",
    "```python\nx",
    "if (x > 0",
    "for i in range(10):",
    "<?php echo",
    "class Point:",
    'print("hello"',
    "    return x +",
    "var s string;",
    "// adds two numbers\n",
]
PROSE = [
    "What is the capital of France?",
    "How do I reset my password?",
    "Translate into German: The quick brown fox",
    "Q: Why is the sky blue?\nA:",
    "Once upon a time, in a land (far away), there was a king.",
    "Summarise the following text:\n\nThe class of 1984 met for dinner. Let us see who came.",
    "- milk\n- eggs (6)\n- bread\n\nWrite a recipe.",
    "Is it true that 2 + 2 = 4?",
    "I import wine from Italy; what taxes are due?",
    "With whom should I speak about my function at work?",
    "Write a Python function that adds two numbers.",
    "Explain e.g. how https://example.com works.",
    "Let me know if you can help.",
    "The return of the king.",
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_seen(text):
    assert looks_like_code(text)
    assert looks_like_code(f"{'Words. ' * LONGEST}\n{text}")


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_none(text):
    assert not looks_like_code(text)
