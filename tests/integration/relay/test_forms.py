"""Replies asked whole and as a stream: each in its form, as it was said, and in the other form where that can be."""

import asyncio
import json

import pytest

from tests.support.http import PATIENCE
from tests.support.wires import chunk, event, head, reply, stream, whole

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def good(body, _):
    return [stream(chunk(content="Good."), chunk("stop")) if body.get("stream") else whole(reply())]


def hit(seen):
    return "; hit" in seen.headers["cache-status"]


# Asked as it was asked


@pytest.mark.parametrize("more", ["", ', "n": 1', ', "x": {"b": 1, "a": [null]}'])
async def test_a_request_goes_out_in_its_own_bytes(relaying, more):
    client, server = await relaying(good)
    raw = b'{ "messages":[{"content":"h\\u00e9","role":"user"}],\n "model" : "m"%b }' % more.encode()
    assert (await client.post("/v1/chat/completions", raw)).status == 200
    assert server.requests == [raw]


async def test_what_cannot_stream_is_never_asked_to(relaying):
    def answer(body, _):
        refused = {"error": {"message": "Audio has no stream here.", "type": "invalid_request_error"}}
        return [whole(refused, 400) if "stream" in body else whole(reply(None, audio={"id": "a", "data": "UklG"}))]

    client, _ = await relaying(answer)
    seen = await client.chat(modalities=["text", "audio"])
    assert seen.body == json.dumps(reply(None, audio={"id": "a", "data": "UklG"})).encode()


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_knows_no_stream_options_is_asked_without_and_remembered(relaying, status):
    def answer(body, nth):
        refused = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
        return [whole(refused, status)] if "stream_options" in body else good(body, nth)

    client, server = await relaying(answer)
    assert (await client.chat("One?", stream=True)).text == "Good."
    assert (await client.chat("Two?", stream=True)).text == "Good."
    assert ["stream_options" in body for body in server.bodies] == [True, False, False]


# Said, heard and kept


@pytest.mark.parametrize(
    "body",
    [
        reply([{"type": "text", "text": "Good."}]),
        reply("Good.", thinking_blocks=[{"type": "thinking", "thinking": "hm"}]),
        {**reply(), "provider_notes": {"seconds": 0.10}},
    ],
    ids=["parts", "blocks", "unknown"],
)
async def test_what_has_no_other_form_is_repeated_in_its_own_and_asked_for_in_the_other(relaying, body):
    raw = json.dumps(body, indent=1).encode()
    client, server = await relaying(lambda asked, nth: good(asked, nth) if asked.get("stream") else [whole(raw)])
    first, again, streamed = await client.chat(), await client.chat(), await client.chat(stream=True)
    assert (first.body, again.body, hit(again)) == (raw, raw, True)
    assert (hit(streamed), streamed.text, len(server.requests)) == (False, "Good.", 2)


async def test_calls_that_share_an_index_are_two_calls_in_the_other_form(relaying):
    calls = [
        {"index": 0, "id": f"t{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in "ab"
    ]
    chunks = [chunk(tool_calls=[call]) for call in calls]
    client, _ = await relaying(lambda *_: [stream(*chunks, chunk("tool_calls"))])
    assert (await client.chat(stream=True)).chunks[:2] == chunks
    seen = await client.chat()
    assert [call["id"] for call in seen.json["choices"][0]["message"]["tool_calls"]] == ["ta", "tb"]
    assert hit(seen)


async def test_padding_is_heard_in_its_stream_and_in_no_whole_reply(relaying):
    padded = [{**one, "obfuscation": "x7"} for one in (chunk(content="Good."), chunk("stop"))]
    client, _ = await relaying(lambda *_: [stream(*padded)])
    assert (await client.chat(stream=True)).chunks == padded
    seen = await client.chat()
    assert (hit(seen), "obfuscation" in seen.json) == (True, False)


async def test_a_message_beside_the_delta_is_heard_once(relaying):
    chunks = [chunk(content="Go"), chunk(content="od."), chunk("stop")]
    for one, text in zip(chunks, ("Go", "Good.", "Good."), strict=True):
        one["choices"][0]["message"] = {"role": "assistant", "content": text}
    client, _ = await relaying(lambda *_: [stream(*chunks)])
    assert (await client.chat(stream=True)).chunks == chunks
    seen = await client.chat()
    assert (hit(seen), seen.json["choices"][0]["message"]["content"]) == (True, "Good.")


async def test_usage_that_nobody_asked_for_is_held_back_and_kept(relaying):
    usage = {**chunk(), "choices": [], "usage": USAGE}
    client, _ = await relaying(lambda *_: [stream(chunk(content="Good."), chunk("stop"), usage)])
    assert len((await client.chat(stream=True)).chunks) == 2
    asked = await client.chat(stream=True, stream_options={"include_usage": True})
    assert (hit(asked), asked.chunks[-1]["usage"]) == (True, USAGE)


# Two forms in flight


class Gate:
    """A stream that waits in its middle."""

    def __init__(self, *rest):
        self.began, self.open, self.rest = asyncio.Event(), asyncio.Event(), rest

    def __call__(self, body, nth):
        if not body.get("stream"):
            yield whole(reply("Whole."))
            return
        self.began.set()
        yield head() + event(chunk(content="Go"))
        yield self.open
        yield b"".join(map(event, self.rest)) + b"data: [DONE]\n\n"


async def both(client, gate):
    streamed = asyncio.create_task(client.chat(stream=True))
    await asyncio.wait_for(gate.began.wait(), PATIENCE)
    joined = asyncio.create_task(client.chat())
    await client.watched(2)
    gate.open.set()
    return await streamed, await joined


async def test_a_whole_request_joins_a_running_stream(relaying):
    gate = Gate(chunk(content="od."), chunk("stop"))
    client, server = await relaying(gate)
    streamed, joined = await both(client, gate)
    assert (streamed.text, joined.json["choices"][0]["message"]["content"]) == ("Good.", "Good.")
    assert len(server.requests) == 1


async def test_it_asks_for_itself_where_an_event_has_no_whole_form(relaying):
    gate = Gate(chunk(content=[{"type": "text", "text": "od."}]), chunk("stop"))
    client, server = await relaying(gate)
    _, joined = await both(client, gate)
    assert joined.json["choices"][0]["message"]["content"] == "Whole."
    assert [body.get("stream", False) for body in server.bodies] == [True, False]


async def test_a_stream_joins_no_whole_call(relaying):
    asked, opened = asyncio.Event(), asyncio.Event()

    def answer(body, nth):
        if body.get("stream"):
            yield from good(body, nth)
            return
        asked.set()
        yield opened
        yield whole(reply("Whole."))

    client, _ = await relaying(answer)
    first = asyncio.create_task(client.chat())
    await asyncio.wait_for(asked.wait(), PATIENCE)
    assert (await client.chat(stream=True)).text == "Good."
    opened.set()
    assert (await first).json["choices"][0]["message"]["content"] == "Whole."
