"""Every real client behaves through Subsecond as it does against the model server itself."""

from __future__ import annotations

import math
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODEL = "sim-t5-i1-n24"
ENDLESS = "sim-t0-i0-n24-fstall4"
OPENAI = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}
LANGCHAIN = {
    400: "OpenAIInvalidRequestError",
    401: "OpenAIAuthenticationError",
    404: "OpenAIModelNotFoundError",
    429: "OpenAIRateLimitError",
}


@dataclass(frozen=True)
class Kind:
    """A client: its program, what it can show, and the classes of its errors by status."""

    program: str
    errors: dict
    can: frozenset


def kind(program, errors, can):
    classes = errors if isinstance(errors, dict) else dict.fromkeys(OPENAI, errors)
    return Kind(program, classes, frozenset(can.split()))


# tool, embed, leave: calls that it has. headers: it shows them. silent: it can stream without asking for usage.
# once: its retries can be switched off.
EVERYTHING = "tool embed headers silent once leave"
CLIENTS = {
    "openai-python": kind("openai_python.py", OPENAI, EVERYTHING),
    "langchain-openai": kind("langchain_python.py", LANGCHAIN, "tool embed headers silent once"),
    "litellm": kind("litellm_python.py", OPENAI, "tool embed headers silent once"),
    "llm": kind("llm_cli.py", "LlmError", "leave"),
    "openai-node": kind("openai_node.mjs", OPENAI, EVERYTHING),
    "ai-sdk": kind("ai_sdk.mjs", "AI_APICallError", EVERYTHING),
    "curl": kind("curl.py", "CurlError", EVERYTHING),
}


@pytest.fixture(scope="session")
def clients(request, start):
    """`clients(name)`: its program, started when it is first asked for and running until the last test."""
    with ExitStack() as running:

        @cache
        def started(name):
            return running.enter_context(start(name, *command(name, request.getfixturevalue)))

        yield started


def command(name, fixture):
    program = CLIENTS[name].program
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("There is no curl here.")
    if name == "llm" and sys.platform != "linux":
        pytest.skip("The program that watches `llm` needs Linux's sockets.")
    if program.endswith(".mjs"):
        return shutil.which("node"), fixture("node_folder") / program
    return fixture("litellm_python") if name == "litellm" else sys.executable, HERE / "clients" / program


@pytest.fixture(params=CLIENTS)
def client(request, clients):
    return clients(request.param)


def that(*abilities):
    """Only the clients that have these."""
    found = [name for name, kind in CLIENTS.items() if kind.can.issuperset(abilities)]
    return pytest.mark.parametrize("client", found, indirect=True)


# The functions under the Lambda host besides. Not where a client hangs up: nobody tells a function of it.
everywhere = pytest.mark.parametrize("target", ["direct", "subsecond", "functions"], indirect=True)


@pytest.fixture
def asked(request):
    """A prompt that no other test sends, and a model."""
    return {"model": MODEL, "prompt": f"{request.node.name}?"}


@everywhere
def test_it_lists_the_models(client, target):
    assert "sim-t50-i5-n32" in client.do(target, "models")["models"]


@everywhere
def test_it_gets_a_whole_answer(client, target, asked):
    seen = client.do(target, "whole", **asked)
    assert len(seen["text"].split()) == 24
    assert seen["usage"]["completion"] == 24
    assert seen["usage"]["total"] == seen["usage"]["prompt"] + 24
    assert seen.get("finish", "stop") == "stop"


@everywhere
def test_a_stream_comes_in_pieces_that_make_the_whole(client, target, asked):
    streamed = client.do(target, "stream", **asked, asked=True)
    whole = client.do(target, "whole", **asked, temperature=0)
    replayed = client.do(target, "stream", **asked, asked=True)
    for seen in (streamed, replayed):
        assert len(seen["pieces"]) > 1
        assert "".join(seen["pieces"]) == whole["text"]
        assert seen.get("finish", "stop") == "stop"
        assert seen.get("ids", 1) == 1


@everywhere
def test_usage_comes_with_a_stream_that_asks_for_it(client, target, asked):
    whole = client.do(target, "whole", **asked, temperature=0)
    for _ in range(2):
        assert client.do(target, "stream", **asked, asked=True)["usage"] == whole["usage"]


@that("silent")
def test_no_usage_comes_with_a_stream_that_does_not_ask_for_it(client, target, asked):
    for _ in range(2):
        assert client.do(target, "stream", **asked, asked=False)["usage"] is None


@everywhere
@that("tool")
def test_it_gets_tool_calls(client, target, asked):
    for _ in range(2):
        seen = client.do(target, "tool", **asked)
        assert seen["name"] == "weather"
        assert isinstance(seen["arguments"]["city"], str)
        assert isinstance(seen["arguments"]["days"], int)
        assert seen["streamed"] == {"name": "weather", "arguments": seen["arguments"]}
        # The AI SDK has words of its own.
        assert seen["finish"].replace("-", "_") == "tool_calls"


@that("embed")
def test_it_gets_embeddings(client, target):
    seen = client.do(target, "embed", model=MODEL, texts=["one", "two", "one"])
    one, two, again = seen["vectors"]
    assert one == again != two
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in (one, two))
    assert seen.get("tokens", 1) > 0


def refused(client, seen, status):
    error = seen["error"]
    assert error["class"] == CLIENTS[client.name].errors[status]
    assert error["status"] == status
    return error["message"]


@everywhere
@pytest.mark.parametrize("action", ["whole", "stream"])
def test_a_key_that_is_not_known_is_a_401(client, simulator, target, asked, action):
    more = {"asked": True} if action == "stream" else {}
    refused(client, client.do(target, action, **asked | more | {"key": "sk-wrong"}), 401)
    assert simulator.stats()["completed"] == 0


@everywhere
def test_a_body_that_the_model_server_refuses_is_a_400(client, target, asked):
    message = refused(client, client.do(target, "whole", **asked, max_tokens=-1), 400)
    assert "must be at least 1" in message


@everywhere
@pytest.mark.parametrize("action", ["whole", "stream"])
def test_a_model_that_does_not_exist_is_a_404(client, target, asked, action):
    more = {"asked": True} if action == "stream" else {}
    message = refused(client, client.do(target, action, **asked | more | {"model": "gpt-none"}), 404)
    assert "gpt-none" in message


@that("once")
def test_a_model_server_that_is_busy_is_a_429(client, target, asked):
    refused(client, client.do(target, "whole", **asked | {"model": "sim-t0-i0-n8-fstatus429-fafter0"}), 429)


@everywhere
@that("once")
def test_an_error_in_mid_stream_is_an_error_to_it(client, target, asked):
    seen = client.do(target, "stream", **asked | {"model": "sim-t0-i0-n8-ferrorevent3"}, asked=True)
    assert "an error in mid-stream" in seen["error"]["message"]


@that("leave")
def test_a_stream_flows_while_the_model_still_works_and_a_hang_up_ends_its_work(client, ended, target, asked):
    seen = client.do(target, "leave", **asked | {"model": ENDLESS})
    assert any(seen["pieces"])
    stats = ended(1)
    assert (stats["calls"], stats["aborted"], stats["running"]) == (1, 1, 0)


@everywhere
@pytest.mark.parametrize("first", ["whole", "stream"])
@pytest.mark.parametrize("then", ["whole", "stream"])
def test_the_same_request_again_is_a_hit(client, simulator, target, stored, asked, first, then):
    asked["model"] = f"{MODEL}-again"
    fields = {"whole": {"temperature": 0}, "stream": {"asked": True}}
    seen = [client.do(target, first, **asked, **fields[first])]
    stored(asked["model"])
    seen.append(client.do(target, then, **asked, **fields[then]))
    texts = {one["text"] if "text" in one else "".join(one["pieces"]) for one in seen}
    assert len(texts) == 1
    assert simulator.stats()["completed"] == (1 if target.caches else 2)
    if then == "whole" and "headers" in CLIENTS[client.name].can:
        assert (seen[1]["cache"] or "").startswith("subsecond; hit;") == target.caches


# What users of these clients commonly send beside a question, none of which can change its answer.
USUAL = {
    "openai-python": {"user": "ann", "metadata": {"app": "shop"}, "prompt_cache_key": "shop-1", "service_tier": "auto"},
    "langchain-openai": {"service_tier": "default", "model_kwargs": {"user": "ben", "safety_identifier": "5f1c"}},
    "ai-sdk": {"user": "cem", "prompt_cache_retention": "24h"},
    "curl": {"user": "dan", "metadata": {}, "safety_identifier": "9c0e", "prompt_cache_options": {"ttl": "30m"}},
}


@pytest.mark.parametrize("target", ["subsecond", "functions"], indirect=True)
def test_one_question_of_four_clients_is_one_call_and_a_field_that_counts_makes_it_two(
    clients, simulator, target, stored, asked
):
    asked["model"] = f"{MODEL}-shared"
    seen = []
    for name, fields in USUAL.items():
        seen.append(clients(name).do(target, "whole", **asked, **fields)["text"])
        if name == "openai-python":
            stored(asked["model"])
    assert len(set(seen)) == 1
    assert simulator.stats()["completed"] == 1
    clients("curl").do(target, "whole", **asked, **USUAL["curl"], seed=7)
    assert simulator.stats()["completed"] == 2


@that("headers")
def test_a_first_answer_says_that_it_is_a_miss(client, subsecond, asked):
    assert client.do(subsecond, "whole", **asked)["cache"] == "subsecond; fwd=miss"


CALLS = {
    "whole": ("whole", {}),
    "whole, many fields": ("whole", {"temperature": 0.5, "max_tokens": 7, "seed": 3, "top_p": 0.9}),
    "stream": ("stream", {"asked": True}),
    "stream without usage": ("stream", {"asked": False}),
    "tool": ("tool", {}),
    "embed": ("embed", {}),
    "refused": ("whole", {"max_tokens": -1}),
    "unknown model": ("whole", {"model": "gpt-none"}),
    "error in mid-stream": ("stream", {"asked": True, "model": "sim-t0-i0-n8-ferrorevent3"}),
}
ABLE = {"tool": "tool", "embed": "embed", "stream without usage": "silent", "error in mid-stream": "once"}
PAIRS = [
    pytest.param(name, call, id=f"{name}-{call}")
    for name in CLIENTS
    for call in CALLS
    if call not in ABLE or ABLE[call] in CLIENTS[name].can
]


@pytest.mark.parametrize(("client", "call"), PAIRS, indirect=["client"])
def test_it_sees_exactly_what_it_sees_without_subsecond(client, direct, subsecond, asked, call):
    action, fields = CALLS[call]
    words = {"model": MODEL, "texts": ["one", "two"]} if action == "embed" else asked | fields
    seen, twice, again = (client.do(target, action, **words) for target in (direct, subsecond, subsecond))
    for other in (twice, again):
        assert told_alike(other) == told_alike(seen)


def told_alike(seen):
    """Without what only a gateway says."""
    return {name: value for name, value in seen.items() if name != "cache"}
