"""Our WordPiece against the one of the `tokenizers` package, which counts as the definition."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from subsecond.errors import Unavailable
from subsecond.semantic.embedders.support import characters, pinned, wordpiece
from subsecond.semantic.embedders.support.pinned import DATA

OURS = wordpiece.load()
VOCABULARY = (DATA / wordpiece.VOCABULARY).read_text(encoding="utf-8").splitlines()
# Marks that stay and are put in order, among what they are ordered around: marks that go, characters with such marks
# in them, what breaks a run of marks, and what is taken out before.
MARKS = (
    "".join(OURS._characters._classes)
    + "\u0301\u0323\u0344\u302b\u0ecd\u094d\u0f71\u0f73\u1734\U0001d15e\U0001d160\u200d\x00 aéẹΣİ豈가🍕-"
)
# Odd in case or decomposition; control characters, blanks, and what looks like either.
SPECIAL = "\u0130\u0131\u1e9e\u00df\u03a3\u03c2\u017f\u212a\ufb01\u037e\u1fef\u2260\u2329\uf900\U0002f800?!#'"
SPECIAL += "\x0b\x0c\x1c\x85\u00ad\u180e\u200b\u2028\u3000\ufeff\ufffd\U000e0001"
SURROGATE = re.compile("[\ud800-\udfff]")


def theirs():
    made = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


THEIRS = theirs()


def expected(text):
    encoding = THEIRS.encode(text, add_special_tokens=False)
    spelled = zip(encoding.ids, encoding.offsets, strict=True)
    return tuple(encoding.ids), tuple(
        text[begin:end].lower() for row, (begin, end) in spelled if row == wordpiece.UNKNOWN
    )


def differing(texts):
    return [ascii(text) for text in texts if OURS.spell(text) != expected(text)][:5]


LETTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(st.one_of(LETTERS, st.sampled_from(MARKS + SPECIAL), st.characters(max_codepoint=0x17F)), max_size=40)
WORDS = st.sampled_from(VOCABULARY)


@given(TEXTS)
def test_any_text_has_their_pieces_and_their_unknown_words(text):
    assert OURS.spell(text) == expected(text)


@given(st.lists(st.one_of(WORDS, WORDS.map(str.title), TEXTS), max_size=8), st.sampled_from(["", " ", "-", "\n", "\t"]))
def test_so_has_any_text_made_of_pieces(parts, between):
    text = between.join(parts)
    assert OURS.spell(text) == expected(text)


@given(st.text(st.sampled_from(MARKS), max_size=8))
@example("\U0001d160\u094d")
@example("\u03a3\U0001d15e\u0f73")
@example("\u302e\u200d\u1b44")
def test_so_have_marks_in_any_order(text):
    assert OURS.spell(text) == expected(text)


def test_so_has_every_character_of_unicode_inside_a_word():
    # Past the second plane there is little but ideographs and private characters: the ends of what there is will do.
    planes = [block + end for block in range(0x200, 0x1100, 0x100) for end in (0, 0xFF)]
    blocks = [*range(0x200), *range(0x2A6, 0x2D0), *range(0x2F8, 0x2FB), *range(0xE00, 0xE04), *planes]
    texts = [" ".join(f"a{chr(code)}b" for code in range(0x100 * at, 0x100 * at + 0x100)) for at in blocks]
    assert differing(text for text in texts if not SURROGATE.search(text)) == []


def test_so_have_the_vocabulary_itself_and_the_texts_of_this_repository():
    root = DATA.parents[4]
    files = [root / "README.md", *root.glob("docs/*.md"), *root.glob("training/*.txt")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 500
    assert differing([*VOCABULARY, *lines, "\n".join(lines)]) == []


@pytest.mark.parametrize("letter", ["a", "é", "e\u0301", "가", "🍕", "zq"])
def test_a_word_of_more_than_a_hundred_letters_is_unknown_whole(letter):
    assert differing(letter * times for times in (33, 34, 50, 51, 99, 100, 101, 4000)) == []


def test_what_is_remembered_is_bounded_and_the_words_in_use_stay():
    made = wordpiece.load()
    for number in range(5 * wordpiece.REMEMBERED):
        made.spell(f"password {number} {'x' * 200}")
    assert len(made._recent) <= wordpiece.REMEMBERED
    assert len(made._older) <= wordpiece.REMEMBERED
    assert "password" in made._recent.keys() | made._older.keys()
    assert max(map(len, made._recent)) <= wordpiece.LONGEST_REMEMBERED
    assert made.spell("Password 7") == expected("Password 7")


def test_the_table_does_not_depend_on_this_interpreters_unicode():
    """What is asked of `unicodedata` at run time must be settled for good: Hangul, and combining classes of marks."""
    table = OURS._characters
    for char in "가힣각":
        assert table.written(char) == unicodedata.ucd_3_2_0.normalize("NFD", char)
    assert table.written("\U00011938") == "\U00011938"  # decomposes in Python, not in the package
    assert table.written("\u1c89") == "\u1c8a"  # lower case since Unicode 16


@pytest.mark.parametrize("file", [wordpiece.VOCABULARY, characters.FILE])
def test_other_data_than_the_pinned_is_refused(tmp_path, file):
    (tmp_path / file).write_bytes((DATA / file).read_bytes() + b"\n")
    hashes = {wordpiece.VOCABULARY: wordpiece.SHA256, characters.FILE: characters.SHA256}
    with pytest.raises(Unavailable, match="pinned"):
        pinned.pinned(tmp_path / file, hashes[file])
