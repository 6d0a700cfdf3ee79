from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
from contextlib import closing
from urllib.parse import urlsplit

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from subsecond_local.simulator.server import cut
from tests.support.simulator import SimulatorProcess

FAST = "sim-t0-i0-n8"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def server():
    with SimulatorProcess(key="secret") as process:
        yield process


@pytest.fixture
def simulator(server):
    server.reset()
    return server


@pytest.fixture
def client(simulator):
    with OpenAI(base_url=simulator.base_url, api_key="secret", max_retries=0, timeout=10) as found:
        yield found


def ask(simulator, path="/v1/chat/completions", body=None, headers=None, method=None, key="secret"):
    """One raw request: its status, headers and body."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=10)) as connection:
        sent = {"authorization": f"Bearer {key}"} | (headers or {})
        connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def chat(model=FAST, **more):
    return {"model": model, "messages": HELLO} | more


def lines(simulator, model, headers=None):
    """The `data:` lines of a stream."""
    status, got, body = ask(simulator, body=chat(model, stream=True), headers=headers)
    assert (status, got["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *events, rest = body.decode().split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


def said(chunks):
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]


async def settled(simulator, name, number):
    """The statistics, once `name` has reached the number: a hang-up is seen a moment later."""
    async with asyncio.timeout(30):
        while (stats := simulator.stats())[name] < number:  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.01)
    return stats


def test_the_openai_client_gets_one_answer_whole_and_streamed(client, simulator):
    whole = client.chat.completions.create(**chat())
    chunks = list(client.chat.completions.create(**chat(), stream=True, stream_options={"include_usage": True}))
    assert "".join(said(chunks)) == whole.choices[0].message.content
    assert len(said(chunks)) == 8
    assert chunks[-1].usage == whole.usage
    assert {chunk.id for chunk in chunks} != {whole.id}
    assert len({chunk.id for chunk in chunks}) == 1
    plain = list(client.chat.completions.create(**chat(), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in plain)
    stats = simulator.stats()
    assert (stats["calls"], stats["completed"], stats["by_model"]) == (3, 3, {FAST: 3})


def test_the_openai_client_gets_legacy_completions(client):
    whole = client.completions.create(model=FAST, prompt=["one", "two"])
    assert [choice.index for choice in whole.choices] == [0, 1]
    texts = ["", ""]
    for chunk in client.completions.create(model=FAST, prompt=["one", "two"], stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in whole.choices]


def test_the_openai_client_gets_tool_calls(client):
    tool = {"type": "function", "function": {"name": "now", "parameters": {"properties": {"zone": {"type": "string"}}}}}
    asked = chat(tools=[tool], tool_choice="required")
    call = client.chat.completions.create(**asked).choices[0].message.tool_calls[0]
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls[0].function.name == call.function.name == "now"
    assert final.message.tool_calls[0].function.arguments == call.function.arguments


def test_the_openai_client_gets_embeddings_and_models(client):
    packed = client.embeddings.create(model=FAST, input=["one", "two"])
    floats = client.embeddings.create(model=FAST, input=["one", "two"], encoding_format="float")
    assert len(packed.data) == 2
    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding, rel=1e-6)
    assert len(packed.data[0].embedding) == 256
    assert FAST not in [model.id for model in client.models.list()]
    assert client.chat.completions.create(**chat(client.models.list().data[-1].id))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("gpt-4o", openai.NotFoundError),
        (f"{FAST}-fstatus429", openai.RateLimitError),
        (f"{FAST}-fstatus500", openai.InternalServerError),
        (f"{FAST}-fstatus401", openai.AuthenticationError),
    ],
)
def test_the_openai_client_raises_its_own_errors(client, simulator, model, kind):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**chat(model))
    assert caught.value.body["message"]
    assert simulator.stats()["refused"] == 1


def test_a_retry_works_after_once(simulator):
    with OpenAI(base_url=simulator.base_url, api_key="secret", max_retries=1, timeout=10) as client:
        assert client.chat.completions.create(**chat(f"{FAST}-fstatus429-fafter0-fonce"))
    stats = simulator.stats()
    assert (stats["calls"], stats["refused"], stats["completed"]) == (2, 1, 1)


def test_the_wrong_key_is_a_401_and_none_is_too(simulator):
    for key in ("wrong", ""):
        status, _, body = ask(simulator, body=chat(), key=key)
        assert status == 401
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert ask(simulator, "/v1/models", key="wrong")[0] == 401
    assert ask(simulator, "/health", key="wrong")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "\xff"}',
        b"[" * 100_000,
        b"[]",
        b"5",
        chat() | {"messages": []},
        chat() | {"messages": None},
        chat(temperature="hot"),
        chat(stream="yes"),
        {"messages": HELLO},
    ],
    ids=lambda body: repr(body)[:40],
)
def test_a_bad_request_is_a_400_in_openai_shape(simulator, body):
    status, _, answer = ask(simulator, body=body)
    assert status == 400
    assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}


def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405(simulator):
    for path, method, expected in (("/v1/files", "GET", 404), ("/v1/chat/completions", "GET", 405)):
        status, _, body = ask(simulator, path, method=method)
        assert status == expected
        assert json.loads(body)["error"]["message"]


def test_a_refusal_keeps_retry_after(simulator):
    status, headers, _ = ask(simulator, body=chat(), headers={"x-sim-fault": "status=503, after=3"})
    assert (status, headers["retry-after"]) == (503, "3")


def test_a_stream_ends_with_done_and_its_faults_do_not(simulator):
    assert lines(simulator, FAST)[-1] == "[DONE]"
    for faults in ("nodone", "errorevent=3"):
        events = lines(simulator, FAST, {"x-sim-fault": faults})
        assert "[DONE]" not in events
        assert ("error" in json.loads(events[-1])) == (faults != "nodone")
    assert simulator.stats()["broken"] == 2


def test_a_malformed_event_stands_between_good_ones(simulator):
    events = lines(simulator, f"{FAST}-fmalformed2")
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[3])
    assert json.loads(events[4])
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_truncated_answer_breaks_off(simulator, streamed):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(simulator, body=chat(f"{FAST}-ftruncate3", stream=streamed))
    assert caught.value.partial.count(b"data: ") == (4 if streamed else 0)
    assert simulator.stats()["broken"] == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_slow_writes_say_the_same(simulator, streamed):
    bodies = [ask(simulator, body=chat(f"{FAST}-funicode-fslow0", stream=streamed))[2] for _ in range(2)]
    assert bodies[0].decode()
    assert len(bodies[0]) == len(bodies[1])


def test_a_slow_event_is_cut_inside_a_character():
    event = 'data: {"content":"aé你🙂"}\n\n'.encode()
    pieces = list(cut(event))
    assert b"".join(pieces) == event
    assert len(pieces) == 4
    with pytest.raises(UnicodeDecodeError):
        b"".join(pieces[:2]).decode()
    assert b"".join(cut(b"data: {}\n\n")) == b"data: {}\n\n"


def test_a_malformed_or_failing_whole_answer(simulator):
    status, _, body = ask(simulator, body=chat(f"{FAST}-fmalformed"))
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert ask(simulator, body=chat(f"{FAST}-ferrorevent"))[0] == 500


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_is_counted_and_its_call_ends(simulator, streamed):
    async with AsyncOpenAI(base_url=simulator.base_url, api_key="secret", max_retries=0) as client:
        call = asyncio.ensure_future(client.chat.completions.create(**chat(f"{FAST}-fstall3"), stream=streamed))
        await settled(simulator, "running", 1)
        if streamed:
            stream = await call
            async for _ in stream:
                break
            await stream.close()
        else:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        stats = await settled(simulator, "aborted", 1)
    assert (stats["calls"], stats["running"], stats["completed"]) == (1, 0, 0)


async def test_hanging_up_while_sending_the_request_is_an_abort(simulator):
    address = urlsplit(simulator.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = ("POST /v1/completions HTTP/1.1", f"host: {address.netloc}", "authorization: Bearer secret")
    writer.write("\r\n".join([*head, "content-length: 99", "", "{"]).encode())
    await writer.drain()
    await settled(simulator, "running", 1)
    writer.close()
    await writer.wait_closed()
    assert (await settled(simulator, "aborted", 1))["running"] == 0


async def test_slots_let_the_others_wait():
    with SimulatorProcess(slots=1) as simulator:
        async with AsyncOpenAI(base_url=simulator.base_url, api_key="any", max_retries=0) as client:
            stalled = await client.chat.completions.create(**chat(f"{FAST}-fstall1"), stream=True)
            waiting = asyncio.ensure_future(client.chat.completions.create(**chat()))
            await settled(simulator, "running", 2)
            assert not waiting.done()
            await stalled.close()
            assert (await waiting).choices[0].message.content
        stats = await settled(simulator, "aborted", 1)
        assert (stats["completed"], stats["running"]) == (1, 0)


def test_two_servers_with_one_seed_say_the_same_and_another_seed_says_something_else():
    found = []
    for seed in (1, 1, 2):
        with SimulatorProcess(seed=seed) as simulator:
            found.append(json.loads(ask(simulator, body=chat())[2])["choices"])
    assert found[0] == found[1] != found[2]


def test_statistics_count_and_start_anew(simulator):
    ask(simulator, body=chat())
    ask(simulator, body=chat("nothing"))
    stats = simulator.stats()
    assert (stats["calls"], stats["completed"], stats["refused"], stats["running"]) == (2, 1, 1, 0)
    assert stats["by_model"] == {FAST: 1, "nothing": 1}
    assert stats["by_path"]["/v1/chat/completions"] == 2
    assert stats["connections"] >= 1
    simulator.reset()
    assert simulator.stats()["calls"] == 0


def test_the_server_ends_when_it_is_told_even_while_an_answer_stalls():
    command = [sys.executable, "-m", "subsecond_local.simulator.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        address = urlsplit(child.stdout.readline().split()[1])
        with closing(http.client.HTTPConnection(address.netloc, timeout=10)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(chat(f"{FAST}-fstall1", stream=True)))
            assert connection.getresponse().status == 200
            child.terminate()
            child.wait(timeout=10)


def test_a_taken_port_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "subsecond_local.simulator.server", f"--port={port}"]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert found.returncode == 1
    assert found.stderr.startswith(f"The simulator cannot listen on port {port}")
