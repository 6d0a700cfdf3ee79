"""Files of rows: what is read, and what is said of a line that does not fit."""

import json

import pytest

from subsecond_local.errors import LocalError
from subsecond_local.evaluate import rows
from subsecond_local.evaluate.rows import Question

GOOD = {"query_a": "a", "query_b": "b", "label": 1}
MESSAGES = [{"role": "user", "content": "a"}]


@pytest.fixture
def file(tmp_path):
    """`file(row, "raw line", ...)`: a file of these lines."""

    def make(*lines):
        path = tmp_path / "rows.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_bytes(b"\n".join(text.encode("utf-8", "surrogateescape") for text in texts) + b"\n")
        return path

    return make


def test_pairs_keep_their_kind_or_category(file):
    found = rows.pairs(file(GOOD, {**GOOD, "label": 0, "kind": "number"}, {**GOOD, "category": "typo"}))
    assert [(one.a, one.b, one.label, one.kind) for one in found] == [
        ("a", "b", True, ""),
        ("a", "b", False, "number"),
        ("a", "b", True, "typo"),
    ]


def test_empty_lines_are_passed_over_and_a_limit_ends_the_reading(file):
    path = file(GOOD, "", "  ", GOOD, "broken")
    assert len(rows.pairs(path, 2)) == 2
    with pytest.raises(LocalError, match="line 5"):
        rows.pairs(path)


def test_questions_and_conversations(file):
    assert rows.questions(file({"query": "a", "intent": "oos", "more": 1})) == [Question("a", "oos")]
    (found,) = rows.conversations(file({"messages_a": MESSAGES, "messages_b": MESSAGES, "label": True}))
    assert (found.a, found.label) == (MESSAGES, True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "not JSON"),
        ('{"query_a": NaN}', "not JSON"),
        ("\udcff", "not JSON in UTF-8"),
        ("[" * 100_000, "not JSON"),
        ([1], "a JSON object"),
        ({"query_a": "a", "label": 1}, "no `query_b`"),
        ({**GOOD, "query_a": None}, "`query_a` must be a text"),
        ({**GOOD, "label": "1"}, "`label` must be 1"),
        ({**GOOD, "label": 2}, "`label` must be 1"),
        ({**GOOD, "label": []}, "`label` must be 1"),
    ],
)
def test_a_line_that_does_not_fit_is_named(file, line, word):
    path = file(GOOD, "", line)
    with pytest.raises(LocalError) as caught:
        rows.pairs(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("messages", [[], "a", [1], [{"content": "a"}], None])
def test_messages_must_be_messages(file, messages):
    path = file({"messages_a": MESSAGES, "messages_b": messages, "label": 0})
    with pytest.raises(LocalError, match="line 1: `messages_b` must be a list"):
        rows.conversations(path)


def test_a_file_that_is_not_there_or_holds_nothing_says_so(tmp_path, file):
    with pytest.raises(LocalError, match="cannot be read: No such file"):
        rows.pairs(tmp_path / "none.jsonl")
    with pytest.raises(LocalError, match="cannot be read"):
        rows.pairs(tmp_path)
    with pytest.raises(LocalError, match="holds no rows"):
        rows.pairs(file("", ""))


def test_pairs_are_a_stream_too_whose_questions_share_an_intent_where_label_1_joins_them(file):
    joined = [("a", "b", 1), ("c", "d", 0), ("b", "e", 1), ("a", "c", 0)]
    path = file(*({"query_a": a, "query_b": b, "label": label} for a, b, label in joined))
    found = {one.text: one.intent for one in rows.questions(path)}
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert found["a"] == found["b"] == found["e"]
    assert len(set(found.values())) == 3
