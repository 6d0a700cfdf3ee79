"""The project's own functions under the Lambda host, as `MODE=lambda` serves them, with a model server behind them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond_local.lambda_host import LambdaHost, UrlRoute
from subsecond_local.run.lambda_gateway import PREWARM, functions
from subsecond_local.run.ports import free_ports
from tests.support.processes import UNHURRIED

# One loop for the module, so that the tests that need nothing of their own share one environment.
pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-canary-client"
UPSTREAM_KEY = "sk-canary-upstream"
QUESTION = "Canary question?"
WORDS = ["Canary", " words", " of", " the", " answer"]
SECRETS = [KEY, UPSTREAM_KEY, "Canary", "words"]
VARIABLES = {
    "SUBSECOND_API_KEY": KEY,
    "SUBSECOND_UPSTREAM_KEY": UPSTREAM_KEY,
    "SUBSECOND_DEFAULT_MODEL": "sim-t0-i0-n8",
    "SUBSECOND_UPSTREAM_RETRIES": "0",
    **UNHURRIED,
}
CHAT = "/v1/chat/completions"
# Seconds until a part that says nothing counts as stuck.
PATIENCE = 60


@dataclass(frozen=True)
class Deployed:
    """A host, a client of its URL, and what the functions print."""

    host: LambdaHost
    http: httpx2.AsyncClient
    output: Path

    def printed(self):
        return self.output.read_text()

    def lines(self):
        """The objects among what was printed: the log's lines and the metrics."""
        return [json.loads(line) for line in self.printed().splitlines() if line.startswith("{")]

    @property
    def cold_starts(self):
        return len([line for line in self.lines() if "ColdStart" in line])

    async def chat(self, text=QUESTION, model="sim-t0-i0-n8", cache_control="", **fields):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return await self.http.post(CHAT, json=body, headers={"cache-control": cache_control})

    async def open(self, text, model="sim-t0-i0-n8"):
        """A stream's response as soon as its head is there. To be closed."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": True}
        return await self.http.send(self.http.build_request("POST", CHAT, json=body), stream=True)


@asynccontextmanager
async def deployed(output, environ, routes, **changes):
    """The functions with these variables; one environment each, so that one request's answer is there for the next."""
    made = [replace(function, minimum=0, maximum=1, **changes) for function in functions(environ)]
    with output.open("wb") as file:
        async with (
            LambdaHost(made, routes, output=file) as host,
            httpx2.AsyncClient(
                base_url=host.url, trust_env=False, timeout=PATIENCE, headers={"authorization": f"Bearer {KEY}"}
            ) as http,
        ):
            yield Deployed(host, http, output)


@pytest.fixture
def deploy(tmp_path):
    """`async with deploy("streaming", SUBSECOND_...=...) as it`: one function behind every path but `routes`."""

    def make(
        name="streaming", *, routes=(), upstream="subsecond_local.simulator.adapter", url="", timeout=30, **variables
    ):
        environ = {**VARIABLES, "SUBSECOND_UPSTREAM": upstream, "SUBSECOND_UPSTREAM_URL": url, **variables}
        return deployed(tmp_path / "output", environ, [*routes, UrlRoute("/", name)], timeout=timeout)

    return make


class Call:
    """One request to the model server that the tests play: they say each word."""

    def __init__(self, writer):
        self._writer = writer
        self.over = asyncio.Event()

    def say(self, content, finish=None):
        delta = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
        self._send(json.dumps(chunk))

    def finish(self):
        self.say("", "stop")
        self._send("[DONE]")
        self._writer.write(b"0\r\n\r\n")
        self.over.set()

    def die(self):
        self._writer.transport.abort()
        self.over.set()

    def _send(self, payload):
        event = f"data: {payload}\n\n".encode()
        self._writer.write(b"%x\r\n%b\r\n" % (len(event), event))


class Upstream:
    """A model server whose answers are made by the tests, word by word."""

    def __init__(self):
        self.calls = asyncio.Queue()
        self.tasks = set()

    async def call(self):
        return await asyncio.wait_for(self.calls.get(), PATIENCE)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked"
                writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n\r\n")
                self.calls.put_nowait(call := Call(writer))
                await call.over.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream():
    found = Upstream()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield found
    server.close()
    await asyncio.gather(*found.tasks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def streaming(upstream, tmp_path_factory):
    """The streaming function, with the upstream that the tests play. In the end its output is searched for secrets."""
    environ = {**VARIABLES, "SUBSECOND_UPSTREAM_URL": upstream.url}
    output = tmp_path_factory.mktemp("streaming") / "output"
    async with deployed(output, environ, [UrlRoute("/", "streaming")]) as it:
        yield it
    assert [secret for secret in SECRETS if secret in it.printed()] == []


async def begun(it, upstream, text):
    """A stream of which the first word has been said: the call upstream, and the client's response."""
    asking = asyncio.create_task(it.open(text))
    call = await upstream.call()
    call.say(WORDS[0])
    return call, await asking


async def payloads(response):
    """The `data:` lines as they come."""
    async for line in response.aiter_lines():
        if line:
            assert line.startswith("data: ")
            yield line.removeprefix("data: ")


def word(payload):
    return json.loads(payload)["choices"][0]["delta"].get("content")


def error_of(text):
    """OpenAI's error object, and nothing beside it."""
    found = json.loads(text)
    assert found.keys() == {"error"}
    assert found["error"].keys() == {"message", "type", "param", "code"}
    return found["error"]


def hit(response):
    return response.headers["cache-status"].startswith("subsecond; hit; ")


async def test_a_chunk_is_with_the_client_before_the_upstream_makes_the_next(streaming, upstream):
    call, response = await begun(streaming, upstream, QUESTION)
    lines = payloads(response)
    assert word(await anext(lines)) == WORDS[0]
    for said in WORDS[1:]:
        call.say(said)
        assert word(await anext(lines)) == said
    # What CloudWatch is told is complete only with the stream: nothing is told of this request yet.
    before = streaming.lines()
    call.finish()
    rest = [line async for line in lines]
    assert rest[-1] == "[DONE]"
    # It is told before the only environment takes another event: what would come later would wait in a frozen one.
    await streaming.http.get("/health")
    told = streaming.lines()[len(before) :]
    request, metrics = (next(line for line in told if name in line) for name in ("message", "_aws"))
    assert (request["message"], request["request_id"]) == ("request", response.headers["x-request-id"])
    assert request["correlation_id"] == response.headers["x-amzn-requestid"]
    assert request["source"] == "upstream"
    assert (metrics["service"], metrics["Requests"], metrics["Hits"]) == ("subsecond", [1.0], [0.0])
    assert metrics["TimeToFirstByte"][0] <= metrics["Duration"][0]


async def test_a_client_that_leaves_costs_the_rest_of_its_call_whose_answer_is_then_a_hit(streaming, upstream):
    call, response = await begun(streaming, upstream, f"{QUESTION} I leave.")
    assert word(await anext(payloads(response))) == WORDS[0]
    await response.aclose()
    # The only environment is still at work, so this one waits for it.
    again = asyncio.create_task(streaming.chat(f"{QUESTION} I leave."))
    for said in WORDS[1:]:
        call.say(said)
    call.finish()
    found = await again
    assert hit(found)
    assert found.json()["choices"][0]["message"]["content"] == "".join(WORDS)
    assert upstream.calls.empty()


async def test_an_upstream_that_breaks_off_is_an_error_event_and_leaves_nothing_behind(streaming, upstream):
    call, response = await begun(streaming, upstream, f"{QUESTION} Break.")
    lines = payloads(response)
    assert word(await anext(lines)) == WORDS[0]
    call.die()
    [last] = [line async for line in lines]
    assert error_of(last)
    assert (await streaming.chat(f"{QUESTION} Break.", cache_control="only-if-cached")).status_code == 504
    call, response = await begun(streaming, upstream, f"{QUESTION} Break.")
    call.finish()
    assert [line async for line in payloads(response)][-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_latency_budget_that_cannot_be_met_is_a_504(streaming, upstream, stream):
    late = asyncio.create_task(streaming.chat(f"{QUESTION} Late. {stream}", stream=stream, max_latency_ms=200))
    call = await upstream.call()
    found = await late
    call.die()
    assert found.status_code == 504
    assert error_of(found.text)["code"] == "deadline_exceeded"


async def test_a_schedules_event_warms_the_one_environment_that_has_served_all(streaming):
    result = await streaming.host.invoke("streaming", PREWARM)
    report = json.loads(result.payload)
    assert (set(report["steps_ms"]), report["failed"]) == ({"keys", "answers", "upstream", "semantic"}, [])
    # However the requests of this module have ended, none of them has cost the environment.
    assert (await streaming.http.get("/health")).status_code == 200
    assert streaming.host.environments("streaming") == 1
    assert streaming.cold_starts <= 1


LEGACY = {"model": "sim-t0-i0-n8", "prompt": "Hello?"}
MESSAGES = {"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": "Hello?"}]}
ASKED = [
    ("POST", CHAT, MESSAGES),
    ("POST", CHAT, MESSAGES | {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}),
    ("POST", CHAT, MESSAGES | {"stream": True}),
    ("POST", CHAT, MESSAGES | {"messages": []}),
    ("POST", CHAT, MESSAGES | {"model": "gpt-none"}),
    ("POST", CHAT, MESSAGES | {"model": "gpt-none", "stream": True}),
    ("POST", CHAT, MESSAGES | {"model": "sim-t0-i0-n8-fstatus429"}),
    ("POST", CHAT, MESSAGES | {"model": "sim-t0-i0-n8-ferrorevent3", "stream": True}),
    ("POST", "/v1/completions", LEGACY),
    ("POST", "/v1/completions/stream", LEGACY),
    ("POST", "/v1/completions/batch", {"prompts": ["One?", "Two?"]}),
    ("POST", "/v1/embeddings", {"model": "sim-t0-i0-n8", "input": ["one"]}),
    ("GET", "/v1/models", None),
    ("GET", "/health", None),
    ("DELETE", "/v1/models", None),
    ("GET", "/v1/nothing", None),
    ("HEAD", "/health", None),
]
OWN = {"x-request-id", "server-timing"}
HOSTS = {"date", "x-amzn-requestid", "transfer-encoding"}


async def test_statuses_headers_cookies_and_bodies_are_those_of_the_app_alone(deploy):
    settings = Settings(upstream="subsecond_local.simulator.adapter", api_key=KEY, default_model="sim-t0-i0-n8")
    alone = httpx2.AsyncClient(base_url="http://app", transport=httpx2.ASGITransport(app=create_app(gateway(settings))))
    async with alone, deploy() as it:
        for bearer in (f"Bearer {KEY}", "Bearer sk-wrong"):
            for method, path, body in ASKED:
                headers = {"authorization": bearer, "cookie": "a=1; b=2"}
                expected, found = [
                    await client.request(method, path, json=body, headers=headers) for client in (alone, it.http)
                ]
                assert seen(found, HOSTS) == seen(expected), (method, path, body, bearer)


def seen(response, besides=frozenset()):
    headers = {name: value for name, value in response.headers.multi_items() if name not in OWN | besides}
    # An answer's age and the rest of its life are counted in seconds, its making in fractions of one.
    headers["cache-status"] = re.sub(r"ttl=\d+", "", headers.get("cache-status", ""))
    headers["age"] = str("age" in headers)
    if length := headers.pop("x-amzn-remapped-content-length", None):
        headers["content-length"] = length
    if "latency_ms" in response.text:
        headers.pop("content-length", None)
    body = re.sub(r'"(created|latency_ms)": ?[\d.]+', "", response.text)
    return response.status_code, headers, re.sub(r"under \S+", "", body)


async def test_a_killed_upstream_ends_its_stream_and_the_next_requests_go_on(deploy):
    (port,) = free_ports(1)
    async with deploy(upstream="openai", url=f"http://127.0.0.1:{port}/v1") as it:
        with simulator(port) as process:
            assert (await it.chat("Kept?")).status_code == 200
            response = await it.open("Cut?", "sim-t0-i20-n9999")
            lines = payloads(response)
            # The first chunk names the role alone, and may come in a write of its own, before any word is made.
            while not word(await anext(lines)):
                pass
            process.send_signal(signal.SIGKILL)
            *_, last = [line async for line in lines]
            assert error_of(last)
        dead = await it.chat("New?")
        assert (dead.status_code, bool(error_of(dead.text))) == (502, True)
        assert hit(await it.chat("Kept?"))
        with simulator(port):
            assert (await it.chat("Cut?", "sim-t0-i20-n9999", cache_control="only-if-cached")).status_code == 504
            assert (await it.chat("New?")).headers["cache-status"] == "subsecond; fwd=miss"
        assert it.cold_starts == 1


@contextmanager
def simulator(port):
    command = (sys.executable, "-m", "subsecond_local.simulator.server", f"--port={port}", f"--key={UPSTREAM_KEY}")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline().startswith(b"READY")
            yield child
        finally:
            child.terminate()


async def test_what_exceeds_the_functions_time_is_told_and_the_environment_serves_the_next_request(deploy):
    async with deploy(timeout=3) as it:
        # A start on a busy machine may take longer than that.
        while (await it.chat("Started?")).status_code == 429:
            pass
        late = await it.chat(model="sim-t60000-i0-n8")
        assert late.status_code == 504
        assert error_of(late.text)["code"] == "deadline_exceeded"
        *chunks, last = [line async for line in payloads(await it.open(QUESTION, "sim-t0-i100-n600"))]
        assert any(map(word, chunks))
        assert error_of(last)["code"] == "deadline_exceeded"
        assert (await it.chat()).status_code == 200
        assert it.host.environments("streaming") == 1
        assert it.cold_starts == 1


@pytest.mark.parametrize("name", ["streaming", "completion"])
async def test_a_wrong_setting_is_a_failed_initialisation(deploy, name):
    async with deploy(name, SUBSECOND_TTL="abc") as it:
        result = await it.host.invoke(name, {})
        assert result.failed
        error = json.loads(result.payload)
        assert error["errorType"] == "ValueError"
        assert error["errorMessage"] == "SUBSECOND_TTL='abc' is not a number"
        found = await it.http.get("/health")
        assert (found.status_code, found.json()) == (502, {"Message": "Internal Server Error"})


async def test_the_other_functions_answer(deploy):
    async with deploy("completion", routes=[UrlRoute("/v1/cache/stats", "cache_stats")]) as it:
        whole = await it.chat(temperature=0)
        streamed = await it.chat(temperature=0, stream=True)
        text = whole.json()["choices"][0]["message"]["content"]
        *chunks, done = [line.removeprefix("data: ") for line in streamed.text.split("\n") if line]
        assert "".join(word(chunk) or "" for chunk in chunks) == text
        assert done == "[DONE]"
        # In one piece, as a BUFFERED function gives it.
        assert int(streamed.headers["content-length"]) == len(streamed.content)
        assert (hit(whole), hit(streamed)) == (False, True)
        assert [line["Hits"] for line in it.lines() if "_aws" in line] == [[0.0], [1.0]]
        figures = await it.http.get("/v1/cache/stats")
        assert (figures.status_code, figures.json()["requests"]) == (200, 0)
        result = await it.host.invoke("prewarm", {})
        assert json.loads(result.payload)["failed"] == []
        for secret in (KEY, UPSTREAM_KEY, QUESTION, text):
            assert secret not in it.printed()
