"""How tokens are counted, and what an estimate is worth."""

import base64
import json

import pytest

from subsecond.optimiser import Correction, Tokens
from subsecond.optimiser.estimate import Estimator, tables
from subsecond.optimiser.tokens import MOST_COUNTS, upper_bound

# Counted with the tokenizer o200k.
PROSE = (
    "The committee met again on Tuesday to decide whether the harbour should be closed for repairs during the winter. "
    "Several members thought that the plan was too expensive, and asked the engineers for a cheaper one by spring."
)
CODE = (
    "def area(width: float, height: float) -> float:\n"
    "    if width < 0:\n        raise ValueError('width')\n    return width * height\n"
)
JAPANESE = (
    "委員会は火曜日に再び会合し、冬の間、港を修理のために閉鎖するかどうかを決めました。"
    "何人かの委員は計画が高すぎると考えました。"
)
CHINESE = "委员会星期二再次开会,决定冬天是否关闭港口进行维修。一些成员认为这个计划太贵了。"


@pytest.mark.parametrize(
    ("text", "real", "error"), [(PROSE, 41, 0.05), (CODE, 33, 0.05), (CHINESE, 26, 0.1), (JAPANESE, 55, 0.1)]
)
def test_an_estimate_is_near_the_tokenizers_count(text, real, error):
    """On a few lines; docs/optimiser.md has the errors on files."""
    assert abs(Estimator(tables()["o200k"]).count(text * 8) / 8 - real) <= error * real


def test_the_model_names_its_family_and_an_unknown_one_is_counted_as_the_newest():
    tokens = Tokens()
    assert tokens.counter("gpt-4-turbo").name == "cl100k estimate"
    assert tokens.counter("openai/gpt-4o-mini").name == "o200k estimate"
    assert tokens.counter("gpt-4.1").name == "o200k estimate"
    assert tokens.counter("a-model-of-tomorrow").name == "o200k estimate"


def test_a_named_vocabulary_file_counts_exactly_and_nothing_is_fetched(tmp_path):
    pytest.importorskip("tiktoken")
    ranks = [bytes([byte]) for byte in range(256)] + [b"ab", b" a", b"abab"]
    path = tmp_path / "small.tiktoken"
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(ranks)))
    counter = Tokens(f"tiny-*={path}, other={path}").counter("tiny-1")
    assert counter.exact
    assert counter.count("abab ab") == 1 + 2
    assert not Tokens(f"tiny-*={path}").counter("large").exact


def test_a_tokenizer_json_counts_exactly(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "one": 1, "two": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    assert Tokens(f"m={path}").counter("m").count("one two three") == 3


def test_a_missing_file_is_an_error_and_no_silent_estimate(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        Tokens(f"m={tmp_path / 'nowhere.tiktoken'}").counter("m")


def test_counts_are_kept_by_message_and_their_number_is_bounded():
    class Counted:
        exact, name, asked = True, "counted", 0

        def count(self, text):
            self.asked += 1
            return len(text)

    tokens, counter = Tokens(), Counted()
    text = "x" * 100
    assert tokens.text(counter, text) == tokens.text(counter, "x" * 100) == 100
    assert counter.asked == 1
    for at in range(MOST_COUNTS + 10):
        tokens.text(counter, f"{at:100}")
    assert len(tokens._counts) == MOST_COUNTS


def test_the_usage_that_comes_back_corrects_the_estimate():
    correction = Correction()
    assert correction.factor("m") == 1.0
    for _ in range(30):
        correction.learn("m", 1000, {"prompt_tokens": 1200})
    assert correction.factor("m") == pytest.approx(1.2)
    assert correction.factor("other") == 1.0
    correction.learn("m", 1000, {"prompt_tokens": 900_000})
    assert correction.factor("m") < 1.5


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "9"}, {"prompt_tokens": 0}])
def test_a_usage_without_a_count_teaches_nothing(usage):
    correction = Correction()
    correction.learn("m", 1000, usage)
    correction.learn("m", None, {"prompt_tokens": 10})
    correction.learn("m", 10, {"prompt_tokens": 30})
    assert correction.factor("m") == 1.0


def test_the_corrections_memory_is_bounded():
    correction = Correction()
    for at in range(1000):
        correction.learn(f"m{at}", 1000, {"prompt_tokens": 1100})
    assert len(correction._ratios) == Correction.MOST_MODELS


@pytest.mark.parametrize(
    "text", ["", "a", PROSE, CODE, CHINESE, "🎉" * 50, "\n\n \t" * 50, json.dumps({"a": [1] * 50})]
)
def test_the_bound_that_needs_no_counting_is_one(text):
    messages = [{"role": "user", "content": text}]
    tokens = Tokens()
    counter = tokens.counter("m")
    assert tokens.message(counter, messages[0]) + tokens.frame(counter, {}) <= upper_bound({}, messages) + 1
