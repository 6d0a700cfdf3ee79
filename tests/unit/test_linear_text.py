"""No text of a user holds the process: every routine that reads one takes time in proportion to its length.

What is compared is CPU time of this thread, not the clock's: nothing counts the steps of a regular expression or of
`unicodedata`, which is where such work hides, and the kernel's count goes on only while this thread runs. Four times
the text costs four times as much where a routine is linear, and sixteen times where it is quadratic; 9 is between, with
room for caches on either side. Both sides are the least of several runs, because whatever disturbs one only adds.
"""

import asyncio
import gc
import json
import math
from contextlib import suppress
from itertools import count
from time import thread_time

import pytest

from subsecond.api.headers import bearer, cache_rules
from subsecond.api.wire import parse
from subsecond.cache.cacheability import lifetime, may_compare
from subsecond.cache.clocks import spans
from subsecond.cache.false_hits import digest
from subsecond.cache.key import prepare
from subsecond.cache.timebound import timebound
from subsecond.config import Settings
from subsecond.dialects.code_text import looks_like_code
from subsecond.dialects.lookup import recorded
from subsecond.errors import ContextLengthExceeded, InvalidRequest
from subsecond.model import Call, Prompt, Tenant
from subsecond.optimiser import Optimiser
from subsecond.optimiser.estimate import Estimator, tables
from subsecond.ports import StoredQuestion
from subsecond.routing.catalogue import unknown
from subsecond.routing.difficulty import load
from subsecond.routing.verifying import REFUSAL
from subsecond.semantic.embedders import static
from subsecond.semantic.embedders.hashing import HashingEmbedder
from subsecond.semantic.embedders.support import wordpiece
from subsecond.semantic.embedders.support.hashed import plain
from subsecond.semantic.guards.reading import read
from subsecond.semantic.policies.guarded import build
from subsecond.streaming.convert import to_stream, to_whole
from subsecond.streaming.disguise import error_in
from subsecond.streaming.json_bytes import dump
from subsecond.streaming.sentences import Sentences
from subsecond.streaming.sse import Splitter

# A window that no text here fits into, so that all are cut.
SETTINGS = Settings(context_windows="small=100")
ACME = Tenant("acme", "prod", "k")
POLICY = build(SETTINGS)
STATIC = static.build(SETTINGS)
PIECES = wordpiece.load()
ESTIMATOR = Estimator(tables()["o200k"])
OPTIMISER = Optimiser(SETTINGS)
FRESH = count(1_000_000)

# Over this many times the cost for four times the text a routine is not linear.
MOST = 9
# Seconds of CPU below which a cost is not looked at: nothing waits for it, and the ratio would be of noise.
LEAST = 0.004
# What is linear shows in the first round that nothing disturbs; only what is not goes through all of them.
ROUNDS = 40
# Seconds of CPU that nothing disturbs by as much again: two runs are enough.
LONG = 0.5


def repeated(unit):
    return lambda n: (unit * (n // len(unit) + 1))[:n]


def numbered(unit, places):
    """The unit with another number in it each time: nothing that is remembered by name comes again."""
    return lambda n: "".join(unit.format(next(FRESH)) for _ in range(n // places))[:n]


def cased(n):
    """Opening tags of one name, each in another case."""
    names = ("".join(c.upper() if at >> place & 1 else c for place, c in enumerate("search_results")) for at in count())
    return "".join(f"<{next(names)}>\n" for _ in range(n // 17))


FAMILIES = {
    "marks": lambda n: "a" + repeated("\u0315\u0300")(n),
    "marks of letters": lambda n: "a" + repeated("\u0f73")(n),
    "marks on letters": repeated("e\u0301\u0323"),
    "underscores": repeated("_"),
    "snakes": repeated("_é"),
    "dunders": repeated("2a\u00e9_"),
    "digits": repeated("1"),
    "numbers": repeated("1,234.5.6-7:8 "),
    "brackets": repeated("[{("),
    "closed brackets": repeated("[]{}()\n"),
    "quotes": repeated('"'),
    "quoted": repeated("'a' \"b\" `c` “d "),
    "apostrophes": repeated("a'b'"),
    "ticks": repeated("`` ` "),
    "tags": repeated("<context>\n"),
    "tags by number": numbered("<a{0}>\n</a{0}>\n", 14),
    "elements by number": lambda n: "<docs>\n" + numbered("<a{0}>x</a{0}>\n", 16)(n) + "</docs>",
    "open elements": lambda n: "<docs>\n" + numbered("<a{0}>x\n", 10)(n) + "</docs>",
    "tags by case": cased,
    "blanks": repeated(" "),
    "blank lines": repeated("\n \t"),
    "blanks in prose": repeated("now      is "),
    "carriage returns": repeated("\r"),
    "one word": repeated("a"),
    "one word with a sign": lambda n: repeated("a")(n) + "!",
    "shouted": repeated("AbC"),
    "words": numbered("word{0} ", 9),
    "questions": repeated("What is the price of one apple? "),
    "markdown": repeated("> - **a** # 1. `b`\n  > > * c\n"),
    "headings": repeated("#"),
    "fences": repeated("```\na\n~~~\n"),
    "rules": repeated("-*_"),
    "tables": repeated("| a | b |\n"),
    "commas": repeated(","),
    "dots": repeated("."),
    "initials": repeated("a.B."),
    "slashes": repeated("/.a"),
    "mail": repeated("a.-@b-."),
    "links": repeated("http://a.b/"),
    "colons": repeated("a: "),
    "examples": repeated("Input: a\nOutput: b\n"),
    "lines": repeated("\n"),
    "phrases": repeated("In order in order to to please note that "),
    "protocols": repeated("://"),
    "emoji": repeated("\U0001f469\u200d\U0001f469\u200d\U0001f467\ufe0f"),
    "joiners": repeated("\u200d"),
    "Chinese": repeated("怎么重置密码。"),
    "kana": repeated("か\u3099ハ\uff9f"),
    "Hangul": repeated("\u1112\u1161\u11ab"),
    "sigmas": repeated("Σ.'"),
    "surrogates": repeated("\ud83d"),
}


def body(text, **fields):
    system, user = {"role": "system", "content": text}, {"role": "user", "content": text}
    return {"model": "small", "messages": [system, user], **fields}


def prepared(text):
    return prepare(Call("chat", "m", body(text)), ACME)


def compared(text):
    """With a part that stands there, and with one that nearly does."""
    for part in (text[len(text) // 2 :], text[len(text) // 2 :] + "."):
        with suppress(InvalidRequest):
            prepare(Call("chat", "m", body(text), compared=part), ACME)


def judged(text):
    """A candidate that the guards have to read to its end."""
    return POLICY.judge(text, StoredQuestion(f"{text[1:]} b", 0.9, 100))


def read_in(text, size):
    sentences = Sentences(400)
    for at in range(0, len(text), size):
        sentences.feed(text[at : at + size])
    sentences.finish()


def split(text):
    raw = text.encode("utf-8", "replace")
    Splitter().feed(b"data: " + raw)
    splitter = Splitter()
    for at in range(0, len(raw), 16):
        splitter.feed(raw[at : at + 16])


def answer(text):
    return dump({"choices": [{"message": {"content": text}, "finish_reason": "stop", "odd": None}]})


def level(name):
    def optimised(text):
        with suppress(ContextLengthExceeded):
            OPTIMISER.run(Call("chat", "small", body(text)), name)

    return optimised


def looked_up(text):
    call = Call("chat", "m", body(text))
    may_compare(call, text)
    lifetime(SETTINGS, call, Prompt("k", "s", text))


# By name: what reads a text, and the lesser of the two lengths.
ROUTINES = {
    "prepare": (prepared, 5_000),
    "compare": (compared, 5_000),
    "digest": (lambda text: digest("a:b", text), 5_000),
    "normal": (plain, 5_000),
    "parse": (lambda text: parse(json.dumps(body(text)).encode()), 20_000),
    "headers": (lambda text: (cache_rules(text, use_cache=True), bearer(text)), 4_000),
    "guards read": (read, 1_000),
    "guards judge": (judged, 490),
    "guards judge long": (judged, 20_000),
    "timebound": (timebound, 20_000),
    "code": (looks_like_code, 20_000),
    "clocks": (lambda text: spans(f"{text} :20 now", 1_795_983_600.0), 20_000),
    "cacheability": (looked_up, 20_000),
    "lossless": (level("lossless"), 20_000),
    "dedupe": (level("dedupe"), 40_000),
    "fit": (level("fit"), 5_000),
    "select": (level("select; budget=100"), 5_000),
    "estimate": (ESTIMATOR.count, 10_000),
    "sentences": (lambda text: read_in(text, 4), 4_000),
    "sentences at once": (lambda text: read_in(text, len(text)), 10_000),
    "events": (split, 10_000),
    "recorded": (lambda text: recorded("chat", "whole", [answer(text)]), 10_000),
    "converted": (lambda text: to_whole("chat", to_stream("chat", answer(text))), 10_000),
    "an error's words": (lambda text: error_in({"error": {"message": text, "code": text}}), 10_000),
    "pieces": (PIECES.spell, 5_000),
    "static embedder": (STATIC.vector, 5_000),
    "hashing embedder": (lambda text: asyncio.run(HashingEmbedder().embed([text])), 500),
    "difficulty": (lambda text: load("default").score(text), 20_000),
    "refusal": (REFUSAL.search, 4_000),
    "unknown model": (lambda text: unknown(text, ["gpt-4o", "claude", "a" * 40]), 4_000),
}


def cost(routine, text):
    """Seconds of CPU of one run, on a text that nobody remembers."""
    text = f"{next(FRESH)} {text}"
    hash(text)
    begun = thread_time()
    routine(text)
    return thread_time() - begun


def growth(routine, family, size):
    """What four times the text costs, in times of its quarter."""
    least, most = math.inf, math.inf
    for done in range(ROUNDS):
        most = min(most, cost(routine, family(4 * size)))
        least = min(least, cost(routine, family(size)))
        if most < LEAST or (done and (most < MOST * least or most > LONG)):
            break
    return 0.0 if most < LEAST else most / least


@pytest.fixture(autouse=True)
def _no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", ROUTINES)
def test_four_times_the_text_costs_about_four_times_as_much(name):
    routine, size = ROUTINES[name]
    grown = {family: growth(routine, make, size) for family, make in FAMILIES.items()}
    assert not {family: round(times, 1) for family, times in grown.items() if times >= MOST}


@pytest.mark.parametrize("field", ["logprobs", "tool_calls", "annotations", "content"])
@pytest.mark.parametrize("routine", [to_whole, lambda endpoint, payloads: recorded(endpoint, "stream", payloads)])
def test_an_answer_costs_what_its_chunks_cost(field, routine):
    token = {"token": "a", "logprob": -0.1}
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "a"}}
    deltas = {"tool_calls": [call], "annotations": [{"url": "a"}], "content": "a"}
    choice = {"logprobs": {"content": [token]}} if field == "logprobs" else {"delta": {field: deltas[field]}}

    def told(text):
        chunks = [{"id": "1", "choices": [{"index": 0, **choice}]} for _ in text]
        if field == "annotations":
            for at, chunk in enumerate(chunks):
                chunk["choices"] = [{"index": 0, "delta": {"annotations": [{"url": str(at)}]}}]
        routine("chat", map(dump, chunks))

    assert growth(told, repeated("a"), 1_500) < MOST
