"""The clients that speak Responses or Messages do what their users write: against the model server itself, through
Subsecond, and before what `make run` starts."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODEL = "sim-t5-i1-n24"
# Of one test.
ALONE = "sim-t5-i1-n23"
OPENAI = {401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}


@dataclass(frozen=True)
class Kind:
    """A client: its program, the dialect that it speaks, and the classes of its errors by status."""

    program: str
    dialect: str
    errors: dict

    @property
    def words(self):
        return {"dialect": self.dialect} if self.program in SEVERAL else {}


def classes(prefix, *words):
    return {status: f"{prefix}{word}Error" for status, word in zip((401, 404, 429), words, strict=True)}


NAMES = ("Authentication", "ModelNotFound", "RateLimit")
PYDANTIC = classes("Model", "Authentication", "NotFound", "RateLimit")
VERCEL = dict.fromkeys((401, 404, 429), "AI_APICallError")
# Programs that are told which dialect to speak.
SEVERAL = ("pydantic_ai_python.py", "langchain_dialects.py", "ai_sdk_dialects.mjs")
KINDS = {
    "openai": Kind("openai_responses.py", "responses", OPENAI),
    "openai-agents": Kind("agents_python.py", "responses", OPENAI),
    "anthropic": Kind("anthropic_python.py", "messages", OPENAI),
    "pydantic-ai-openai": Kind("pydantic_ai_python.py", "responses", PYDANTIC),
    "pydantic-ai-anthropic": Kind("pydantic_ai_python.py", "messages", PYDANTIC),
    "langchain-openai": Kind("langchain_dialects.py", "responses", classes("OpenAI", *NAMES)),
    "langchain-anthropic": Kind("langchain_dialects.py", "messages", classes("Anthropic", *NAMES)),
    "ai-sdk-openai": Kind("ai_sdk_dialects.mjs", "responses", VERCEL),
    "ai-sdk-anthropic": Kind("ai_sdk_dialects.mjs", "messages", VERCEL),
}


@pytest.fixture(scope="session")
def programs(request, start):
    """`programs(name)`: the program, started when it is first asked for and running until the last test."""
    with ExitStack() as running:

        @cache
        def started(program):
            if program.endswith(".mjs"):
                command = (shutil.which("node"), request.getfixturevalue("node_folder") / program)
            else:
                command = (request.getfixturevalue("dialects_python"), HERE / "clients" / program)
            return running.enter_context(start(program, *command))

        yield started


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def do(kind, programs, target):
    """`do(action, ...)`: what the client saw."""

    def done(action, **words):
        return programs(kind.program).do(target, action, **kind.words, **words)

    return done


everywhere = pytest.mark.parametrize("target", ["direct", "subsecond", "run"], indirect=True)


@pytest.fixture
def asked(request):
    """A prompt that no other test sends, which names the function twice, and a model."""
    return {"model": MODEL, "prompt": f"{request.node.name}: the weather in Rome, and the weather in Oslo?"}


@everywhere
def test_it_gets_a_text_in_pieces_and_the_same_at_once_and_again(do, asked):
    streamed, whole, replayed = (do(action, **asked) for action in ("stream", "text", "stream"))
    assert len(whole["text"].split()) == 24
    assert whole["usage"]["completion"] == 24
    for seen in (streamed, replayed):
        assert len(seen["pieces"]) > 1
        assert "".join(seen["pieces"]) == seen["text"] == whole["text"]
        assert seen["usage"] == whole["usage"]


@everywhere
def test_it_makes_two_calls_at_once_and_gets_words_for_their_results(do, asked):
    seen = do("tools", **asked)
    one, other = seen["calls"]
    assert one["name"] == other["name"] == "weather"
    assert all(isinstance(call["arguments"]["city"], str) for call in (one, other))
    assert len(seen["text"].split()) == 24


@everywhere
def test_it_gets_what_its_schema_says(do, asked):
    value = do("structured", **asked)["value"]
    assert isinstance(value.pop("name"), str)
    assert isinstance(value.pop("people"), int)
    assert all(isinstance(river, str) for river in value.pop("rivers"))
    assert value == {}


@everywhere
def test_it_sends_an_image(do, asked):
    assert len(do("image", **asked)["text"].split()) == 24
    assert do("image", **asked)["text"] != do("text", **asked)["text"]


@everywhere
@pytest.mark.parametrize(
    ("status", "words"),
    [(401, {"key": "sk-wrong"}), (404, {"model": "gpt-none"}), (429, {"model": "sim-t0-i0-n8-fstatus429-fafter0"})],
    ids=["401", "404", "429"],
)
def test_errors_are_those_that_it_documents(do, kind, asked, status, words):
    error = do("text", **asked | words)["error"]
    assert (error["class"], error["status"]) == (kind.errors[status], status)


def test_an_error_in_mid_stream_is_an_error_to_it(do, asked):
    seen = do("stream", **asked | {"model": "sim-t0-i0-n8-ferrorevent3"})
    assert "an error in mid-stream" in seen["error"]["message"]


@everywhere
def test_the_same_request_again_has_the_same_answer(do, simulator, target, asked, stored, sources):
    asked["model"] = ALONE
    first = do("text", **asked)
    stored(ALONE)
    again = do("text", **asked)
    assert (first["text"], first["usage"]) == (again["text"], again["usage"])
    if target.log:
        assert sources(ALONE, 2) == ["upstream", "exact"]
    else:
        assert simulator.stats()["completed"] == (1 if target.caches else 2)
    if "cache" in again:
        assert (again["cache"] or "").endswith("detail=exact") == target.caches


@pytest.mark.parametrize("kind", ["openai", "anthropic"], indirect=True)
def test_a_thought_comes_with_the_answer_and_may_be_given_back(do, asked):
    seen = do("thoughts", **asked)
    assert len(seen["thought"].split()) > 3
    assert len(seen["text"].split()) == 24


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
def test_a_response_can_be_fetched_its_input_listed_and_it_can_be_deleted(do, asked):
    seen = do("kept", **asked)
    assert seen == {"same": True, "asked": asked["prompt"], "gone": 404}


@pytest.mark.parametrize("kind", ["openai"], indirect=True)
def test_calls_may_be_answered_by_the_response_in_which_they_were(do, asked):
    seen = do("tools", **asked, store=True)
    assert len(seen["calls"]) == 2
    assert len(seen["text"].split()) == 24


@pytest.mark.parametrize("kind", ["anthropic"], indirect=True)
def test_tokens_are_counted_before_they_are_sent_and_models_are_listed(do, asked):
    seen = do("counted", **asked)
    assert seen["counted"] == seen["found"] > 0
    assert MODEL not in seen["models"]
    assert "sim-t50-i5-n32" in seen["models"]


@pytest.mark.parametrize("target", ["subsecond"], indirect=True)
@pytest.mark.parametrize("kind", ["openai-agents", "anthropic"], indirect=True)
def test_an_agent_hears_nothing_that_was_said_of_another_result(do, simulator, asked):
    first, again, other = (do("agent", **asked, turns=10, other=turn)["texts"] for turn in (-1, -1, 4))
    assert len(set(first)) == 10
    assert again == first
    assert [one == two for one, two in zip(first, other, strict=True)] == [True] * 4 + [False] * 6
    # Of two calls in each turn: one more in the fifth, and both in those behind it.
    assert simulator.stats()["completed"] == 20 + 1 + 10
