# ruff: noqa: RUF001 -- the marks of other scripts, on purpose
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.streaming.sentences import LIMIT, Sentences

# What the rules are about, so that random texts meet them.
BITS = st.sampled_from(
    [
        *'aZ3 .!?…。！」)"`*_#>|-~\n\t\r',
        "\n\n",
        "```",
        "```py\n",
        "\n```\n",
        "~~~\n",
        "1. ",
        "- ",
        "...",
        "Dr. ",
        "U.S. ",
        "3.14",
        "x.py",
    ]
)
TEXTS = st.lists(st.one_of(BITS, st.text(max_size=5)), max_size=60).map("".join)


def split(text: str, *, size: int | None = None, limit: int = LIMIT) -> list[str]:
    sentences, found = Sentences(limit), []
    for at in range(0, len(text), size or max(1, len(text))):
        found += sentences.feed(text[at : at + (size or len(text))])
    rest = sentences.finish()
    return found if rest is None else [*found, rest]


@given(TEXTS, st.integers(1, 40))
def test_what_comes_out_joined_is_what_went_in(text, limit):
    assert "".join(split(text)) == text
    assert "".join(split(text, limit=limit)) == text


@given(TEXTS, st.integers(1, 7), st.integers(1, 40))
def test_how_the_text_was_cut_into_pieces_makes_no_difference(text, size, limit):
    assert split(text, size=size) == split(text)
    assert split(text, size=size, limit=limit) == split(text, limit=limit)


@given(TEXTS, st.integers(1, 40), st.integers(1, 7))
def test_no_more_is_held_back_than_the_limit_and_no_sentence_is_longer_than_it_by_more_than_one(text, limit, size):
    sentences = Sentences(limit)
    for at in range(0, len(text), size):
        for sentence in sentences.feed(text[at : at + size]):
            assert 0 < len(sentence) <= limit + 1
        assert len(sentences._text) <= limit


@pytest.mark.parametrize(
    "sentences",
    [
        ["Hello. ", "How are you? ", "I am fine."],
        ["Really?! ", "Yes!!! ", "Good."],
        ["It is 3.14. ", "Not 3.15! ", "The end."],
        ["See example.com. ", "Or www.example.com/?q=a.b now. ", "And main.py too."],
        ["Dr. Smith met Mrs. Jones, e.g. at 5 p.m. in the U.S. Army, etc. and so on. ", "They left."],
        ["J. R. R. Tolkien wrote it. ", "So did C. S. Lewis."],
        ["See Fig. 3 and No. 5 of Oct. 12. ", "I said no. ", "You said yes."],
        ["He lives in the U.K. and works for Acme Inc. in London. ", "She does not."],
        ["Well... I see. ", "Hmm… Yes. ", "Then . . . no."],
        ['"No." he said. ', "“Go!” ", "(So it is.) ", "**Bold.** ", "Then."],
        ["In 2020. ", "It began then. ", "3. Third. ", "The steps are: 1. Mix. ", "2. Stir."],
        ["Is it? ", "Yahoo! is a firm."],
        ["Das ist z. B. gut. ", "„Hallo.“ ", "Dann bis 5. ", "Gut."],
        ["¿Qué tal? ", "¡Bien! ", "Il dit : « Oui. » Puis rien."],
        ["यह अच्छा है। ", "हाँ।"],
    ],
)
def test_prose_ends_where_a_reader_would_end_it(sentences):
    assert split("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["你好。", "世界！", "真的吗？！", "是。"],
        ["他说：“好。”", "然后走了。", "“再见！”"],
        ["「はい。」", "と言った。", "（終わり。）", "次。"],
        ["我走了…… 再见。 ", "好。"],
    ],
)
def test_cjk_needs_no_blank_between_sentences(sentences):
    assert split("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "units",
    [
        ["First paragraph without a full stop\n\n", "Second\n \n", "Third"],
        ["A line\nthat is wrapped softly. ", "And another."],
        ["# Heading\n", "Text:\n", "- one\n", "- two\n  - nested\n"[:6], "  - nested\n\n", "After."],
        ["Steps:\n", "1. Mix it. ", "Stir.\n", "2) Bake.\n", "a. Eat."],
        ["> quoted\n", "> again\n", "| a. B | c |\n", "|---|---|\n", "Text."],
        ["One\n", "---\n", "Two"],
        ["\n\n  Blanks in front belong to the first. ", "End.\r\n\r\n", "Next.\n"],
    ],
)
def test_paragraphs_and_markdown_lines_are_units(units):
    assert split("".join(units)) == units


@pytest.mark.parametrize(
    "units",
    [
        ["Look:\n", "```python\nx = 1. \n\n\ny. Z()\n```\n", "After. ", "End."],
        ["```\n~~~\n``\n````\n", "After."],
        ["~~~\nA. B\n```\n~~~\n\n", "After."],
        ["1. Do:\n", "   ```sh\n   ls. Foo\n   ```\n", "2. End."],
        ["- ```\n  A. B\n  ```\n", "End."],
        ["```unclosed\nA. B\n\nC. D"],
    ],
)
def test_a_fence_is_one_unit(units):
    assert split("".join(units)) == units


@pytest.mark.parametrize(
    "sentences",
    [
        ["Call `a. B()` now. ", "Then."],
        ["Call ``a ` b. C`` now. ", "Then."],
        ["```a. B``` is inline. ", "Then."],
        ["A lone ` is only a mark. Here. It protects the line\nand no more. ", "So it is."],
    ],
)
def test_inline_code_is_never_cut(sentences):
    assert split("".join(sentences)) == sentences


def test_several_ends_in_one_piece_and_one_over_many():
    sentences = Sentences()

    assert sentences.feed("Hello. How") == ["Hello. "]
    assert sentences.feed(" are you? I") == ["How are you? "]
    assert [sentences.feed(letter) for letter in " am. "] == [[]] * 5
    assert sentences.feed("No") == ["I am. "]
    assert sentences.finish() == "No"


def test_a_sentence_without_end_is_cut_at_its_last_blank():
    words = "word " * 2_000

    found = split(words)

    assert "".join(found) == words
    assert {len(sentence) for sentence in found[:-1]} == {LIMIT}
    assert all(sentence.endswith(" ") for sentence in found)


def test_a_fence_without_end_is_cut_at_a_line():
    code = "```\n" + "x = 1. Y\n" * 1_000

    found = split(code)

    assert "".join(found) == code
    assert len(found) > 1
    assert all(LIMIT - 10 < len(unit) <= LIMIT and unit.endswith("\n") for unit in found[:-1])


def test_one_long_word_is_cut_at_the_limit():
    assert [len(piece) for piece in split("x" * 9_000)] == [LIMIT, LIMIT, 1_000]


def test_after_the_end_it_is_as_new():
    sentences = Sentences()
    sentences.feed("```\nunclosed. Fence")

    assert sentences.finish() == "```\nunclosed. Fence"
    assert sentences.finish() is None
    assert sentences.feed("One. Two") == ["One. "]
